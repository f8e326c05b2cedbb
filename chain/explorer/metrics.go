package explorer

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// metrics are the API's own figures and, read when they are asked for, those
// of the chain and the index.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	streamed prometheus.Counter
}

func newMetrics() *metrics {
	return &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "perdure_api_requests_total",
			Help: "Requests to the explorer API by route and status code."}, []string{"route", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "perdure_api_request_duration_seconds",
			Help: "Time to answer a request to the explorer API, by route.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14)},
			[]string{"route"}),
		streamed: prometheus.NewCounter(prometheus.CounterOpts{Name: "perdure_api_export_bytes_total",
			Help: "Bytes of lists and tables that were sent whole, as CSV or in other forms."}),
	}
}

// noRoute is the route, in metrics, of requests that none takes.
const noRoute = "none"

// count counts an answer.
func (m *metrics) count(route string, code int) {
	m.requests.WithLabelValues(route, strconv.Itoa(code)).Inc()
}

// took notes how long an answer took that has an end.
func (m *metrics) took(route string, t time.Duration) {
	m.seconds.WithLabelValues(route).Observe(t.Seconds())
}

func (m *metrics) register(r prometheus.Registerer, a *API) error {
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.streamed, collector{a}, &gauges{a: a}} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}

var (
	descBlockTime = prometheus.NewDesc("perdure_chain_block_timestamp_seconds", "Time of the newest committed block, Unix seconds.", nil, nil)
	descPower     = prometheus.NewDesc("perdure_chain_power_bytes", "Proven bytes of all miners.", nil, nil)
	descMiners    = prometheus.NewDesc("perdure_chain_miners", "Miners registered so far.", nil, nil)
	descDeals     = prometheus.NewDesc("perdure_market_deals", "Deals matched so far.", nil, nil)
	descBook      = prometheus.NewDesc("perdure_market_book_orders", "Orders in the order book.", nil, nil)
	descIndex     = prometheus.NewDesc("perdure_index_height", "Height up to which the index is complete; 0 while it is being built.", nil, nil)
	descRules     = prometheus.NewDesc("perdure_chain_rule_version", "Version of the rules in force.", nil, nil)
	descUpgrade   = prometheus.NewDesc("perdure_chain_upgrade_height", "First height with rules that are announced; 0: none are.", nil, nil)
	descUnknown   = prometheus.NewDesc("perdure_chain_upgrade_unknown", "1 if this node does not know the rules that are announced and will stop.", nil, nil)
	descLag       = prometheus.NewDesc("perdure_index_lag_blocks", "Committed blocks that the index has not taken in.", nil, nil)
)

// collector reads figures of the newest state when they are asked for.
type collector struct{ a *API }

// Describe implements prometheus.Collector.
func (c collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descBlockTime, descPower, descMiners, descDeals, descBook, descIndex, descLag, descRules, descUpgrade, descUnknown} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v uint64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v))
	}
	_, indexed, _ := c.a.index.Tip()
	gauge(descIndex, uint64(indexed))
	view := c.a.node.Store().Visit()
	if view == nil {
		return
	}
	g, err := view.Global()
	if err != nil {
		to <- prometheus.NewInvalidMetric(descPower, err)
		return
	}
	gauge(descLag, uint64(view.Height()-min(indexed, view.Height())))
	gauge(descBlockTime, g.Time)
	gauge(descPower, g.Power)
	gauge(descRules, g.RuleVersion)
	gauge(descUpgrade, uint64(g.Upgrade.Height))
	gauge(descUnknown, unknown(g))
	gauge(descMiners, g.NextMiner-chain.FirstMinerID)
	gauge(descDeals, g.NextDeal-1)
	gauge(descBook, uint64(view.Book().Len()))
}

// unknown is 1 if announced rules are later than those that this node knows.
func unknown(g *chain.Global) uint64 {
	if g.Upgrade.RuleVersion > consensus.NewestRules {
		return 1
	}
	return 0
}
