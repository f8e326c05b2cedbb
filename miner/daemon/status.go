package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/internal/lifecycle"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/sealing"
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
	Percent float64 `json:"percent,omitempty"` // of the step that is done
	Rate    float64 `json:"rate,omitempty"`    // nodes a second of the step, over the last minute
	ETA     string  `json:"eta,omitempty"`     // time left of the step
	Waiting string  `json:"waiting,omitempty"` // why it is not being sealed yet
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
		API:    "http://" + l.Addr().String(),
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
	out := s.info
	out.P2P = s.d.host.Addrs() // they come and go
	return out
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
	mux.HandleFunc("GET "+pathNet, func(w http.ResponseWriter, _ *http.Request) { answer(w, s.d.host.Report(), nil) })
	mux.HandleFunc("POST "+pathNet, s.d.probe)
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
		out[i] = SectorInfo{Sector: rec, Waiting: s.d.sealing.Waiting(rec.Number)}
		if p, ok := s.d.sealing.Progress(rec.Number); ok {
			out[i].tell(p)
		}
	}
	return out, nil
}

// tell adds how far the sealing is; numbers are rounded for people.
func (i *SectorInfo) tell(p sealing.Progress) {
	i.Step, i.Done, i.Total = string(p.Step), p.Done, p.Total
	i.Percent = math.Round(10*p.Percent()) / 10
	if p.Rate > 0 {
		i.Rate = math.Round(p.Rate)
		i.ETA = p.Left.Round(time.Second).String()
	}
}

// RunningSectors asks the daemon of a home for its sectors. It reports false if
// none runs.
func RunningSectors(ctx context.Context, home string) (sectors []SectorInfo, running bool, err error) {
	info, err := ReadInfo(home)
	if errors.Is(err, os.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, info.API+"/v1/sectors", nil)
	if err != nil {
		return nil, false, err
	}
	resp, err := http.DefaultClient.Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) { // it was stopped or killed
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("ask the running miner: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, false, fmt.Errorf("ask the running miner for its sectors: %s", resp.Status)
	}
	var answer struct{ Items []SectorInfo }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, false, fmt.Errorf("read the running miner's sectors: %w", err)
	}
	return answer.Items, true, nil
}
