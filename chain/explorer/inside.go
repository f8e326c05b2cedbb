package explorer

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
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

// Caller answers GETs of the API in the same process; *API is one.
type Caller interface {
	Call(ctx context.Context, path string) (any, error)
}

// CallFor asks for a path whose answer is a *T; query are names and values of its
// parameters, of which empty ones are left out.
func CallFor[T any](ctx context.Context, c Caller, path string, query ...string) (*T, error) {
	if q := EncodeQuery(query...); q != "" {
		path += "?" + q
	}
	got, err := c.Call(ctx, path)
	if err != nil {
		return nil, err
	}
	out, ok := got.(*T)
	if !ok {
		return nil, fmt.Errorf("%s answers with %T, want %T", path, got, out)
	}
	return out, nil
}

// EncodeQuery writes names and values as a query, without those that are empty.
func EncodeQuery(query ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		if query[i+1] != "" {
			q.Set(query[i], query[i+1])
		}
	}
	return q.Encode()
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
			q, err := a.newQuery(w, req, r.read(req))
			if err != nil {
				out.err = err
				return
			}
			defer q.close()
			done, err := a.turns.take(req.Context(), &r)
			if err != nil {
				out.err = err
				return
			}
			defer done()
			q.done = done
			out.value, out.err = r.handle(q)
		})
	}
	return mux
}
