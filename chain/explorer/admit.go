package explorer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/perdure/perdure/chain/explorer/access"
)

const headerRequestID = "X-Request-Id"

// requestID is what a caller may choose as the ID of its request.
var requestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// Rules say how requests to a handler are let in. The zero value is for
// answers that anybody may have and that end soon.
type Rules struct {
	Name   string       // in metrics
	Cost   int          // requests that it counts as; 0: 1
	Stream bool         // it has no end: it counts among its caller's streams and its time has no bound
	Scope  access.Scope // that a token has to have; empty: none is needed
	Open   bool         // scripts of any web page may ask (CORS)
	// Refuse answers with a problem in the handler's own form; nil: as JSON.
	Refuse func(http.ResponseWriter, *http.Request, *Problem)
}

// Admit puts around a handler what the API has around its own: the request's
// ID, the check of its token, its caller's limits (one for all that the node
// answers), the bounds on time, metrics, and an answer to a panic.
func (a *API) Admit(rules Rules, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		identify(w, r)
		if rules.Open {
			open(w, r)
			if r.Method == http.MethodOptions {
				w.WriteHeader(http.StatusNoContent)
				return
			}
		}
		a.admit(w, r, &rules, h.ServeHTTP)
	})
}

// Guard is Admit for a handler that answers from Call, such as the page.
func (a *API) Guard(name string, h http.Handler, refuse func(http.ResponseWriter, *http.Request, *Problem)) http.Handler {
	return a.Admit(Rules{Name: name, Refuse: refuse}, h)
}

func (a *API) admit(w http.ResponseWriter, r *http.Request, rules *Rules, h http.HandlerFunc) {
	start := time.Now()
	seen := &status{ResponseWriter: w, code: http.StatusOK}
	refuse := func(err error) {
		p := a.explain(r, seen.Header().Get(headerRequestID), err)
		if rules.Refuse != nil {
			rules.Refuse(seen, r, p)
			return
		}
		a.refuse(seen, r, p)
	}
	defer func() {
		p := recover()
		if p != nil && p != http.ErrAbortHandler && !seen.sent {
			refuse(fmt.Errorf("panic: %v", p))
			p = nil
		}
		a.metrics.count(rules.Name, seen.code)
		if !rules.Stream {
			a.metrics.took(rules.Name, time.Since(start))
		}
		if p != nil {
			panic(http.ErrAbortHandler) // the reader has a part: cut it off
		}
	}()
	who, err := a.caller(seen, r, rules, start)
	if err != nil {
		refuse(err)
		return
	}
	ctx := who.With(r.Context())
	if rules.Stream {
		done, ok := a.callers.Stream(who, start)
		if !ok {
			refuse(problem(http.StatusTooManyRequests, "more than %d streams of one caller at once", a.limits.Streams))
			return
		}
		defer done()
		h(seen, r.WithContext(ctx))
		return
	}
	ctx, cancel := context.WithTimeout(ctx, a.limits.Time)
	defer cancel()
	a.deadline(w)
	h(seen, r.WithContext(ctx))
}

// wrongToken is what a wrong token costs, so that nobody tries many.
const wrongToken = 20

// caller says who asks, checks its token if it shows one, and takes the cost of
// the request from what it may ask for.
func (a *API) caller(w http.ResponseWriter, r *http.Request, rules *Rules, now time.Time) (access.Caller, error) {
	who, cost := a.callers.Of(r), max(rules.Cost, 1)
	scope, denied := access.Scope(""), error(nil)
	if secret, ok := bearer(r); ok {
		token, err := a.check(secret, now)
		switch {
		case err == nil:
			scope, who = token.Scope, access.OfToken(&token)
		case errors.Is(err, access.ErrUnknown), errors.Is(err, access.ErrExpired):
			cost, denied = wrongToken, problem(http.StatusUnauthorized, "%v", err)
		default:
			return who, err
		}
	}
	if err := a.spend(w, who, cost, now); err != nil {
		return who, err
	}
	switch {
	case denied == nil && scope.Allows(rules.Scope):
		return who, nil
	case denied == nil && scope != "":
		return who, problem(http.StatusForbidden, "the token allows %s, this needs %s", scope, rules.Scope)
	case denied == nil:
		denied = problem(http.StatusUnauthorized, "this needs a token that allows %s: Authorization: Bearer TOKEN", rules.Scope)
	}
	w.Header().Set("WWW-Authenticate", "Bearer")
	return who, denied
}

// bearer reads the token that a request shows.
func bearer(r *http.Request) (secret string, ok bool) {
	scheme, secret, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(secret), ok && strings.EqualFold(scheme, "Bearer")
}

func (a *API) check(secret string, now time.Time) (access.Token, error) {
	if a.config.Tokens == nil {
		return access.Token{}, access.ErrUnknown
	}
	return a.config.Tokens.Check(secret, now)
}

// spend takes a cost from what a caller may ask for, and says in headers what
// is left.
func (a *API) spend(w http.ResponseWriter, who access.Caller, cost int, now time.Time) error {
	if who.Local {
		return nil
	}
	left, wait := a.callers.Spend(who, cost, now)
	w.Header().Set("RateLimit", fmt.Sprintf(`"caller";r=%d`, left))
	most := a.callers.PerSecond(who)
	w.Header().Set("RateLimit-Policy", fmt.Sprintf(`"caller";q=%d;w=1`, int(math.Ceil(most))))
	if wait == 0 {
		return nil
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	return problem(http.StatusTooManyRequests, "more than %g requests a second from one caller; this one counts as %d", most, cost)
}

// deadline cuts readers and writers that take longer than an answer may, and some
// time more, in which a caller can be told that it took too long. A connection
// that knows no deadlines (a test's recorder) has none.
func (a *API) deadline(w http.ResponseWriter) {
	c, until := http.NewResponseController(w), time.Now().Add(a.limits.Time+a.limits.Time/4)
	for _, set := range []func(time.Time) error{c.SetReadDeadline, c.SetWriteDeadline} {
		if err := set(until); err != nil && !errors.Is(err, http.ErrNotSupported) {
			a.log.Debug("API", "deadline", err)
		}
	}
}

// identify gives a request its ID and writes the headers that every answer has.
func identify(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get(headerRequestID)
	if !requestID.MatchString(id) {
		id = rand.Text()
	}
	w.Header().Set(headerRequestID, id)
	w.Header().Set("X-Content-Type-Options", "nosniff")
}

// open lets the scripts of any web page ask.
func open(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", headerRequestID+", Retry-After, ETag, RateLimit, RateLimit-Policy")
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-None-Match, Last-Event-ID, "+headerRequestID)
		h.Set("Access-Control-Max-Age", "86400")
	}
}

// status remembers the status of an answer.
type status struct {
	http.ResponseWriter
	code int
	sent bool // its head, at least
}

// WriteHeader implements http.ResponseWriter.
func (s *status) WriteHeader(code int) {
	s.code, s.sent = code, true
	s.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (s *status) Write(b []byte) (int, error) {
	s.sent = true
	return s.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController through.
func (s *status) Unwrap() http.ResponseWriter { return s.ResponseWriter }
