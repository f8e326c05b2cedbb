package live

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"time"
)

const (
	transportEvents = "events"
	transportSocket = "websocket"
)

// closeTime is how long a reader may take for the last words.
const closeTime = time.Second

// eventBytes is how much of a stream is written at once.
const eventBytes = 32 << 10

// Events serves GET /v1/events/stream: server-sent events whose data are the
// frames and whose IDs the cursors. What is wrong with the request is an HTTP
// error; what ends the stream later is an event "close".
func (h *Hub) Events(w http.ResponseWriter, r *http.Request) {
	if !h.readable(w, r) {
		return
	}
	asked, err := h.asked(r)
	if err == nil && asked == nil {
		err = errors.New("topics are missing")
	}
	if err != nil {
		h.refuse(w, r, http.StatusBadRequest, 0, err.Error())
		return
	}
	if first, _, ok, _ := h.feed.Watch(); ok && asked.at != nil && asked.at.Height < first {
		h.refuse(w, r, http.StatusGone, first, "what the cursor names is no longer kept")
		return
	}
	leave, ok := h.enter(w, r, transportEvents)
	if !ok {
		return
	}
	defer leave()
	head := w.Header()
	head.Set("Content-Type", "text/event-stream")
	head.Set("Cache-Control", "no-store")
	head.Set("X-Accel-Buffering", "no") // proxies that obey it pass events on at once
	if r.Method == http.MethodHead {
		return
	}
	out := &events{w: w, c: http.NewResponseController(w), within: h.limits.Write}
	if r.ContentLength == 0 {
		out.c.SetReadDeadline(time.Time{}) // the request is read; a connection without deadlines needs none lifted
	}
	out.buf = append(out.buf, "retry: 1000\n\n"...)
	s := &stream{hub: h, sink: out}
	h.end(s.run(r.Context(), asked), out.close)
}

// end tells a reader why its stream ends, and counts it. A reader who left is
// told nothing, nor is one who took nothing until the deadline.
func (h *Hub) end(err error, say func(*closing)) {
	var why *closing
	switch {
	case errors.As(err, &why):
		if why.why != "" {
			h.metrics.cut.WithLabelValues(why.why).Inc()
		}
		say(why)
	case errors.Is(err, os.ErrDeadlineExceeded):
		h.metrics.cut.WithLabelValues(cutStuck).Inc()
	}
}

// events is the sink of server-sent events.
type events struct {
	w      http.ResponseWriter
	c      *http.ResponseController
	within time.Duration
	buf    []byte
}

func (e *events) put(control string, cursor, frame []byte) error {
	if control != "" {
		e.buf = append(append(append(e.buf, "event: "...), control...), '\n')
	}
	if len(cursor) > 0 {
		e.buf = append(append(append(e.buf, "id: "...), cursor...), '\n')
	}
	e.buf = append(append(append(e.buf, "data: "...), frame...), "\n\n"...)
	if len(e.buf) < eventBytes {
		return nil
	}
	return e.flush()
}

func (e *events) flush() error {
	err := e.c.SetWriteDeadline(time.Now().Add(e.within))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	_, err = e.w.Write(e.buf)
	e.buf = e.buf[:0]
	if cap(e.buf) > 2*eventBytes {
		e.buf = nil // after an item of unusual size
	}
	if err != nil {
		return err
	}
	return e.c.Flush()
}

// goodbye is the data of an event "close".
type goodbye struct {
	Code   int    `json:"code"`
	Reason string `json:"reason"`
	Cursor string `json:"cursor,omitempty"`
	Oldest uint64 `json:"oldest,omitempty"`
}

func (e *events) close(why *closing) {
	e.within = closeTime
	data, err := json.Marshal(goodbye{why.code, why.text, why.cursor, uint64(why.oldest)})
	if err == nil && e.put("close", []byte(why.cursor), data) == nil {
		e.flush() // the reader is gone if this fails
	}
}
