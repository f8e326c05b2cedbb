package live

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"
)

// Socket serves GET /v1/live: a WebSocket on which the reader asks for topics,
// unless its URL did, and gets one frame a message.
func (h *Hub) Socket(w http.ResponseWriter, r *http.Request) {
	if !h.readable(w, r) {
		return
	}
	asked, err := h.asked(r)
	switch {
	case err != nil:
		h.refuse(w, r, http.StatusBadRequest, 0, err.Error())
		return
	case !upgrades(r):
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		h.refuse(w, r, http.StatusUpgradeRequired, 0, "this is a WebSocket; for server-sent events see /v1/events/stream")
		return
	}
	leave, ok := h.enter(w, r, transportSocket)
	if !ok {
		return
	}
	defer leave()
	wire := &wire{}
	wire.within.Store(int64(h.limits.Write))
	// Any page may read what is public, and there are no cookies to misuse.
	conn, err := websocket.Accept(&hijacker{w, wire}, r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return // Accept has answered
	}
	h.talk(r.Context(), conn, wire, asked)
}

// upgrades reports whether a request asks for a WebSocket.
func upgrades(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket") && r.ProtoAtLeast(1, 1)
}

// talk serves a WebSocket until one side ends it.
func (h *Hub) talk(life context.Context, conn *websocket.Conn, wire *wire, asked *change) {
	conn.SetReadLimit(int64(h.limits.Request))
	ctx, gone := context.WithCancel(life)
	defer gone()
	defer context.AfterFunc(life, wire.hurry)() // a reader that takes nothing does not keep the node from stopping
	changes := make(chan *change)
	var listening sync.WaitGroup
	listening.Go(func() {
		defer gone()
		h.listen(ctx, conn, changes)
	})
	s := &stream{hub: h, sink: &socket{conn, wire}, changes: changes}
	err := s.run(ctx, asked)
	var why *closing
	if left := ctx.Err() != nil && life.Err() == nil && errors.As(err, &why); !left {
		h.end(err, func(why *closing) {
			if why.code == CodeStopping {
				wire.hurry()
			}
			conn.Close(websocket.StatusCode(why.code), why.reason()) // it may be gone
		})
	}
	conn.CloseNow() // it is closed already if this fails
	listening.Wait()
}

// listen hands on what the reader asks for until it leaves. What comes faster than
// it may stays in the connection.
func (h *Hub) listen(ctx context.Context, conn *websocket.Conn, changes chan<- *change) {
	for pace := rate.NewLimiter(rate.Limit(h.limits.Requests), h.limits.Requests); pace.Wait(ctx) == nil; {
		kind, raw, err := conn.Read(context.WithoutCancel(ctx)) // talk closes the connection
		if err != nil {
			return
		}
		var c *change
		if kind == websocket.MessageText {
			c = h.parse(raw)
		} else {
			c = h.parse(nil)
		}
		select {
		case changes <- c:
		case <-ctx.Done():
			return
		}
	}
}

// socket is the sink of a WebSocket.
type socket struct {
	conn *websocket.Conn
	wire *wire
}

func (s *socket) put(_ string, _, frame []byte) error {
	s.wire.cork()
	return s.conn.Write(context.Background(), websocket.MessageText, frame) // the wire has deadlines
}

func (s *socket) flush() error { return s.wire.flush() }

// hijacker has a WebSocket run over a wire.
type hijacker struct {
	http.ResponseWriter
	wire *wire
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.wire.Conn = conn
	return h.wire, bufio.NewReadWriter(rw.Reader, bufio.NewWriterSize(h.wire, 1<<10)), nil
}

// wire is a connection whose writes have deadlines, and that holds small
// writes back while it is corked, so that a block of many frames does not take
// as many system calls. A wire that holds nothing back has no buffer.
type wire struct {
	net.Conn
	within atomic.Int64 // in which the other side must take what is written

	mu     sync.Mutex
	corked bool
	held   []byte
}

// wireBytes is how much a wire holds back.
const wireBytes = 16 << 10

var wireBuffers = sync.Pool{New: func() any { return new([wireBytes]byte) }}

func (w *wire) cork() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.corked = true
}

// Write implements net.Conn.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.corked || len(w.held)+len(p) > wireBytes {
		if err := w.release(); err != nil {
			return 0, err
		}
	}
	if !w.corked || len(p) > wireBytes {
		return w.write(p)
	}
	if w.held == nil {
		w.held = wireBuffers.Get().(*[wireBytes]byte)[:0]
	}
	w.held = append(w.held, p...)
	return len(p), nil
}

// flush writes what was held back.
func (w *wire) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.corked = false
	return w.release()
}

func (w *wire) release() error {
	if w.held == nil {
		return nil
	}
	_, err := w.write(w.held)
	wireBuffers.Put((*[wireBytes]byte)(w.held[:wireBytes]))
	w.held = nil
	return err
}

func (w *wire) write(p []byte) (int, error) {
	if err := w.SetWriteDeadline(time.Now().Add(time.Duration(w.within.Load()))); err != nil {
		return 0, err
	}
	return w.Conn.Write(p)
}

// hurry leaves the other side little time from now on.
func (w *wire) hurry() {
	w.within.Store(int64(closeTime))
	w.SetDeadline(time.Now().Add(closeTime)) // it is closed if this fails
}
