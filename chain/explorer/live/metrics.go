package live

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the figures of a hub.
type metrics struct {
	streams *prometheus.GaugeVec
	cut     *prometheus.CounterVec
	frames  prometheus.Counter
}

// Why streams are ended by the node, as metrics name it.
const (
	cutRefused = "refused"
	cutSlow    = "slow"
	cutPruned  = "pruned"
	cutFailed  = "failed" // the node could not read a block
	cutStuck   = "stuck"  // the reader took nothing
)

func newMetrics() *metrics {
	m := &metrics{
		streams: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "perdure_live_subscribers",
			Help: "Live streams that are open, by transport."}, []string{"transport"}),
		cut: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "perdure_live_cut_total",
			Help: "Live streams that the node ended, by reason."}, []string{"reason"}),
		frames: prometheus.NewCounter(prometheus.CounterOpts{Name: "perdure_live_frames_total",
			Help: "Frames sent to live streams, without heartbeats."}),
	}
	for _, t := range []string{transportSocket, transportEvents} {
		m.streams.WithLabelValues(t)
	}
	for _, why := range []string{cutRefused, cutSlow, cutPruned, cutFailed, cutStuck} {
		m.cut.WithLabelValues(why)
	}
	return m
}

func (m *metrics) register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m.streams, m.cut, m.frames} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}
