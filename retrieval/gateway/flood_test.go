package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// deadline is how long a test waits for what has to happen before it says that
// nothing does.
const deadline = time.Minute

// dial connects to a server and sends the beginning of a request.
func dial(t testing.TB, address, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(deadline)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestSlowReader: a reader that takes nothing is left, whatever it asked for, and
// what was held for it is free again.
func TestSlowReader(t *testing.T) {
	w := newWorkshop()
	root := w.wideFile(t, 2000) // half a GiB, more than any socket takes
	store := storeOf(t, Terms{}, w.archive(t))
	h, err := New(Config{Source: store, Stall: 50 * time.Millisecond, MaxPeerRequests: 1})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		ended <- r.RequestURI
	}))
	defer server.Close()
	for _, form := range []string{"", "?format=tar", "?format=car&car-dups=y"} {
		uri := "/ipfs/" + root.String() + form
		dial(t, server.Listener.Addr().String(), "GET "+uri+" HTTP/1.1\r\nHost: x\r\n\r\n")
		select {
		case got := <-ended:
			if got != uri {
				t.Errorf("%s ended, not %s", got, uri)
			}
		case <-time.After(deadline):
			t.Fatalf("%s: the reader that takes nothing is still waited for", uri)
		}
	}
	if got := request(t, server.URL, "HEAD", "/ipfs/"+root.String()); got.StatusCode != 200 {
		t.Errorf("afterwards: %s", got.Status)
	}
}

// TestPatience: the time that a reader was given for one answer does not end the
// next one on the same connection.
func TestPatience(t *testing.T) {
	raw, cids := archiveOf(t, "x")
	server := serve(t, Config{Source: storeOf(t, Terms{}, raw), Stall: 20 * time.Millisecond})
	conn := dial(t, server.Listener.Addr().String(), "")
	answers := bufio.NewReader(conn)
	for _, path := range []string{"/ipfs/" + cids[0].String(), "/health/livez", "/ipfs/" + cids[0].String()} {
		for _, headers := range []string{"", "If-None-Match: *\r\n"} {
			if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", path, headers); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode >= 400 {
				t.Errorf("%s: %s, %v", path, resp.Status, err)
			}
			time.Sleep(60 * time.Millisecond) // more than the time given
		}
	}
}

// TestSlowRequest: a request that does not come to its end, or that is too long,
// is refused.
func TestSlowRequest(t *testing.T) {
	raw, cids := archiveOf(t, "x")
	h, err := New(Config{Source: storeOf(t, Terms{}, raw)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(h, 100*time.Millisecond, newCrowd(8, 8))
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	defer func() {
		server.Close()
		<-done
	}()
	path := "/ipfs/" + cids[0].String()
	for what, c := range map[string]struct {
		text   string
		status []string // "": none
	}{
		"half a line":       {"GET /ipfs/", []string{"", "400"}},
		"half the headers":  {"GET " + path + " HTTP/1.1\r\nHost: x\r\nAccept: ", []string{"", "400"}},
		"half a body":       {"POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf", []string{"405"}},
		"headers of 100 kB": {"GET " + path + " HTTP/1.1\r\nHost: x\r\nAccept: " + strings.Repeat("x", 100_000) + "\r\n\r\n", []string{"431"}},
		"a path of 100 kB":  {"GET " + path + strings.Repeat("/x", 50_000) + " HTTP/1.1\r\nHost: x\r\n\r\n", []string{"431"}},
	} {
		conn := dial(t, l.Addr().String(), c.text)
		answer, err := io.ReadAll(conn) // until the server closes
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: still waited for", what)
		}
		if got, _, _ := strings.Cut(strings.TrimPrefix(string(answer), "HTTP/1.1 "), " "); !slices.Contains(c.status, got) {
			t.Errorf("%s: answer %.100q, want %q", what, answer, c.status)
		}
	}
}

// TestConnections: connections without a request make room for those that have one.
func TestConnections(t *testing.T) {
	raw, cids := archiveOf(t, "x")
	h, err := New(Config{Source: storeOf(t, Terms{}, raw)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns := newCrowd(8, 4)
	server := newServer(h, deadline, conns)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	defer func() {
		server.Close()
		<-done
	}()
	for range 100 {
		dial(t, l.Addr().String(), "GET /ipfs/") // and never more
	}
	if got := request(t, "http://"+l.Addr().String(), "GET", "/ipfs/"+cids[0].String()); got.body != "x" {
		t.Errorf("beside 100 that send nothing: %s", got.Status)
	}
	conns.mu.Lock()
	defer conns.mu.Unlock()
	if n := len(conns.members); n > 4 {
		t.Errorf("%d connections of one client are open", n)
	}
}

// seat is a connection of a client in a test.
type seat struct {
	net.Conn
	from   string
	closed bool
}

func (s *seat) RemoteAddr() net.Addr { return seatAddr(s.from) }

func (s *seat) Close() error {
	s.closed = true
	return nil
}

type seatAddr string

func (a seatAddr) Network() string { return "tcp" }

func (a seatAddr) String() string { return string(a) }

// TestCrowd: who has waited longest goes, of the same client if that has too many;
// who is being answered stays.
func TestCrowd(t *testing.T) {
	c := newCrowd(3, 2)
	enter := func(from string) *seat {
		s := &seat{from: from}
		c.note(s, http.StateNew)
		return s
	}
	a1, a2, b := enter("192.0.2.1:1"), enter("192.0.2.1:2"), enter("192.0.2.2:1")
	c.note(a1, http.StateActive)
	a3 := enter("192.0.2.1:3") // a2 goes: a1 is being answered
	if a1.closed || !a2.closed || b.closed || a3.closed {
		t.Errorf("the client's third connection: closed %v %v %v %v", a1.closed, a2.closed, b.closed, a3.closed)
	}
	c.note(a1, http.StateIdle)
	other := enter("192.0.2.3:1") // b has waited longest
	if a1.closed || !b.closed || a3.closed || other.closed {
		t.Errorf("the fourth of all: closed %v %v %v %v", a1.closed, b.closed, a3.closed, other.closed)
	}
	for _, s := range []*seat{a1, a3, other} {
		c.note(s, http.StateActive)
	}
	if late := enter("192.0.2.4:1"); !late.closed {
		t.Error("a connection was let in beside those that are being answered")
	}
	for _, s := range []*seat{a1, a2, a3, b, other} {
		c.note(s, http.StateClosed)
	}
	if len(c.members) != 0 || len(c.peers) != 0 || c.waiting.Len() != 0 {
		t.Errorf("left are %d connections of %d clients, %d waiting", len(c.members), len(c.peers), c.waiting.Len())
	}
}
