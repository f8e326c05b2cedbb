package access

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Times bound how long a connection may be held.
type Times struct {
	Header time.Duration // for the head of a request
	Answer time.Duration // for its body and the answer, if the handler sets no deadlines of its own
	Idle   time.Duration // between two requests
}

// DefaultTimes are those of a node.
func DefaultTimes() Times {
	return Times{Header: 10 * time.Second, Answer: 30 * time.Second, Idle: time.Minute}
}

// maxHeader is the most bytes that the head of a request may have.
const maxHeader = 16 << 10

// NewServer returns a server that bounds how long a connection is held whatever is
// asked, also by answers that come from no handler of ours, such as a router's. A
// handler that takes longer sets deadlines of its own.
func NewServer(h http.Handler, t Times) *http.Server {
	bounded := func(w http.ResponseWriter, r *http.Request) {
		c, until := http.NewResponseController(w), time.Now().Add(t.Answer)
		_ = c.SetWriteDeadline(until) // the connection is gone if this fails, or this
		if r.ContentLength != 0 {     // else there is nothing to read, and an answer without end goes on
			_ = c.SetReadDeadline(until)
		}
		h.ServeHTTP(w, r)
	}
	return &http.Server{Handler: http.HandlerFunc(bounded), ReadHeaderTimeout: t.Header, IdleTimeout: t.Idle, MaxHeaderBytes: maxHeader,
		DisableGeneralOptionsHandler: true} // it reads a body for as long as that takes
}

// Connections bounds the connections of a listener. One too many is closed
// before a byte of it is read.
type Connections struct {
	Total      int // at once
	PerAddress int // of one caller, at once; the node's own machine and trusted proxies have no such bound
	Proxies    []netip.Prefix
}

// Listen puts the bounds around a listener.
func (c Connections) Listen(l net.Listener) net.Listener {
	return &listener{Listener: l, bounds: c, by: map[string]int{}}
}

type listener struct {
	net.Listener
	bounds Connections

	mu    sync.Mutex
	total int
	by    map[string]int
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		key := ""
		if a := addressOf(conn.RemoteAddr().String()); a.IsValid() && !a.IsLoopback() && !proxies(l.bounds.Proxies).trust(a) {
			key = callerKey(a)
		}
		if l.enter(key) {
			return &connection{Conn: conn, leave: sync.OnceFunc(func() { l.leave(key) })}, nil
		}
		turnAway(conn)
	}
}

// turnAway closes a connection at once, so that nothing of it is left here.
func turnAway(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a stranger's connection: whatever comes of it
	}
	_ = conn.Close()
}

func (l *listener) enter(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= l.bounds.Total || key != "" && l.by[key] >= l.bounds.PerAddress {
		return false
	}
	l.total++
	if key != "" {
		l.by[key]++
	}
	return true
}

func (l *listener) leave(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if key == "" {
		return
	}
	if l.by[key]--; l.by[key] == 0 {
		delete(l.by, key)
	}
}

// connection is one that is counted until it is closed.
type connection struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *connection) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
