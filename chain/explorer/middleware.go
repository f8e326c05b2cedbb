package explorer

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const headerRequestID = "X-Request-Id"

// requestID is what a caller may choose as the ID of its request.
var requestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// wrap puts around the routes what all requests have in common.
func (a *API) wrap(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		seen := &status{ResponseWriter: w, code: http.StatusOK}
		h, pattern := mux.Handler(r)
		a.head(seen, r)
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				a.refuse(seen, r, fmt.Errorf("panic: %v", p))
			}
			a.metrics.observe(pattern, seen.code, time.Since(start))
		}()
		switch {
		case r.Method == http.MethodOptions:
			seen.WriteHeader(http.StatusNoContent)
		case pattern == "":
			a.lost(seen, r, h)
		case !a.callers.let(w, r, start):
			a.refuse(seen, r, problem(http.StatusTooManyRequests, "more than %g requests a second from one address", a.limits.PerSecond))
		default:
			ctx, cancel := context.WithTimeout(r.Context(), a.limits.Time)
			defer cancel()
			a.deadline(w)
			mux.ServeHTTP(seen, r.WithContext(ctx))
		}
	})
}

// deadline cuts readers and writers that take longer than an answer may. A
// connection that knows no deadlines (a test's recorder) has none.
func (a *API) deadline(w http.ResponseWriter) {
	c, until := http.NewResponseController(w), time.Now().Add(a.limits.Time)
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

// head writes the headers that every answer of the API has: any web page may ask.
func (a *API) head(w http.ResponseWriter, r *http.Request) {
	identify(w, r)
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", headerRequestID+", Retry-After")
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "Content-Type, "+headerRequestID)
		h.Set("Access-Control-Max-Age", "86400")
	}
}

// lost answers a request that no route takes: 404, or 405 as the router says.
func (a *API) lost(w http.ResponseWriter, r *http.Request, router http.Handler) {
	probe := &status{ResponseWriter: discard{http.Header{}}, code: http.StatusOK}
	router.ServeHTTP(probe, r)
	if probe.code == http.StatusMethodNotAllowed {
		allow := probe.Header().Get("Allow")
		w.Header().Set("Allow", allow)
		a.refuse(w, r, problem(probe.code, "%s is not allowed here, only %s", clip(r.Method), allow))
		return
	}
	a.refuse(w, r, notFound("no such path; see /v1/openapi.yaml"))
}

// discard is where the router's own answer goes.
type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return d.header }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

// status remembers the status of an answer.
type status struct {
	http.ResponseWriter
	code int
}

// WriteHeader implements http.ResponseWriter.
func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController through.
func (s *status) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// maxCallers bounds the addresses that are remembered; beyond it, those that
// were not seen for a while are forgotten, then all.
const maxCallers = 100_000

// callers counts requests by IP address.
type callers struct {
	limits Limits
	mu     sync.Mutex
	by     map[string]*caller
}

type caller struct {
	bucket *rate.Limiter
	last   time.Time
}

func newCallers(l Limits) *callers { return &callers{limits: l, by: map[string]*caller{}} }

// let reports whether a request may be answered, and says in headers what is
// left. Callers on the same machine, and so a proxy there that does its own
// counting, are not counted.
func (c *callers) let(w http.ResponseWriter, r *http.Request, now time.Time) bool {
	from := callerOf(r.RemoteAddr)
	if ip := net.ParseIP(from); ip != nil && ip.IsLoopback() {
		return true
	}
	bucket := c.bucket(from, now)
	ok := bucket.AllowN(now, 1)
	left := max(bucket.TokensAt(now), 0)
	w.Header().Set("RateLimit", fmt.Sprintf("%q;r=%d", "ip", int(left)))
	w.Header().Set("RateLimit-Policy", fmt.Sprintf("%q;q=%d;w=1", "ip", int(math.Ceil(c.limits.PerSecond))))
	if !ok {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(1/c.limits.PerSecond))))
	}
	return ok
}

func (c *callers) bucket(from string, now time.Time) *rate.Limiter {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one := c.by[from]; one != nil {
		one.last = now
		return one.bucket
	}
	if len(c.by) >= maxCallers {
		c.forget(now)
	}
	b := rate.NewLimiter(rate.Limit(c.limits.PerSecond), c.limits.Burst)
	c.by[from] = &caller{b, now}
	return b
}

// forget drops the addresses whose bucket is full again.
func (c *callers) forget(now time.Time) {
	full := time.Duration(float64(c.limits.Burst) / c.limits.PerSecond * float64(time.Second))
	for k, one := range c.by {
		if now.Sub(one.last) > full {
			delete(c.by, k)
		}
	}
	if len(c.by) >= maxCallers {
		clear(c.by)
	}
}

// callerOf is what counts as one caller: an IPv4 address, or the 64-bit network
// of an IPv6 address, whose rest a caller chooses.
func callerOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	host, _, _ = strings.Cut(host, "%")
	ip := net.ParseIP(host)
	if ip == nil || ip.To4() != nil || ip.IsLoopback() {
		return host
	}
	return string(bytes.Clone(ip.To16()[:8]))
}
