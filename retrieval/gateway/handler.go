package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	ipfs "github.com/ipfs/boxo/gateway"
	"github.com/ipfs/boxo/namesys"
	"github.com/ipfs/boxo/path"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/prometheus/client_golang/prometheus"
)

// Config is what a gateway is made of. Zero values take the defaults.
type Config struct {
	Source Source
	// Metrics counts requests; nil: nothing is counted.
	Metrics prometheus.Registerer
	// MaxRequests and MaxPeerRequests bound the requests that are answered at one
	// time, of all and of one client address, default 1,024 and 256. Those beyond
	// are refused with 429.
	MaxRequests, MaxPeerRequests int
	// MaxMemory bounds, roughly, the bytes that answers under way take up, default
	// 1 GiB. What would take more is refused with 503, or breaks off. No client takes
	// up more of it than it leaves to all others.
	MaxMemory int64
	// Stall ends a response that makes no progress for that long, default 30 s.
	Stall time.Duration
	// Subdomains are host names below which each CID has an origin of its own, as
	// in CID.ipfs.localhost: pages of different payloads cannot reach into each
	// other, and their _redirects files are followed. Paths on these hosts are
	// redirected there.
	Subdomains []string
	// ConvertCodecs answers format=dag-json and dag-cbor for blocks of other codecs,
	// too, as gateways did before IPIP-524; else that is 406.
	ConvertCodecs bool
	// Beside are handlers that share the gateway's port and its bounds on requests and
	// readers, by the patterns of http.ServeMux.
	Beside map[string]http.Handler
	// Log gets what a client cannot be told; nil: nothing.
	Log *slog.Logger
}

func (c *Config) setDefaults() {
	if c.MaxRequests == 0 {
		c.MaxRequests = 1024
	}
	if c.MaxPeerRequests == 0 {
		c.MaxPeerRequests = 256
	}
	if c.MaxMemory == 0 {
		c.MaxMemory = 1 << 30
	}
	if c.Stall == 0 {
		c.Stall = 30 * time.Second
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// handler answers requests from a Source.
type handler struct {
	source Source
	memory *memory
	log    *slog.Logger
}

// New returns the handler of a gateway.
func New(cfg Config) (http.Handler, error) {
	cfg.setDefaults()
	h := &handler{source: cfg.Source, memory: newMemory(cfg.MaxMemory), log: cfg.Log}
	backend, err := newBackend(cfg.Source)
	if err != nil {
		return nil, err
	}
	// RetrievalTimeout stays off: nothing is waited for here that it would end, and a
	// reader that takes nothing holds the lock that it needs. See patience.
	conf := ipfs.Config{
		DeserializedResponses: true, NoDNSLink: true, AllowCodecConversion: cfg.ConvertCodecs,
		MetricsRegistry: cfg.Metrics, PublicGateways: map[string]*ipfs.PublicGateway{},
	}
	for _, name := range cfg.Subdomains {
		conf.PublicGateways[name] = &ipfs.PublicGateway{
			Paths: []string{"/ipfs"}, UseSubdomains: true, NoDNSLink: true, DeserializedResponses: true}
	}
	content := h.settle(ipfs.NewHandler(conf, backend))
	mux := http.NewServeMux()
	mux.Handle("/ipfs/", content)
	mux.Handle("/ipns/", content)
	mux.HandleFunc("/piece/{cid}", h.piece)
	mux.HandleFunc("/routing/v1/providers/{cid}", h.providers)
	mux.HandleFunc("GET /health/livez", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /health/readyz", h.ready)
	clean := http.NewServeMux() // redirects paths with // and .. before anything looks at them, as IPFS nodes do
	headers := ipfs.NewHeaders(map[string][]string{"Access-Control-Expose-Headers": {headerURI}}).ApplyCors()
	clean.Handle("/", headers.Wrap(ipfs.NewHostnameHandler(conf, backend, mux)))
	for pattern, beside := range cfg.Beside {
		clean.Handle(pattern, beside)
	}
	return patience(cfg.Stall, Limit(cfg.MaxRequests, cfg.MaxPeerRequests, clean)), nil
}

// ready answers /health/readyz.
func (h *handler) ready(w http.ResponseWriter, _ *http.Request) {
	if err := h.source.Ready(); err != nil {
		w.Header().Set("Retry-After", "1")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Write([]byte("ok\n"))
}

// noNames is a name system that knows no name and asks nobody for one.
type noNames struct{}

var errNoNames = ipfs.NewErrorStatusCode(errors.New("names are not resolved here: ask for /ipfs/CID"), http.StatusNotImplemented)

// Resolve implements namesys.Resolver.
func (noNames) Resolve(context.Context, path.Path, ...namesys.ResolveOption) (namesys.Result, error) {
	return namesys.Result{}, errNoNames
}

// ResolveAsync implements namesys.Resolver.
func (noNames) ResolveAsync(context.Context, path.Path, ...namesys.ResolveOption) <-chan namesys.AsyncResult {
	out := make(chan namesys.AsyncResult, 1)
	out <- namesys.AsyncResult{Err: errNoNames}
	close(out)
	return out
}

// Publish implements namesys.Publisher.
func (noNames) Publish(context.Context, crypto.PrivKey, path.Path, ...namesys.PublishOption) error {
	return errNoNames
}
