package access

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// listen runs a server on the loopback with some times, whose handler says ok.
func listen(t *testing.T, c Connections, times Times) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }), times)
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
	address := listen(t, Connections{Total: some, PerAddress: 1}, Times{Header: time.Hour, Idle: time.Hour})
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
	slow := dial(t, server(Times{Header: soon, Idle: never}))
	_, err := io.WriteString(slow, "GET / HTTP/1.1\r\nHost: x\r\nX-A: ")
	must(t, err)
	// The head may come when the server has hung up: then reading ends with an error.
	if answer, err := io.ReadAll(slow); strings.Contains(string(answer), "200") {
		t.Errorf("a head without an end: %q, %v", answer, err)
	}
	idle := dial(t, server(Times{Header: never, Idle: soon}))
	ask(t, idle)
	if answer, err := io.ReadAll(idle); err != nil || len(answer) > 0 {
		t.Errorf("a connection that asks no more: %q, %v", answer, err)
	}
	big := dial(t, server(Times{Header: never, Idle: never}))
	go io.WriteString(big, "GET / HTTP/1.1\r\nHost: x\r\nX-A: "+strings.Repeat("a", 1<<20)+"\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(big), nil)
	if err == nil && resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a head of a megabyte: %s", resp.Status)
	}
}
