package explorer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/chain/state"
)

const (
	contentJSON    = "application/json"
	contentProblem = "application/problem+json"
)

// Problem is an RFC 9457 problem: every error of the API.
type Problem struct {
	Type     string       `json:"type"` // always about:blank: Title says it all
	Title    string       `json:"title"`
	Status   int          `json:"status"`
	Detail   string       `json:"detail"`             // one line for people
	Instance string       `json:"instance,omitempty"` // the request's ID
	Code     uint32       `json:"code,omitempty"`     // consensus.Code of a refused message
	Oldest   chain.Height `json:"oldest,omitempty"`   // of what is kept, if something older was asked for
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

func problem(status int, format string, args ...any) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) error {
	return problem(http.StatusBadRequest, format, args...)
}

func notFound(format string, args ...any) error {
	return problem(http.StatusNotFound, format, args...)
}

// errNoState is returned before genesis.
var errNoState = problem(http.StatusServiceUnavailable, "the node has no state yet")

// problemOf is what a caller is told of an error. It reports false for an
// error that is the node's own affair.
func (a *API) problemOf(err error) (*Problem, bool) {
	var p *Problem
	var refusal *consensus.Refusal
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &p):
		own := *p
		return &own, true
	case errors.As(err, &refusal):
		p = problem(http.StatusUnprocessableEntity, "%s", refusal.Text)
		p.Code = uint32(refusal.Code)
		return p, true
	case errors.As(err, &large):
		return problem(http.StatusRequestEntityTooLarge, "request body exceeds %d bytes", large.Limit), true
	case errors.Is(err, index.ErrPlace):
		return problem(http.StatusBadRequest, "cursor is not of this list"), true
	case errors.Is(err, index.ErrBuilding):
		return problem(http.StatusServiceUnavailable, "the index is being built, ask again in a moment"), true
	case errors.Is(err, index.ErrOff):
		return problem(http.StatusServiceUnavailable, "the index is off: this node answers what the state alone tells"), true
	case errors.Is(err, index.ErrStopped):
		return problem(http.StatusServiceUnavailable, "the index has stopped; the node's log says why"), true
	case errors.Is(err, index.ErrClosed), errors.Is(err, state.ErrClosed):
		return problem(http.StatusServiceUnavailable, "the node is stopping"), true
	case errors.Is(err, state.ErrPruned):
		p = problem(http.StatusGone, "that height is no longer kept")
		p.Oldest = a.node.Store().Oldest()
		return p, true
	case errors.Is(err, os.ErrDeadlineExceeded):
		return problem(http.StatusRequestTimeout, "the request took too long to come"), true
	case errors.Is(err, context.DeadlineExceeded):
		return problem(http.StatusServiceUnavailable, "the answer took too long"), true
	case errors.Is(err, state.ErrFuture):
		return problem(http.StatusNotFound, "that height is not committed yet"), true
	}
	return problem(http.StatusInternalServerError, "the node could not answer; its log has more under this request's ID"), false
}

// refuse answers with a problem.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := a.explain(r, w.Header().Get(headerRequestID), err)
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Cache-Control", keepNone)
	d := &Delivery{Status: p.Status, Content: contentProblem}
	d.write(p)
	Deliver(w, r, d)
	d.release()
}

// explain is the problem that a request's caller is told of. What is the node's
// own affair goes to the log under the request's ID.
func (a *API) explain(r *http.Request, id string, err error) *Problem {
	p, known := a.problemOf(err)
	p.Instance = id
	if !known && r.Context().Err() == nil {
		a.log.Error("API", "request", p.Instance, "method", r.Method, "path", r.URL.Path, "error", err)
	}
	return p
}

// verbatim is an answer that is not JSON.
type verbatim struct {
	content string
	body    []byte
}

// accepted is an answer with status 202.
type accepted struct{ value any }
