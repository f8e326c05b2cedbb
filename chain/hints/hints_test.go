package hints

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"
	"go.uber.org/goleak"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/porep/piece"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func root(name string) cid.Cid {
	sum := sha256.Sum256([]byte(name))
	h, err := multihash.Encode(sum[:], multihash.SHA2_256)
	if err != nil {
		panic(err)
	}
	return cid.NewCidV1(cid.Raw, h)
}

func pieceOf(n byte) cid.Cid { return piece.UnsealedCID([32]byte{n}) }

// saying serves a list at an address as the chain has it.
type saying struct {
	list  atomic.Value // string
	asked atomic.Int64
	read  atomic.Int64 // answers with the list
	id    chain.MinerID
	addr  []byte
}

func newSaying(t testing.TB, id chain.MinerID, list string) *saying {
	d := &saying{id: id}
	d.list.Store(list)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.asked.Add(1)
		list := d.list.Load().(string)
		tag := fmt.Sprintf("%q", fmt.Sprint(len(list)))
		switch {
		case r.URL.Path != Path || list == "":
			http.NotFound(w, r)
		case r.Header.Get("If-None-Match") == tag:
			w.WriteHeader(http.StatusNotModified)
		default:
			d.read.Add(1)
			w.Header().Set("ETag", tag)
			io.WriteString(w, list)
		}
	}))
	t.Cleanup(s.Close)
	var ok bool
	d.addr, ok = DoorAddr(strings.TrimPrefix(s.URL, "http://"))
	if !ok {
		t.Fatal("no address of ", s.URL)
	}
	return d
}

func line(t testing.TB, piece cid.Cid, names ...string) string {
	l := Line{Piece: piece.String()}
	for _, n := range names {
		l.Roots = append(l.Roots, root(n).String())
	}
	raw, err := json.Marshal(l)
	must(t, err)
	return string(raw) + "\n"
}

// town is some doors as a chain names them.
type town []*saying

func (a town) miners(_ context.Context, each func(*chain.Miner) error) error {
	for _, d := range a {
		if err := each(&chain.Miner{ID: d.id, Peer: chain.Peer{Addrs: [][]byte{d.addr}}}); err != nil {
			return err
		}
	}
	return nil
}

// follow makes a follower for which every list is stale at once.
func follow(a *town, change ...func(*Config)) *Follower {
	c := Config{Miners: func(ctx context.Context, each func(*chain.Miner) error) error { return a.miners(ctx, each) }, Private: true, Every: 1}
	for _, f := range change {
		f(&c)
	}
	return NewFollower(c)
}

func said(f *Follower, name string) string {
	var out []string
	for _, h := range f.Table().Of(root(name), 10) {
		out = append(out, fmt.Sprintf("%d:%d", h.Miner, h.Piece.Hash()[len(h.Piece.Hash())-32]))
	}
	return strings.Join(out, " ")
}

// TestFollow asks two miners, one of which changes its mind, falls silent and goes.
func TestFollow(t *testing.T) {
	a := newSaying(t, 1000, line(t, pieceOf(1), "x", "y")+line(t, pieceOf(2), "z"))
	b := newSaying(t, 1001, line(t, pieceOf(3), "y"))
	all := town{a, b}
	f := follow(&all)
	look := func(want map[string]string) {
		t.Helper()
		must(t, f.Look(t.Context()))
		for name, w := range want {
			if got := said(f, name); got != w {
				t.Errorf("%s: %q, want %q", name, got, w)
			}
		}
	}
	look(map[string]string{"x": "1000:1", "y": "1000:1 1001:3", "z": "1000:2", "nothing": ""})
	look(map[string]string{"y": "1000:1 1001:3"})
	if a.read.Load() != 1 || a.asked.Load() != 2 {
		t.Errorf("asked %d times, read %d", a.asked.Load(), a.read.Load())
	}
	b.list.Store(line(t, pieceOf(4), "y", "w"))
	look(map[string]string{"y": "1000:1 1001:4", "w": "1001:4"})
	b.list.Store("") // what it said stands while it does not answer
	look(map[string]string{"y": "1000:1 1001:4"})
	before := b.asked.Load()
	b.list.Store("no JSON\n" + line(t, pieceOf(5), "y"))
	for b.asked.Load() == before { // it is asked again after a pause
		must(t, f.Look(t.Context()))
	}
	look(map[string]string{"y": "1000:1 1001:4"})
	all = town{a}
	look(map[string]string{"y": "1000:1", "w": ""})
	if f.Table().Size() != 3+2*claimWeight {
		t.Errorf("size %d after a miner went", f.Table().Size())
	}
}

// TestBounds: a miner with much to say gets what its quota allows, and where the table
// is full the one with most to say is cut.
func TestBounds(t *testing.T) {
	var long strings.Builder
	for i := range 50 {
		long.WriteString(line(t, pieceOf(byte(i)), fmt.Sprint("a", i), fmt.Sprint("b", i), fmt.Sprint("c", i)))
	}
	loud, small := newSaying(t, 1000, long.String()), newSaying(t, 1001, line(t, pieceOf(99), "small"))
	all := town{loud, small}
	one := 3 + claimWeight
	f := follow(&all, func(c *Config) { c.MinerRoots = 10 * one })
	must(t, f.Look(t.Context()))
	if said(f, "b9") == "" || said(f, "b10") != "" || said(f, "small") == "" {
		t.Errorf("quota: %q, %q, %q", said(f, "b9"), said(f, "b10"), said(f, "small"))
	}
	f = follow(&all, func(c *Config) { c.Roots = 5*one + 1 + claimWeight })
	must(t, f.Look(t.Context()))
	if said(f, "a4") == "" || said(f, "a5") != "" || said(f, "small") == "" || f.Table().Size() > 5*one+1+claimWeight {
		t.Errorf("full table: %q, %q, %q, size %d", said(f, "a4"), said(f, "a5"), said(f, "small"), f.Table().Size())
	}
	f = follow(&all, func(c *Config) { c.MinerBytes = int64(len(long.String())/2 + 10) })
	must(t, f.Look(t.Context()))
	if said(f, "c20") == "" || said(f, "c40") != "" {
		t.Errorf("cut list: %q, %q", said(f, "c20"), said(f, "c40"))
	}
}

// TestPrivate: a node is not sent into the network that it stands in, nor elsewhere by a
// redirect.
func TestPrivate(t *testing.T) {
	d := newSaying(t, 1000, line(t, pieceOf(1), "x"))
	all := town{d}
	f := follow(&all, func(c *Config) { c.Private = false })
	must(t, f.Look(t.Context()))
	if d.asked.Load() != 0 || said(f, "x") != "" {
		t.Error("a door on a private address was asked")
	}
	away := httptest.NewServer(http.RedirectHandler("http://"+strings.TrimSuffix(Doors(chain.Peer{Addrs: [][]byte{d.addr}})[0][len("http://"):], "/")+Path, http.StatusFound))
	defer away.Close()
	at, _ := DoorAddr(strings.TrimPrefix(away.URL, "http://"))
	f = follow(&town{{id: 1001, addr: at}})
	must(t, f.Look(t.Context()))
	if d.asked.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

func TestDoors(t *testing.T) {
	var p chain.Peer
	for _, text := range []string{"/ip4/1.2.3.4/tcp/80/http", "/ip4/1.2.3.4/tcp/4001", "/dns4/example.com/tcp/443/https", "/dns/example.com/tcp/8443/tls/http",
		"/ip6/::1/tcp/8080/http", "/ip4/1.2.3.4/udp/4001/quic-v1", "/ip4/1.2.3.4/http"} {
		a, err := multiaddr.NewMultiaddr(text)
		must(t, err)
		p.Addrs = append(p.Addrs, a.Bytes())
	}
	p.Addrs = append(p.Addrs, []byte("no address"))
	if got := strings.Join(Doors(p), " "); got != "http://1.2.3.4:80 https://example.com:443 https://example.com:8443 http://[::1]:8080" {
		t.Errorf("doors %s", got)
	}
	for at, want := range map[string]bool{"127.0.0.1:80": true, "[2001:db8::1]:80": true, "0.0.0.0:80": false, "[::]:80": false, "example.com:80": false} {
		raw, ok := DoorAddr(at)
		if ok != want || ok && Doors(chain.Peer{Addrs: [][]byte{raw}})[0] != "http://"+at {
			t.Errorf("%s: %v", at, ok)
		}
	}
	for text, want := range map[string]bool{"/dns4/example.com/tcp/443/https": true, "/ip4/1.2.3.4/tcp/80": false, "example.com": false} {
		if _, err := ParseDoor(text); (err == nil) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// FuzzRead: whatever a door answers, what is kept of it is bounded and in order.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"piece":"` + pieceOf(1).String() + `","roots":["` + root("x").String() + `"]}` + "\n"))
	f.Add([]byte("{}\n\n{"))
	f.Fuzz(func(t *testing.T, list []byte) {
		said, err := read(strings.NewReader(string(list)), 40)
		weight := 0
		for i := range said {
			weight += said[i].weight()
			for j := 1; j < len(said[i].roots); j++ {
				if said[i].roots[j-1] >= said[i].roots[j] {
					t.Fatal("roots are out of order")
				}
			}
		}
		if err == nil && weight > 40+40+claimWeight {
			t.Fatalf("weight %d", weight)
		}
	})
}
