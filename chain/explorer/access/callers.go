package access

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits bound what one caller may ask for. Callers on the node's own machine
// have no bounds.
type Limits struct {
	PerSecond float64 // cost of its requests, on the average
	Burst     int     // and at once
	Streams   int     // answers without end that it reads at once
}

// tokenShare is how much more a caller may ask for who shows a token.
const tokenShare = 10

// maxCallers bounds the callers that are remembered; beyond it, those that
// were not seen for a while are forgotten, then all that read no stream.
const maxCallers = 100_000

// Caller is who asks.
type Caller struct {
	Key   string // an IPv4 address, a network of IPv6 addresses, or a token
	Local bool   // on the same machine, by no proxy that says that it is one
	Scope Scope  // of the token that it shows; empty: none
	token bool
}

// callerIn is the key of a Caller in a context.
type callerIn struct{}

// With tells what answers a request who asks.
func (c Caller) With(ctx context.Context) context.Context {
	return context.WithValue(ctx, callerIn{}, c)
}

// From says who asks; a caller in the same process is not known.
func From(ctx context.Context) (c Caller, known bool) {
	c, known = ctx.Value(callerIn{}).(Caller)
	return c, known
}

// Callers counts what each caller asks for.
type Callers struct {
	limits  Limits
	proxies proxies

	mu sync.Mutex
	by map[string]*account
}

type account struct {
	bucket  *rate.Limiter
	last    time.Time
	streams int
}

// NewCallers makes the books. Proxies are addresses that are believed when they
// say, in X-Forwarded-For, for whom they ask.
func NewCallers(l Limits, proxies []netip.Prefix) *Callers {
	return &Callers{limits: l, proxies: proxies, by: map[string]*account{}}
}

// Of says who asks.
func (c *Callers) Of(r *http.Request) Caller {
	from := addressOf(r.RemoteAddr)
	if !from.IsValid() {
		return Caller{Key: r.RemoteAddr}
	}
	if !c.proxies.trust(from) {
		return Caller{Key: callerKey(from), Local: from.IsLoopback() && !passedOn(r)}
	}
	told := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	behind := false
	for i := len(told) - 1; i >= 0; i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(told[i]))
		if err != nil {
			break // what stands further left is a stranger's
		}
		from, behind = next.Unmap().WithZone(""), true
		if !c.proxies.trust(from) {
			break
		}
	}
	return Caller{Key: callerKey(from), Local: !behind && from.IsLoopback()}
}

// passedOn reports whether a request says that it came by a proxy. One that is not
// trusted is not believed for whom it asks, but that it asks for somebody else.
func passedOn(r *http.Request) bool {
	for _, name := range []string{"X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via"} {
		if len(r.Header.Values(name)) > 0 {
			return true
		}
	}
	return false
}

// OfToken is the caller that shows a token, wherever it asks from.
func OfToken(t *Token) Caller { return Caller{Key: "token " + t.Hash, Scope: t.Scope, token: true} }

// proxies are addresses that are believed when they say for whom they ask.
type proxies []netip.Prefix

func (p proxies) trust(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(of netip.Prefix) bool { return of.Contains(a) })
}

// addressOf reads host:port; what is none is the zero address.
func addressOf(remote string) netip.Addr {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

// callerKey is what counts as one caller: an IPv4 address, or the 64-bit
// network of an IPv6 address, whose rest a caller chooses.
func callerKey(a netip.Addr) string {
	if a.Is4() || a.IsLoopback() {
		return a.String()
	}
	p, err := a.Prefix(64)
	if err != nil {
		return a.String()
	}
	return p.String()
}

// PerSecond is the cost of the requests that a caller may make in a second, on the
// average.
func (c *Callers) PerSecond(who Caller) float64 { return c.limits.PerSecond * float64(who.share()) }

// share is how many times a caller may ask for what one without a token may.
func (c Caller) share() int {
	if c.token {
		return tokenShare
	}
	return 1
}

// Spend takes a request's cost from what a caller may ask for. It returns what
// is left, and how long to wait with a request that it may not make now: zero
// if it may. A cost beyond the burst counts as all of it.
func (c *Callers) Spend(who Caller, cost int, now time.Time) (left int, wait time.Duration) {
	if who.Local {
		return c.limits.Burst, 0
	}
	c.mu.Lock()
	bucket := c.account(who, now).bucket
	c.mu.Unlock()
	cost = min(cost, bucket.Burst())
	if bucket.AllowN(now, cost) {
		return int(max(bucket.TokensAt(now), 0)), 0
	}
	has := bucket.TokensAt(now)
	return int(max(has, 0)), max(time.Duration((float64(cost)-has)/float64(bucket.Limit())*float64(time.Second)), time.Millisecond)
}

// Stream counts an answer without end until done is called. It reports false if
// the caller reads as many as it may.
func (c *Callers) Stream(who Caller, now time.Time) (done func(), ok bool) {
	if who.Local {
		return func() {}, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.account(who, now)
	if one.streams >= c.limits.Streams {
		return nil, false
	}
	one.streams++
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		one.streams--
	}), true
}

func (c *Callers) account(who Caller, now time.Time) *account {
	if one := c.by[who.Key]; one != nil {
		one.last = now
		return one
	}
	if len(c.by) >= maxCallers {
		c.forget(now)
	}
	one := &account{bucket: rate.NewLimiter(rate.Limit(c.PerSecond(who)), c.limits.Burst*who.share()), last: now}
	c.by[who.Key] = one
	return one
}

// forget drops the callers whose bucket is full again and who read no stream.
func (c *Callers) forget(now time.Time) {
	full := time.Duration(float64(c.limits.Burst) / c.limits.PerSecond * float64(time.Second))
	drop := func(idle bool) {
		for k, one := range c.by {
			if one.streams == 0 && (!idle || now.Sub(one.last) > full) {
				delete(c.by, k)
			}
		}
	}
	if drop(true); len(c.by) >= maxCallers {
		drop(false)
	}
}
