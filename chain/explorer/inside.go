package explorer

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Call answers a GET of a path of the API, with its query, to a caller in the
// same process: the value that a caller outside gets as JSON (a *Status, a
// *List[*Deal], as the handlers make them), or a *Problem. It neither counts the
// caller nor bounds the time: Guard does.
func (a *API) Call(ctx context.Context, path string) (any, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, problem(http.StatusBadRequest, "not a path: %q", clip(path))
	}
	out := &taken{discard: discard{http.Header{}}, err: notFound("no such path; see /v1/openapi.yaml")}
	identify(out, r)
	a.calls.ServeHTTP(out, r)
	if out.err != nil {
		return nil, a.explain(r, out.Header().Get(headerRequestID), out.err)
	}
	return out.value, nil
}

// taken is a ResponseWriter that takes an answer before it is written.
type taken struct {
	discard
	value any
	err   error
}

// callMux routes as mux does, for Call.
func (a *API) callMux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, r := range a.routes() {
		if r.method != http.MethodGet {
			continue
		}
		mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, req *http.Request) {
			out := w.(*taken)
			out.value, out.err = a.run(w, req, &r)
		})
	}
	return mux
}

// Guard puts around a handler that stands beside the API, and answers from
// Call, what the API has around its own: the request's ID, the caller's limit
// (one for both), the bounds on time, metrics under the name, and an answer to
// a panic. refuse answers with a problem in the handler's own form.
func (a *API) Guard(name string, h http.Handler, refuse func(http.ResponseWriter, *http.Request, *Problem)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		seen := &status{ResponseWriter: w, code: http.StatusOK}
		identify(seen, r)
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				refuse(seen, r, a.explain(r, seen.Header().Get(headerRequestID), fmt.Errorf("panic: %v", p)))
			}
			a.metrics.observe(name, seen.code, time.Since(start))
		}()
		if !a.callers.let(w, r, start) {
			refuse(seen, r, problem(http.StatusTooManyRequests, "more than %g requests a second from one address", a.limits.PerSecond))
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), a.limits.Time)
		defer cancel()
		a.deadline(w)
		h.ServeHTTP(seen, r.WithContext(ctx))
	})
}
