package p2p

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
)

func newHost(t testing.TB, change func(*Config)) *Host {
	t.Helper()
	key, err := LoadIdentity(filepath.Join(t.TempDir(), "node.key"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Identity: key, Listen: LoopbackAddrs()}
	if change != nil {
		change(&cfg)
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func echo(_ context.Context, s io.ReadWriteCloser, _ string) {
	_, _ = io.Copy(s, s)
	_ = s.Close()
}

// only keeps the addresses of a peer that have the word.
func only(p chain.Peer, h *Host, word string) chain.Peer {
	out := chain.Peer{ID: p.ID}
	for i, a := range h.host.Addrs() {
		if strings.Contains(a.String(), word) {
			out.Addrs = append(out.Addrs, p.Addrs[i])
		}
	}
	return out
}

func TestHostTransports(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, transport := range []string{"/tcp/", "/quic-v1"} {
		server := newHost(t, nil)
		server.Serve(echo)
		client := newHost(t, func(c *Config) { c.Listen = nil })
		s, err := client.Open(ctx, only(server.Self(), server, transport))
		if err != nil {
			t.Fatal(err)
		}
		said := bytes.Repeat([]byte("perdure"), 100_000)
		go func() {
			_, _ = s.Write(said)
			_ = s.(interface{ CloseWrite() error }).CloseWrite()
		}()
		heard, err := io.ReadAll(s)
		if err != nil || !bytes.Equal(heard, said) {
			t.Errorf("%s: %d bytes of %d: %v", transport, len(heard), len(said), err)
		}
		_ = s.Close()
	}
}

// TestAwait: a miner reaches a client without addresses over the connection
// that the client made.
func TestAwait(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	miner := newHost(t, nil)
	client := newHost(t, func(c *Config) { c.Listen = nil })
	client.Serve(echo)
	nowhere := chain.Peer{ID: []byte(client.ID())}
	if _, err := miner.Open(ctx, nowhere); err == nil {
		t.Fatal("opened a stream to nowhere")
	}
	there := make(chan error, 1)
	go func() { there <- miner.Await(ctx, client.ID()) }()
	if err := client.Connect(ctx, miner.Self()); err != nil {
		t.Fatal(err)
	}
	if err := <-there; err != nil {
		t.Fatal(err)
	}
	s, err := miner.Open(ctx, nowhere)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if err := miner.Await(short, "nobody"); err == nil {
		t.Error("nobody came")
	}
}

// TestHostLimits bounds the streams of one peer.
func TestHostLimits(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server := newHost(t, func(c *Config) { c.MaxPeerStreams = 6 })
	server.Serve(func(ctx context.Context, s io.ReadWriteCloser, _ string) {
		_, _ = io.Copy(s, s)
		_ = s.Close()
	})
	client := newHost(t, func(c *Config) { c.Listen = nil })
	served := 0
	for range 12 {
		s, err := client.Open(ctx, server.Self())
		if err != nil {
			continue
		}
		defer s.Close()
		if _, err := s.Write([]byte("x")); err != nil {
			continue
		}
		if _, err := io.ReadFull(s, make([]byte, 1)); err == nil {
			served++
		}
	}
	if served == 0 || served > 6 {
		t.Errorf("%d streams of one peer at one time", served)
	}
}

func TestCloseEndsHandlers(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server := newHost(t, nil)
	begun, ended := make(chan struct{}), make(chan struct{})
	server.Serve(func(ctx context.Context, s io.ReadWriteCloser, _ string) {
		close(begun)
		_, _ = io.Copy(io.Discard, s)
		close(ended)
	})
	client := newHost(t, func(c *Config) { c.Listen = nil })
	s, err := client.Open(ctx, server.Self())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	<-begun
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	default:
		t.Error("closed before its handlers were done")
	}
}

func TestIdentity(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "new", "node.key")
	first, err := LoadIdentity(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadIdentity(path)
	if err != nil || !again.Equals(first) {
		t.Errorf("another identity: %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadIdentity(path); err == nil {
		t.Error("a damaged key was taken, or replaced")
	}
}

func TestParsePeer(t *testing.T) {
	a, b := newHost(t, nil), newHost(t, nil)
	p, err := ParsePeer(a.Addrs()...)
	if err != nil || string(p.ID) != a.ID() || len(p.Addrs) != 2 {
		t.Errorf("%+v, %v", p, err)
	}
	for _, bad := range [][]string{{"127.0.0.1:1"}, {"/ip4/127.0.0.1/tcp/1"}, {a.Addrs()[0], b.Addrs()[0]}} {
		if _, err := ParsePeer(bad...); err == nil {
			t.Errorf("%q taken", bad)
		}
	}
	if _, err := addrInfo(chain.Peer{ID: []byte("x")}); err == nil {
		t.Error("no peer ID taken")
	}
	p.Addrs = append(p.Addrs, []byte{1, 2, 3})
	if info, err := addrInfo(p); err != nil || len(info.Addrs) != 2 {
		t.Errorf("one bad address: %v, %v", info, err)
	}
}
