package live

import (
	"cmp"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/perdure/perdure/chain"
)

// Limits bound what readers may cost.
type Limits struct {
	Streams   int           // at once
	Topics    int           // of one stream
	Request   int           // bytes of what a WebSocket's reader may send at once
	Requests  int           // that it may make in a second, and at once; further ones wait
	Lag       chain.Height  // heights that a reader who was at the head may fall behind it
	Ring      int           // newest blocks that are kept encoded; more than Lag
	RingBytes int           // and how large they may be
	Write     time.Duration // in which a reader must take what it is given
	Heartbeat time.Duration // between two signs of life
}

// DefaultLimits are what a node streams with.
func DefaultLimits() Limits {
	return Limits{Streams: 4000, Topics: 64, Request: 16 << 10, Requests: 20, Lag: 100, Ring: 128, RingBytes: 16 << 20,
		Write: 10 * time.Second, Heartbeat: 15 * time.Second}
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	return Limits{Streams: cmp.Or(l.Streams, d.Streams), Topics: cmp.Or(l.Topics, d.Topics), Request: cmp.Or(l.Request, d.Request),
		Requests: cmp.Or(l.Requests, d.Requests), Lag: cmp.Or(l.Lag, d.Lag), Ring: cmp.Or(l.Ring, d.Ring), RingBytes: cmp.Or(l.RingBytes, d.RingBytes),
		Write: cmp.Or(l.Write, d.Write), Heartbeat: cmp.Or(l.Heartbeat, d.Heartbeat)}
}

// Config is what New needs; Feed and ChainID are required.
type Config struct {
	Feed    Feed
	ChainID string
	Limits  Limits // zero fields: DefaultLimits
	// Refuse answers a request that does not become a stream. oldest is the
	// oldest height that is kept if something older was asked for.
	Refuse   func(w http.ResponseWriter, r *http.Request, status int, oldest chain.Height, detail string)
	Registry prometheus.Registerer // nil: no metrics
	Log      *slog.Logger          // nil: none
}

// Hub streams a feed.
type Hub struct {
	feed    Feed
	mark    marker
	limits  Limits
	refuse  func(http.ResponseWriter, *http.Request, int, chain.Height, string)
	log     *slog.Logger
	ring    *ring
	metrics *metrics

	mu       sync.Mutex
	streams  int
	stopping bool
	stop     chan struct{}
	open     sync.WaitGroup
}

// New makes a hub. In the end it is closed.
func New(c Config) (*Hub, error) {
	h := &Hub{feed: c.Feed, mark: newMarker(c.ChainID), limits: c.Limits.orDefault(), refuse: c.Refuse, log: c.Log,
		metrics: newMetrics(), stop: make(chan struct{})}
	if h.refuse == nil {
		h.refuse = func(w http.ResponseWriter, _ *http.Request, status int, _ chain.Height, detail string) {
			http.Error(w, detail, status)
		}
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.ring = newRing(c.Feed, h.limits)
	if c.Registry != nil {
		if err := h.metrics.register(c.Registry); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// Close ends all streams and waits for them. Requests that come later are refused.
func (h *Hub) Close() {
	h.mu.Lock()
	if !h.stopping {
		h.stopping = true
		close(h.stop)
	}
	h.mu.Unlock()
	h.open.Wait()
}

// enter counts a stream that a request opens, or refuses the request. How many
// of them are one caller's is not counted here.
func (h *Hub) enter(w http.ResponseWriter, r *http.Request, transport string) (leave func(), ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.stopping:
		h.refuse(w, r, http.StatusServiceUnavailable, 0, "the node is stopping")
		return nil, false
	case h.streams >= h.limits.Streams:
		h.refuse(w, r, http.StatusServiceUnavailable, 0, "the node has no room for another stream")
		return nil, false
	}
	h.streams++
	h.open.Add(1)
	h.metrics.streams.WithLabelValues(transport).Inc()
	return func() {
		h.mu.Lock()
		h.streams--
		h.mu.Unlock()
		h.metrics.streams.WithLabelValues(transport).Dec()
		h.open.Done()
	}, true
}

// readable refuses what is no GET.
func (h *Hub) readable(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	h.refuse(w, r, http.StatusMethodNotAllowed, 0, "streams are only read")
	return false
}
