package access

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// listen runs a server on the loopback with some times, whose handler says ok.
func listen(t *testing.T, c Connections, times Times) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	s := NewServer(mux, times)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(c.Listen(l)) }()
	t.Cleanup(func() {
		must(t, s.Close())
		<-ended
	})
	return l.Addr().String()
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// ask sends a request and returns the answer's status.
func ask(t *testing.T, c net.Conn) int {
	t.Helper()
	_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	must(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	must(t, err)
	must(t, resp.Body.Close())
	return resp.StatusCode
}

// TestTenThousandConnections opens them on a server that takes a thousand: the
// first thousand are answered, the others closed at once.
func TestTenThousandConnections(t *testing.T) {
	const all, some = 10_000, 1_000
	address := listen(t, Connections{Total: some, PerAddress: 1}, Times{Header: time.Hour, Answer: time.Hour, Idle: time.Hour})
	held := make([]net.Conn, 0, some)
	for range some {
		held = append(held, dial(t, address))
	}
	one := make([]byte, 1)
	for i := range all - some {
		c, err := net.Dial("tcp", address)
		if err != nil {
			continue // closed before the dial came back
		}
		if _, err := c.Read(one); err == nil {
			t.Fatalf("connection %d is answered", some+i)
		}
		c.Close()
	}
	for _, i := range []int{0, some / 2, some - 1} {
		if code := ask(t, held[i]); code != http.StatusOK {
			t.Errorf("connection %d: %d", i, code)
		}
	}
}

// TestSlowHeads writes the head of a request and never ends it, asks nothing,
// and asks with a head beyond all measure: the server ends all three.
func TestSlowHeads(t *testing.T) {
	const soon, never = 20 * time.Millisecond, time.Hour
	server := func(times Times) string { return listen(t, Connections{Total: 10, PerAddress: 10}, times) }
	slow := dial(t, server(Times{Header: soon, Answer: never, Idle: never}))
	_, err := io.WriteString(slow, "GET / HTTP/1.1\r\nHost: x\r\nX-A: ")
	must(t, err)
	// The head may come when the server has hung up: then reading ends with an error.
	if answer, err := io.ReadAll(slow); strings.Contains(string(answer), "200") {
		t.Errorf("a head without an end: %q, %v", answer, err)
	}
	idle := dial(t, server(Times{Header: never, Answer: never, Idle: soon}))
	ask(t, idle)
	if answer, err := io.ReadAll(idle); err != nil || len(answer) > 0 {
		t.Errorf("a connection that asks no more: %q, %v", answer, err)
	}
	big := dial(t, server(Times{Header: never, Answer: never, Idle: never}))
	go io.WriteString(big, "GET / HTTP/1.1\r\nHost: x\r\nX-A: "+strings.Repeat("a", 1<<20)+"\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(big), nil)
	if err == nil && resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a head of a megabyte: %s", resp.Status)
	}
}

// TestHeldConnections asks what handlers without deadlines and the router itself
// answer, and then withholds the body that was announced, or reads nothing of the
// answers to ever more requests: the server ends both.
func TestHeldConnections(t *testing.T) {
	address := listen(t, Connections{Total: 20, PerAddress: 20}, Times{Header: time.Hour, Answer: 50 * time.Millisecond, Idle: time.Hour})
	for _, line := range []string{"POST /", "OPTIONS /", "OPTIONS *", "CONNECT x:1", "POST //away"} {
		withheld := dial(t, address)
		_, err := io.WriteString(withheld, line+" HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\na")
		must(t, err)
		io.ReadAll(withheld) // comes back when the server has hung up, by whichever way
		unread := dial(t, address)
		requests := strings.Repeat(line+" HTTP/1.1\r\nHost: x\r\n\r\n", 1_000)
		for err = nil; err == nil; { // fails when the server has hung up
			_, err = io.WriteString(unread, requests)
		}
	}
}

// TestLongAnswers reads an answer that goes on for longer than one may take: its
// handler sets deadlines for what it writes, and nothing else ends it.
func TestLongAnswers(t *testing.T) {
	const most = 20 * time.Millisecond
	long := func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		for end := time.Now().Add(5 * most); time.Now().Before(end); {
			if err := errors.Join(c.SetWriteDeadline(time.Now().Add(time.Hour)), r.Context().Err()); err != nil {
				panic(http.ErrAbortHandler)
			}
			io.WriteString(w, "more")
			c.Flush()
		}
	}
	s := httptest.NewUnstartedServer(nil)
	s.Config = NewServer(http.HandlerFunc(long), Times{Header: time.Hour, Answer: most, Idle: time.Hour})
	s.Start()
	defer s.Close()
	answer, err := http.Get(s.URL)
	must(t, err)
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Error(err)
	}
}
