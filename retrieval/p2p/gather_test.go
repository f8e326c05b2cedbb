package p2p

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	tls "github.com/libp2p/go-libp2p/p2p/security/tls"
)

// counted counts the writes to a socket, and fails them once told.
type counted struct {
	net.Conn
	writes atomic.Int64
	broken atomic.Bool
}

var errBroken = errors.New("the line is cut")

func (c *counted) Write(p []byte) (int, error) {
	if c.broken.Load() {
		return 0, errBroken
	}
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// securePair makes the two ends of a secure connection, the one that dialled first,
// and the socket below that.
func securePair(t *testing.T) (dialled, taken sec.SecureConn, socket *counted) {
	t.Helper()
	var ends [2]*gatheredTLS
	var ids [2]peer.ID
	for i := range ends {
		key, _, err := crypto.GenerateEd25519Key(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if ids[i], err = peer.IDFromPrivateKey(key); err != nil {
			t.Fatal(err)
		}
		if ends[i], err = newGatheredTLS(tls.ID, key, nil); err != nil {
			t.Fatal(err)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	done := make(chan error, 1)
	go func() {
		plain, err := listener.Accept()
		if err == nil {
			taken, err = ends[1].SecureInbound(context.Background(), plain, "")
		}
		done <- err
	}()
	plain, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	socket = &counted{Conn: plain}
	dialled, err = ends[0].SecureOutbound(context.Background(), socket, ids[1])
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(dialled.Close(), taken.Close()) }) // one end may be broken
	return dialled, taken, socket
}

// TestGather writes messages of several sizes: each arrives as it is, and one of
// yamux goes to the socket in one piece.
func TestGather(t *testing.T) {
	dialled, taken, socket := securePair(t)
	for _, tc := range []struct{ size, writes int }{{1, 1}, {recordBytes, 1}, {recordBytes + 1, 1}, {64 << 10, 1}, {64 << 10, 1}, {1 << 20, 17}} {
		sent, came := make([]byte, tc.size), make([]byte, tc.size)
		_, _ = rand.Read(sent)
		before := socket.writes.Load()
		written := make(chan error, 1)
		go func() {
			n, err := dialled.Write(sent)
			if err == nil && n != len(sent) {
				err = io.ErrShortWrite
			}
			written <- err
		}()
		if _, err := io.ReadFull(taken, came); err != nil || !bytes.Equal(came, sent) {
			t.Fatalf("%d bytes arrived otherwise, %v", tc.size, err)
		}
		if err := <-written; err != nil {
			t.Fatal(err)
		}
		if n := int(socket.writes.Load() - before); n > tc.writes {
			t.Errorf("%d bytes took %d writes, at most %d are due", tc.size, n, tc.writes)
		}
	}
}

// TestGatherFails cuts the line below what is held back: the write says so.
func TestGatherFails(t *testing.T) {
	for _, size := range []int{1, 64 << 10, 1 << 20} {
		dialled, _, socket := securePair(t)
		socket.broken.Store(true)
		if _, err := dialled.Write(make([]byte, size)); !errors.Is(err, errBroken) {
			t.Errorf("%d bytes over a line that is cut: %v", size, err)
		}
	}
}
