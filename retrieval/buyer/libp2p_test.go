package buyer_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval/p2p"
)

func newHost(t testing.TB, listen ...string) *p2p.Host {
	t.Helper()
	key, err := p2p.LoadIdentity(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	h, err := p2p.New(p2p.Config{Identity: key, Listen: listen})
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

// by is where a host is reached by one transport.
func by(t testing.TB, host *p2p.Host, transport string) chain.Peer {
	t.Helper()
	self := host.Self()
	out := chain.Peer{ID: self.ID}
	for _, raw := range self.Addrs {
		a, err := ma.NewMultiaddrBytes(raw)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(a.String(), transport) {
			out.Addrs = append(out.Addrs, raw)
		}
	}
	if len(out.Addrs) == 0 {
		t.Fatalf("no address over %s among %s", transport, host.Addrs())
	}
	return out
}

// over makes a world's buyer and a shop of it meet over libp2p, by one transport.
func (w *world) over(s *shop, transport string) {
	w.t.Helper()
	host := newHost(w.t, p2p.LoopbackAddrs()...)
	host.Serve(s.Handle)
	client := newHost(w.t)
	s.peer = by(w.t, host, transport)
	w.config.Dialer = client
	w.remake()
}

// reported waits until the shop's sessions are accounted for.
func (s *shop) reported(t testing.TB) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); s.Stats().Active > 0; {
		if time.Now().After(deadline) {
			t.Fatal("a session does not end")
		}
		<-time.After(time.Millisecond)
	}
}

func TestOverLibp2p(t *testing.T) {
	for _, transport := range []string{"/tcp/", "/quic-v1"} {
		t.Run(strings.Trim(transport, "/"), func(t *testing.T) {
			w := newWorld(t)
			f := makeFile(t, 20*leaf+5, 40)
			parts := f.cut(t)
			s := w.open(10, 7, nil, parts...)
			w.over(s, transport)
			var got basket
			st, err := w.buyer.Fetch(ctx, w.request(f, parts, &got, s))
			if err != nil {
				t.Fatal(err)
			}
			got.holds(t, f)
			s.reported(t)
			w.balanced(st, 7, s)
		})
	}
}
