package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/internal/lifecycle"
	"github.com/perdure/perdure/miner"
)

// Info is what a running daemon says of itself, at /v1/status and in the file
// miner.json of its home.
type Info struct {
	Miner  string       `json:"miner"`
	Worker string       `json:"worker"`
	API    string       `json:"api"`
	P2P    []string     `json:"p2p"`
	Height chain.Height `json:"height"` // last Update taken in
}

// InfoPath is the file in which a running daemon says where it is.
func InfoPath(home string) string { return filepath.Join(home, "miner.json") }

// SectorInfo is a sector with how far its sealing is.
type SectorInfo struct {
	*miner.Sector
	Rate float64 `json:"rate,omitempty"` // nodes a second of the step
	ETA  string  `json:"eta,omitempty"`  // of the step
}

// status is the daemon's own API, on loopback unless configured otherwise.
type status struct {
	d        *Daemon
	listener net.Listener
	metrics  *prometheus.Registry

	mu   sync.Mutex
	info Info
}

func newStatus(d *Daemon) (*status, error) {
	l, err := net.Listen("tcp", d.opts.Config.API)
	if err != nil {
		return nil, fmt.Errorf("listen on api address: %w", err)
	}
	d.parts.OnClose("status listener", func() error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	s := &status{d: d, listener: l, metrics: prometheus.NewRegistry(), info: Info{
		Miner:  chain.FormatMiner(d.id, d.params.Network),
		Worker: chain.FormatAddress(d.send.address(), d.params.Network),
		API:    "http://" + l.Addr().String(), P2P: d.host.Addrs(),
	}}
	s.metrics.MustRegister(collector{s})
	return s, s.writeInfo()
}

func (s *status) addr() string { return s.listener.Addr().String() }

func (s *status) writeInfo() error {
	raw, err := json.MarshalIndent(s.read(), "", "  ")
	if err != nil {
		return err
	}
	return lifecycle.WriteFile(InfoPath(s.d.opts.Home), append(raw, '\n'), 0o644)
}

func (s *status) saw(u *consensus.Update) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.info.Height = u.Height
}

func (s *status) read() Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.info
}

// Run serves until ctx ends.
func (s *status) Run(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.read(), nil) })
	mux.HandleFunc("GET /v1/sectors", func(w http.ResponseWriter, _ *http.Request) {
		all, err := s.sectors()
		answer(w, map[string]any{"items": all}, err)
	})
	mux.HandleFunc("GET /v1/deals", func(w http.ResponseWriter, _ *http.Request) {
		all, err := s.d.records.Deals()
		answer(w, map[string]any{"items": all}, err)
	})
	mux.HandleFunc("POST "+pathAsk, s.d.setAsk)
	mux.HandleFunc("GET /health/livez", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusInternalServerError)
		v = map[string]any{"title": "internal error", "status": http.StatusInternalServerError, "detail": err.Error()}
	}
	json.NewEncoder(w).Encode(v) // the reader is gone if this fails
}

// Sectors are the miner's sectors with how far the sealing of each is.
func (d *Daemon) Sectors() ([]SectorInfo, error) { return d.status.sectors() }

func (s *status) sectors() ([]SectorInfo, error) {
	all, err := s.d.records.Sectors()
	if err != nil {
		return nil, err
	}
	out := make([]SectorInfo, len(all))
	for i, rec := range all {
		out[i] = SectorInfo{Sector: rec}
		p, ok := s.d.sealing.Progress(rec.Number)
		if !ok {
			continue
		}
		rec.Step, rec.Done, rec.Total = string(p.Step), p.Done, p.Total
		if spent := time.Since(p.Since); p.Done > 0 && spent > 0 {
			out[i].Rate = float64(p.Done) / spent.Seconds()
			left := time.Duration(float64(p.Total-min(p.Done, p.Total)) / out[i].Rate * float64(time.Second))
			out[i].ETA = left.Round(time.Second).String()
		}
	}
	return out, nil
}

// collector turns the daemon's state into metrics when it is scraped.
type collector struct{ s *status }

var (
	metricHeight   = prometheus.NewDesc("perdure_miner_height", "Height of the last Update taken in.", nil, nil)
	metricSectors  = prometheus.NewDesc("perdure_miner_sectors", "Sectors by state.", []string{"state"}, nil)
	metricDeals    = prometheus.NewDesc("perdure_miner_deals", "Deals by state.", []string{"state"}, nil)
	metricProofs   = prometheus.NewDesc("perdure_miner_window_proofs_total", "Window proofs by outcome.", []string{"outcome"}, nil)
	metricParked   = prometheus.NewDesc("perdure_miner_sectors_parked", "Sectors whose sealing met a problem and is tried again.", nil, nil)
	metricDiskFree = prometheus.NewDesc("perdure_miner_disk_free_bytes", "Room on the miner's disk.", nil, nil)
	metricServed   = prometheus.NewDesc("perdure_miner_served_bytes_total", "Block bytes served.", nil, nil)
	metricChunks   = prometheus.NewDesc("perdure_miner_chunks_total", "Chunks by whether they were paid.", []string{"paid"}, nil)
)

// Describe implements prometheus.Collector.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{metricHeight, metricSectors, metricDeals, metricProofs, metricParked, metricDiskFree, metricServed, metricChunks} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(metricHeight, float64(c.s.read().Height))
	parked, sectors := 0, map[string]int{}
	if all, err := c.s.d.records.Sectors(); err == nil {
		for _, rec := range all {
			sectors[string(rec.State)]++
			if rec.Problem != "" {
				parked++
			}
		}
	}
	for state, n := range sectors {
		gauge(metricSectors, float64(n), state)
	}
	gauge(metricParked, float64(parked))
	deals := map[string]int{}
	if all, err := c.s.d.records.Deals(); err == nil {
		for _, rec := range all {
			deals[string(rec.State)]++
		}
	}
	for state, n := range deals {
		gauge(metricDeals, float64(n), state)
	}
	p := c.s.d.proving.Stats()
	count(metricProofs, p.Proven, "accepted")
	count(metricProofs, p.Failed, "failed")
	if free, err := c.s.d.disk.Free(); err == nil {
		gauge(metricDiskFree, float64(free))
	}
	served := c.s.d.seller.Stats()
	count(metricServed, served.Bytes)
	count(metricChunks, served.Paid, "yes")
	count(metricChunks, served.Unpaid, "no")
}
