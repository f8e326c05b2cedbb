package explorer

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// mux routes to the operations. Its handlers take a *visit.
func (a *API) mux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, r := range a.routes() {
		mux.HandleFunc(r.pattern(), func(w http.ResponseWriter, req *http.Request) {
			v := w.(*visit)
			v.found = true
			asks := r.read(req)
			a.admit(v.w, req, asks.rules(), func(w http.ResponseWriter, req *http.Request) { a.answer(w, req, asks) })
		})
	}
	return mux
}

// wrap puts around the routes what all requests have in common.
func (a *API) wrap(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		identify(w, r)
		open(w, r)
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		v := &visit{w: w, header: http.Header{}}
		if mux.ServeHTTP(v, r); !v.found {
			a.admit(w, r, &Rules{Name: noRoute}, func(w http.ResponseWriter, r *http.Request) { a.lost(w, r, v) })
		}
	})
}

// visit is what the router gets to write to. Until a route takes the request,
// it takes in what the router itself says, which nobody reads.
type visit struct {
	w      http.ResponseWriter
	found  bool
	header http.Header
	code   int
}

// Header implements http.ResponseWriter.
func (v *visit) Header() http.Header { return v.header }

// Write implements http.ResponseWriter.
func (v *visit) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader implements http.ResponseWriter.
func (v *visit) WriteHeader(code int) { v.code = code }

// lost answers a request that no route takes, as the router says: 404, 405, or
// where a tidier path is.
func (a *API) lost(w http.ResponseWriter, r *http.Request, v *visit) {
	switch {
	case v.code == http.StatusMethodNotAllowed:
		allow := v.header.Get("Allow")
		w.Header().Set("Allow", allow)
		a.refuse(w, r, problem(v.code, "%s is not allowed here, only %s", clip(r.Method), allow))
	case v.header.Get("Location") != "":
		w.Header().Set("Location", v.header.Get("Location"))
		w.WriteHeader(v.code)
	default:
		a.refuse(w, r, notFound("no such path; see /v1/openapi.yaml"))
	}
}

// answer runs one operation and sends what comes of it.
func (a *API) answer(w http.ResponseWriter, r *http.Request, asks question) {
	of := asks.of
	q, err := a.newQuery(w, r, asks)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	defer q.close()
	if of.isList() { // its form is chosen by Accept, too
		w.Header().Add("Vary", "Accept")
	}
	tag := ""
	if of.method == "" && !asks.streams() {
		tag = q.tag()
		w.Header().Set("Cache-Control", keepAsked)
	}
	if tag != "" && has(r, tag) { // no other answer ever had this tag
		w.Header().Set("ETag", weak(tag))
		w.WriteHeader(http.StatusNotModified)
		return
	}
	d, stream, err := a.recall(q, of, tag)
	switch {
	case err != nil:
		a.refuse(w, r, err)
	case stream != nil:
		a.stream(w, r, stream)
	default:
		Deliver(w, r, d)
		d.release()
	}
}

// recall is run, or what the same question got since the newest block.
func (a *API) recall(q *query, of *route, tag string) (*Delivery, *Stream, error) {
	if tag == "" {
		return a.run(q, of, tag)
	}
	place := a.recent.place(q.view.Height(), tag, q.r.URL.RequestURI())
	if place == nil {
		return a.run(q, of, tag)
	}
	place.mu.Lock()
	if place.own { // nobody waits for what is another answer each time
		place.mu.Unlock()
		return a.run(q, of, tag)
	}
	defer place.mu.Unlock()
	if place.delivery == nil {
		d, stream, err := a.run(q, of, tag)
		if err != nil || stream != nil || q.unsteady {
			place.own = q.unsteady
			return d, stream, err
		}
		d.keep()
		d.packed = new(packed)
		place.delivery = d
		a.recent.grew(tag, d)
	}
	own := *place.delivery
	return &own, nil, nil
}

// run runs an operation, makes its answer's body and says how long it holds.
func (a *API) run(q *query, of *route, tag string) (*Delivery, *Stream, error) {
	done, err := a.turns.take(q.context(), of)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	q.done = done
	v, err := of.handle(q)
	if err != nil {
		return nil, nil, err
	}
	d := &Delivery{Status: http.StatusOK, Content: contentJSON, Final: q.final}
	switch v := v.(type) {
	case *Stream:
		return nil, v, nil
	case verbatim:
		d.Content, d.Body = v.content, v.body
	case accepted:
		d.Status = http.StatusAccepted
		d.write(v.value)
	default:
		d.write(v)
	}
	if !q.final && !q.unsteady {
		d.Tag = tag
	}
	return d, nil, nil
}

// Stream is an answer that is written piece by piece, and compressed as it goes to
// whoever takes that: it is neither held in memory nor tagged.
type Stream struct {
	Content string // media type
	Name    string // of the file that it is to be kept as; empty: none
	Write   func(w io.Writer) error
}

// stream sends a stream. A reader that takes nothing for as long as an answer
// may take is cut off, and so is one that is owed more than there is.
func (a *API) stream(w http.ResponseWriter, r *http.Request, s *Stream) {
	w.Header().Set("Content-Type", s.Content)
	w.Header().Set("Cache-Control", keepNone)
	if s.Name != "" {
		w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", s.Name))
	}
	w.Header().Add("Vary", "Accept-Encoding")
	encoding := encodingOf(r.Header.Get("Accept-Encoding"))
	if encoding != "" {
		w.Header().Set("Content-Encoding", encoding)
	}
	if r.Method == http.MethodHead {
		return
	}
	if err := packInto(patient{w, http.NewResponseController(w), a.limits.Time, a.metrics.streamed}, encoding, s.Write); err != nil {
		if r.Context().Err() == nil {
			a.log.Error("API", "request", w.Header().Get(headerRequestID), "path", r.URL.Path, "error", err)
		}
		panic(http.ErrAbortHandler)
	}
}

// patient gives each piece of a stream its own time.
type patient struct {
	w       http.ResponseWriter
	control *http.ResponseController
	time    time.Duration
	sum     prometheus.Counter // of what was written
}

// Write implements io.Writer.
func (p patient) Write(b []byte) (int, error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(p.time)) // a recorder knows none
	n, err := p.w.Write(b)
	p.sum.Add(float64(n))
	return n, err
}
