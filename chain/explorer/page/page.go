package page

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"mime"
	"net/http"
	"strings"

	"github.com/perdure/perdure/chain/explorer"
)

// Source is the explorer's API in the same process; *explorer.API is one.
type Source interface {
	// Call answers a GET of a path of the API with the value behind its JSON,
	// or with a *explorer.Problem.
	Call(ctx context.Context, path string) (any, error)
	// Guard puts the API's limits around a handler.
	Guard(name string, h http.Handler, refuse func(http.ResponseWriter, *http.Request, *explorer.Problem)) http.Handler
}

// policy is the content security policy of every page.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Page is the handler of all pages.
type Page struct {
	source    Source
	mux       *http.ServeMux
	templates *template.Template
	files     *files
}

// New makes the pages of a source. What is asked for under no page's path, and
// not as HTML, goes to others.
func New(s Source, others http.Handler) (http.Handler, error) {
	p := &Page{source: s, mux: http.NewServeMux()}
	var err error
	if p.files, err = loadFiles(); err != nil {
		return nil, err
	}
	if p.templates, err = parse(p.files); err != nil {
		return nil, err
	}
	for path, draw := range routes {
		p.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, draw) })
	}
	p.mux.HandleFunc("GET /static/{name}", p.static)
	guarded := s.Guard("page", http.HandlerFunc(p.dispatch), p.refuse)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := p.mux.Handler(r); pattern == "" && !wantsHTML(r) {
			w.Header().Add("Vary", "Accept") // browsers get a page
			others.ServeHTTP(w, r)
			return
		}
		guarded.ServeHTTP(w, r)
	}), nil
}

// wantsHTML reports whether a request names HTML among what it accepts, as
// browsers do and programs do not.
func wantsHTML(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		if t, _, err := mime.ParseMediaType(part); err == nil && (t == "text/html" || t == "application/xhtml+xml") {
			return true
		}
	}
	return false
}

// dispatch finds the page.
func (p *Page) dispatch(w http.ResponseWriter, r *http.Request) {
	_, pattern := p.mux.Handler(r)
	switch {
	case pattern != "":
		p.mux.ServeHTTP(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		p.refuse(w, r, newProblem(http.StatusMethodNotAllowed, "pages are only read; messages are sent to /v1/messages"))
	default:
		p.refuse(w, r, newProblem(http.StatusNotFound, "there is no page at this address"))
	}
}

func newProblem(status int, format string, args ...any) *explorer.Problem {
	return &explorer.Problem{Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

// redirect is what a page returns that only knows where to go.
type redirect string

// Error implements error.
func (r redirect) Error() string { return "see " + string(r) }

// serve makes a document and sends it, or the problem that kept it from being
// made.
func (p *Page) serve(w http.ResponseWriter, r *http.Request, draw func(*visit) (*document, error)) {
	v, err := p.visit(r)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	d, err := draw(v)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	p.send(w, v, http.StatusOK, d)
}

func (p *Page) fail(w http.ResponseWriter, r *http.Request, err error) {
	var to redirect
	var problem *explorer.Problem
	switch {
	case errors.As(err, &to):
		w.Header().Set("Content-Security-Policy", policy)
		http.Redirect(w, r, string(to), http.StatusSeeOther)
	case errors.As(err, &problem):
		p.refuse(w, r, problem)
	default:
		panic(err) // a mistake of ours: the guard logs it and answers
	}
}

// refuse sends a problem as a page.
func (p *Page) refuse(w http.ResponseWriter, r *http.Request, problem *explorer.Problem) {
	d := &document{Title: problem.Title, Kicker: fmt.Sprint(problem.Status)}
	s := section{Note: sentence(problem.Detail)}
	if problem.Oldest > 0 {
		s.Links = append(s.Links, anchor{fmt.Sprintf("Block %s, the oldest that is kept", group(uint64(problem.Oldest))), blockPath(problem.Oldest)})
	}
	if problem.Status >= http.StatusInternalServerError && problem.Instance != "" {
		s.Facts = append(s.Facts, fact{Label: "Request", Values: only(code(problem.Instance))})
	}
	s.Links = append(s.Links, anchor{"Home", "/"})
	d.Sections = []section{s}
	if problem.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	v, err := p.visit(r)
	if err != nil { // not even the chain's name is to be had
		v = p.newVisit(r)
	}
	p.send(w, v, problem.Status, d)
}

// send draws a document and writes it.
func (p *Page) send(w http.ResponseWriter, v *visit, status int, d *document) {
	var b bytes.Buffer
	if err := p.templates.ExecuteTemplate(&b, "page", v.frame(d)); err != nil {
		panic(fmt.Errorf("draw %s: %w", v.r.URL.Path, err)) // a mistake of ours
	}
	h := w.Header()
	h.Set("Content-Security-Policy", policyFor(v.query.Get("api")))
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	h.Set("Vary", "Accept") // programs get JSON
	explorer.Deliver(w, v.r, &explorer.Delivery{Status: status, Content: "text/html; charset=utf-8", Body: b.Bytes()})
}
