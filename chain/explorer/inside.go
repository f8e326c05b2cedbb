package explorer

import (
	"context"
	"net/http"
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
	out := &taken{visit: visit{header: http.Header{}}, err: notFound("no such path; see /v1/openapi.yaml")}
	identify(out, r)
	a.calls.ServeHTTP(out, r)
	if out.err != nil {
		return nil, a.explain(r, out.Header().Get(headerRequestID), out.err)
	}
	return out.value, nil
}

// taken is a ResponseWriter that takes an answer before it is written.
type taken struct {
	visit
	value any
	err   error
}

// callMux routes as mux does, for Call.
func (a *API) callMux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, r := range a.routes() {
		if r.method != "" {
			continue
		}
		mux.HandleFunc(r.pattern(), func(w http.ResponseWriter, req *http.Request) {
			out := w.(*taken)
			q, err := a.newQuery(w, req, &r)
			if err == nil {
				defer q.close()
				out.value, err = r.handle(q)
			}
			out.err = err
		})
	}
	return mux
}
