package gateway

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
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
	h, err := New(Config{Source: store, Stall: 400 * time.Millisecond, MaxPeerRequests: 1})
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

// timed is a response that writes down what happens to it.
type timed struct {
	*httptest.ResponseRecorder
	events []string
}

func (w *timed) SetWriteDeadline(until time.Time) error {
	w.events = append(w.events, "until "+time.Until(until).Round(time.Minute).String())
	return nil
}

func (w *timed) WriteHeader(code int) {
	w.events = append(w.events, fmt.Sprint(code))
	w.ResponseRecorder.WriteHeader(code)
}

func (w *timed) Write(b []byte) (int, error) {
	w.events = append(w.events, fmt.Sprintf("%d bytes", len(b)))
	return w.ResponseRecorder.Write(b)
}

// TestPatience: the reader is given time anew for all that is written, also for
// what is flushed at the end: the time of the answer before, on the same
// connection, may be over.
func TestPatience(t *testing.T) {
	for want, answer := range map[string]func(http.ResponseWriter){
		"until 1h0m0s": func(http.ResponseWriter) {},
		"until 1h0m0s, 304, until 1h0m0s": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusNotModified)
			w.WriteHeader(http.StatusOK)
		},
		"until 1h0m0s, 65536 bytes, until 1h0m0s, 4464 bytes, until 1h0m0s": func(w http.ResponseWriter) {
			if n, err := w.Write(make([]byte, 70_000)); n != 70_000 || err != nil {
				t.Errorf("%d bytes were written, %v", n, err)
			}
		},
	} {
		w := &timed{ResponseRecorder: httptest.NewRecorder()}
		patience(time.Hour, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) })).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if got := strings.Join(w.events, ", "); got != want {
			t.Errorf("events %q, want %q", got, want)
		}
	}
}

// start serves an archive of one block to clients that may take a time for a request,
// and returns the address and the path of the block.
func start(t *testing.T, request time.Duration, conns *crowd) (address, path string) {
	t.Helper()
	raw, cids := archiveOf(t, "x")
	h, err := New(Config{Source: storeOf(t, Terms{}, raw)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(h, request, conns)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return l.Addr().String(), "/ipfs/" + cids[0].String()
}

// TestSlowRequest: a request that does not come to its end is not waited for, and
// one that is too long is refused.
func TestSlowRequest(t *testing.T) {
	slow, path := start(t, 200*time.Millisecond, newCrowd(8, 8))
	for what, text := range map[string]string{
		"half a line":      "GET /ipfs/",
		"half the headers": "GET " + path + " HTTP/1.1\r\nHost: x\r\nAccept: ",
		"half a body":      "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf",
	} {
		answer, err := io.ReadAll(dial(t, slow, text)) // until the server closes
		if errors.Is(err, os.ErrDeadlineExceeded) || strings.HasPrefix(string(answer), "HTTP/1.1 200") {
			t.Errorf("%s: answer %.100q, %v", what, answer, err)
		}
	}
	patient, path := start(t, deadline, newCrowd(8, 8))
	for what, text := range map[string]string{
		"headers of 100 kB": "GET " + path + " HTTP/1.1\r\nHost: x\r\nAccept: " + strings.Repeat("x", 100_000) + "\r\n\r\n",
		"a path of 100 kB":  "GET " + path + strings.Repeat("/x", 50_000) + " HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		if answer, _ := io.ReadAll(dial(t, patient, text)); !strings.HasPrefix(string(answer), "HTTP/1.1 431 ") {
			t.Errorf("%s: answer %.100q", what, answer)
		}
	}
}

// TestConnections: connections without a request make room for those that have one.
func TestConnections(t *testing.T) {
	conns := newCrowd(8, 4)
	address, path := start(t, deadline, conns)
	for range 100 {
		dial(t, address, "GET /ipfs/") // and never more
	}
	if got := request(t, "http://"+address, "GET", path); got.body != "x" {
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
