package access

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var noon = time.Unix(1_700_000_000, 0)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestTokens follows tokens from their making to their end, as a node that runs
// all the time sees them.
func TestTokens(t *testing.T) {
	home := t.TempDir()
	node, err := Open(home)
	must(t, err)
	admin, err := AdminToken(home)
	must(t, err)
	if one, err := node.Check(admin, noon); err != nil || one.Scope != Admin {
		t.Errorf("admin token: %+v, %v", one, err)
	}
	if again, err := AdminToken(home); err != nil || again != admin {
		t.Errorf("the admin token is another one the second time: %v", err)
	}
	export, one, err := Create(home, "analyst", Export, time.Hour, noon)
	must(t, err)
	read, other, err := Create(home, "wallet", Read, 0, noon)
	must(t, err)
	if got, err := node.Check(export, noon.Add(time.Hour-1)); err != nil || got.ID != one.ID || got.Name != "analyst" || got.Scope != Export {
		t.Errorf("token of the analyst: %+v, %v", got, err)
	}
	if _, err := node.Check(export, noon.Add(time.Hour)); !errors.Is(err, ErrExpired) {
		t.Errorf("after its time: %v", err)
	}
	if _, err := node.Check(read, noon.Add(1e6*time.Hour)); err != nil {
		t.Errorf("token without an end: %v", err)
	}
	all, err := List(home)
	must(t, err)
	if len(all) != 2 || all[0].Created != noon.UTC() || all[0].Expires.Sub(all[0].Created) != time.Hour && all[1].Expires.Sub(all[1].Created) != time.Hour {
		t.Errorf("list: %+v", all)
	}
	for _, name := range []string{tokensFile, adminFile} {
		info, err := os.Stat(filepath.Join(home, name))
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
	raw, err := os.ReadFile(filepath.Join(home, tokensFile))
	must(t, err)
	if strings.Contains(string(raw), strings.TrimPrefix(read, prefix)) {
		t.Error("the file holds a token itself")
	}
	must(t, Revoke(home, other.ID))
	if _, err := node.Check(read, noon); !errors.Is(err, ErrUnknown) {
		t.Errorf("after it was revoked: %v", err)
	}
	if err := Revoke(home, other.ID); err == nil {
		t.Error("a token is revoked twice")
	}
	for _, wrong := range []string{"", prefix, admin[1:], admin + " ", one.Hash} {
		if _, err := node.Check(wrong, noon); !errors.Is(err, ErrUnknown) {
			t.Errorf("token %q: %v", wrong, err)
		}
	}
}

// TestTokensAtOnce makes tokens from many programs at once: none is lost.
func TestTokensAtOnce(t *testing.T) {
	home := t.TempDir()
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if _, _, err := Create(home, fmt.Sprint(i), Read, 0, noon); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got, err := List(home); err != nil || len(got) != 20 {
		t.Errorf("%d tokens, %v", len(got), err)
	}
}

func TestScopes(t *testing.T) {
	for _, c := range []struct {
		has, need Scope
		want      bool
	}{{"", "", true}, {"", Read, false}, {Read, "", true}, {Read, Read, true}, {Read, Export, false}, {Export, Read, true},
		{Export, Admin, false}, {Admin, Export, true}, {"odd", Read, false}} {
		if got := c.has.Allows(c.need); got != c.want {
			t.Errorf("%q allows %q: %t", c.has, c.need, got)
		}
	}
	if _, err := ParseScope("root"); err == nil {
		t.Error("root is a scope")
	}
}

// TestWhoAsks tells callers apart, behind proxies and not.
func TestWhoAsks(t *testing.T) {
	c := NewCallers(Limits{}, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.1/32")})
	for _, x := range []struct {
		from, told, key string
		local           bool
	}{
		{"192.0.2.1:1", "", "192.0.2.1", false},
		{"192.0.2.1:1", "198.51.100.7", "192.0.2.1", false}, // says it, but is not trusted
		{"[::ffff:192.0.2.1]:1", "", "192.0.2.1", false},
		{"10.0.0.9:1", "198.51.100.7", "198.51.100.7", false},
		{"10.0.0.9:1", "203.0.113.5, 198.51.100.7", "198.51.100.7", false}, // the caller wrote the left one
		{"10.0.0.9:1", "198.51.100.7, 10.1.1.1", "198.51.100.7", false},
		{"10.0.0.9:1", "127.0.0.1, 10.1.1.1", "127.0.0.1", false}, // a proxy's word makes nobody local
		{"10.0.0.9:1", "nonsense, 10.1.1.1", "10.1.1.1", false},
		{"10.0.0.9:1", "", "10.0.0.9", false},
		{"127.0.0.1:1", "", "127.0.0.1", true},
		{"127.0.0.1:1", "198.51.100.7", "198.51.100.7", false},
		{"[::1]:1", "", "::1", true},
		{"[::1]:1", "198.51.100.7", "::1", false}, // a proxy that nobody named: it has the bounds of one caller
		{"[2001:db8::1%eth0]:1", "", "2001:db8::/64", false},
		{"[2001:db8::ffff:1]:1", "", "2001:db8::/64", false},
		{"pipe", "", "pipe", false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = x.from
		if x.told != "" {
			r.Header.Set("X-Forwarded-For", x.told)
		}
		if got := c.Of(r); got.Key != x.key || got.Local != x.local {
			t.Errorf("%s for %q: %+v", x.from, x.told, got)
		}
	}
}

// TestSpend counts costs, waits as long as it is told, and may ask again.
func TestSpend(t *testing.T) {
	c := NewCallers(Limits{PerSecond: 10, Burst: 20, Streams: 2}, nil)
	who := Caller{Key: "one"}
	if left, wait := c.Spend(who, 15, noon); left != 5 || wait != 0 {
		t.Errorf("first: %d left, wait %s", left, wait)
	}
	left, wait := c.Spend(who, 15, noon)
	if left != 5 || wait != time.Second {
		t.Errorf("second: %d left, wait %s", left, wait)
	}
	if _, wait := c.Spend(who, 15, noon.Add(wait)); wait != 0 {
		t.Errorf("after the wait: wait %s", wait)
	}
	if _, wait := c.Spend(Caller{Key: "two"}, 1000, noon); wait != 0 {
		t.Errorf("a cost beyond the burst is refused to a caller that asked nothing yet: %s", wait)
	}
	if _, wait := c.Spend(OfToken(&Token{Hash: "x"}), 200, noon); wait != 0 {
		t.Errorf("a token has no more than an address: wait %s", wait)
	}
	if _, wait := c.Spend(Caller{Local: true}, 1e9, noon); wait != 0 {
		t.Error("a local caller is counted")
	}
	var ends []func()
	for range 2 {
		done, ok := c.Stream(who, noon)
		if !ok {
			t.Fatal("a stream within the limit is refused")
		}
		ends = append(ends, done)
	}
	if _, ok := c.Stream(who, noon); ok {
		t.Error("a third stream of two")
	}
	ends[0]()
	ends[0]() // ends once
	if _, ok := c.Stream(who, noon); !ok {
		t.Error("no stream after one ended")
	}
	if _, ok := c.Stream(who, noon); ok {
		t.Error("a stream that ended twice made room for two")
	}
}

// TestCallersAreBounded asks from more addresses than are remembered.
func TestCallersAreBounded(t *testing.T) {
	c := NewCallers(Limits{PerSecond: 100, Burst: 400, Streams: 1}, nil)
	reader := Caller{Key: "reader"}
	done, _ := c.Stream(reader, noon)
	for i := range maxCallers + 10 {
		c.Spend(Caller{Key: fmt.Sprint(i)}, 1, noon)
	}
	if len(c.by) > maxCallers {
		t.Errorf("%d callers are remembered", len(c.by))
	}
	if _, ok := c.Stream(reader, noon); ok {
		t.Error("the streams of a caller were forgotten")
	}
	done()
}

// dialled is a connection whose other end says where it is.
type dialled struct {
	net.Conn
	from string
}

func (d dialled) RemoteAddr() net.Addr {
	a, err := net.ResolveTCPAddr("tcp", d.from)
	if err != nil {
		panic(err)
	}
	return a
}

// queue is a listener whose connections a test makes.
type queue struct {
	net.Listener
	conns chan net.Conn
}

func (q queue) Accept() (net.Conn, error) {
	c, ok := <-q.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

// TestConnections fills a listener by address and in all.
func TestConnections(t *testing.T) {
	q := queue{conns: make(chan net.Conn, 2)}
	l := Connections{Total: 6, PerAddress: 2, Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}.Listen(q)
	// dial returns the connection if it is taken, nil if it is closed: then the
	// one of a proxy behind it is.
	dial := func(from string) net.Conn {
		t.Helper()
		var ends [2]net.Conn
		for i, from := range []string{from, "10.0.0.1:99"} {
			ours, theirs := net.Pipe()
			t.Cleanup(func() { ours.Close() })
			ends[i] = ours
			q.conns <- dialled{theirs, from}
		}
		c, err := l.Accept()
		must(t, err)
		if c.RemoteAddr().String() == from {
			<-q.conns
			return c
		}
		must(t, c.Close())
		if _, err := ends[0].Read(make([]byte, 1)); err == nil {
			t.Errorf("the connection of %s is neither taken nor closed", from)
		}
		return nil
	}
	a := dial("192.0.2.1:1")
	if a == nil || dial("192.0.2.1:2") == nil || dial("192.0.2.1:3") != nil {
		t.Fatal("of three connections of one address, two are to be taken")
	}
	for _, from := range []string{"192.0.2.2:1", "127.0.0.1:1"} {
		if dial(from) == nil {
			t.Errorf("%s is refused", from)
		}
	}
	must(t, a.Close())
	a.Close() // leaves once
	if dial("192.0.2.1:4") == nil || dial("192.0.2.1:5") != nil {
		t.Error("a connection that ended makes room for one")
	}
	if dial("127.0.0.1:2") == nil || dial("127.0.0.1:3") == nil {
		t.Error("the sixth connection of six is refused")
	}
	ours, theirs := net.Pipe()
	defer ours.Close()
	q.conns <- dialled{theirs, "127.0.0.1:4"}
	close(q.conns)
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a seventh is taken: %v", err)
	}
	if _, err := ours.Read(make([]byte, 1)); err == nil {
		t.Error("a seventh is not closed")
	}
}
