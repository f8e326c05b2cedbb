package compat

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
)

//go:embed openapi-compat.yaml
var openAPI []byte

// Source is the explorer's API in the same process; *explorer.API is one.
type Source interface {
	// Call answers a GET of a path of the API with the value behind its JSON,
	// or with a *explorer.Problem.
	Call(ctx context.Context, path string) (any, error)
	// Admit puts the API's limits around a handler.
	Admit(rules explorer.Rules, h http.Handler) http.Handler
}

// route is one path, in the manner of one of the three.
type route struct {
	path   string
	query  []string // names of the query parameters that it heeds
	handle func(*visit) (any, error)
	refuse func(*explorer.Problem) (int, any) // how it speaks of an error
	cost   int                                // requests that it counts as
}

// Costs: a list of messages tells the content of each, and a search for messages
// may read thousands.
const (
	costly   = 2
	costlier = 20
)

// Paths are the patterns under which New's handler is to be mounted.
var Paths = []string{"/api", "/api/v2/", "/cosmos/", "/v1/openapi-compat.yaml"}

// New makes the handler over an API and the engine behind it.
func New(s Source, e Engine) http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes() {
		mux.Handle("GET "+r.path, s.Admit(rules(r.cost, r.refuse), http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			body, err := r.handle(&visit{source: s, engine: e, r: req, query: req.URL.Query()})
			var p *explorer.Problem
			switch {
			case errors.As(err, &p):
				status, body := r.refuse(p)
				write(w, status, body)
			case err != nil:
				panic(err) // the guard logs it and answers
			default:
				write(w, http.StatusOK, body)
			}
		})))
	}
	mux.Handle("GET /v1/openapi-compat.yaml", s.Admit(rules(1, scoutProblem), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		w.Write(openAPI) // the reader is gone if this fails
	})))
	mux.Handle("/", s.Admit(rules(1, scoutProblem), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusNotFound, &message{"no such path; see /v1/openapi-compat.yaml"})
	})))
	return mux
}

// rules let scripts of any web page ask, as the API does.
func rules(cost int, refuse func(*explorer.Problem) (int, any)) explorer.Rules {
	return explorer.Rules{Name: "compat", Cost: cost, Open: true, Refuse: func(w http.ResponseWriter, _ *http.Request, p *explorer.Problem) {
		status, body := refuse(p)
		write(w, status, body)
	}}
}

func routes() []route {
	return append(append(blockscout(), cosmos()...), etherscan()...)
}

// message is how Blockscout speaks of an error.
type message struct {
	Message string `json:"message"`
}

func scoutProblem(p *explorer.Problem) (int, any) { return p.Status, &message{p.Detail} }

func write(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil { // answers are our own structs: only a mistake of ours can fail
		panic(fmt.Errorf("answer has no JSON form: %w", err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(status)
	w.Write(b.Bytes()) // the reader is gone if this fails
}

// visit is one request on its way to an answer.
type visit struct {
	source Source
	engine Engine
	r      *http.Request
	query  url.Values
}

// param is a query parameter.
func (v *visit) param(name string) string { return v.query.Get(name) }

// part is a part of the request's path.
func (v *visit) part(name string) string { return v.r.PathValue(name) }

// bounded reads a query parameter that bounds something; more than most is most.
func (v *visit) bounded(name string, usual, most int) (int, error) {
	s := v.param(name)
	if s == "" {
		return usual, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, refusal(http.StatusBadRequest, "%s %.40q: want a whole number from 1 on", name, s)
	}
	return min(n, most), nil
}

// ask asks the API, as explorer.CallFor does.
func ask[T any](v *visit, path string, query ...string) (*T, error) {
	return explorer.CallFor[T](v.r.Context(), v.source, path, query...)
}

func refusal(status int, format string, args ...any) *explorer.Problem {
	return &explorer.Problem{Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

// missing reports whether an error says that there is no such thing, or that
// the text cannot be the name of one.
func missing(err error) bool {
	var p *explorer.Problem
	return errors.As(err, &p) && p.Status < 500 && p.Status != http.StatusTooManyRequests
}

// tip is the height of the newest state.
func (v *visit) tip() (chain.Height, error) {
	id, err := ask[explorer.Identity](v, "/v1/node/id")
	if err != nil {
		return 0, err
	}
	return id.Height, nil
}

func escape(part string) string { return url.PathEscape(part) }

func decimal[T ~uint64 | ~int | ~int64](n T) string { return fmt.Sprint(n) }
