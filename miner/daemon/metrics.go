package daemon

import (
	"context"
	"math/big"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/perdure/perdure/chain"
)

// collector turns the daemon's state into metrics when it is scraped.
type collector struct{ s *status }

func metric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("perdure_miner_"+name, help, labels, nil)
}

var (
	metricHeight      = metric("height", "Height of the last Update taken in.")
	metricSectors     = metric("sectors", "Sectors by state.", "state")
	metricDeals       = metric("deals", "Deals by state.", "state")
	metricProofs      = metric("window_proofs_total", "Window proofs by outcome.", "outcome")
	metricParked      = metric("sectors_parked", "Sectors whose sealing met a problem and is tried again.")
	metricWaiting     = metric("sectors_waiting", "Packed sectors that the limits of sealing do not let in yet.")
	metricSealSeconds = metric("seal_step_seconds_total", "Time that sealing spent in a step, added over sectors.", "step")
	metricSealNodes   = metric("seal_nodes_total", "Nodes of 32 bytes that a step of sealing has done.", "step")
	metricSealSectors = metric("seal_sectors", "Sectors that are in a step of sealing now.", "step")
	metricDiskFree    = metric("disk_free_bytes", "Room on the miner's disk.")
	metricServed      = metric("served_bytes_total", "Block bytes served.")
	metricChunks      = metric("chunks_total", "Chunks by whether they were paid.", "paid")
	metricEarned      = metric("retrieval_earned_pdr_total", "Paid for chunks since the start.")
	metricBalance     = metric("balance_pdr", "Free money on chain, of the miner and of its worker.", "of")
	metricDebt        = metric("debt_pdr", "Fines that the miner has not paid yet.")
	metricDeadline    = metric("next_deadline_seconds", "Time until the next window with sectors of the miner opens, about; 0 while one is open.")
)

// Describe implements prometheus.Collector.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		metricHeight, metricSectors, metricDeals, metricProofs, metricParked, metricWaiting,
		metricSealSeconds, metricSealNodes, metricSealSectors, metricDiskFree, metricServed, metricChunks,
		metricEarned, metricBalance, metricDebt, metricDeadline,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	out := scrape(ch)
	out.gauge(metricHeight, float64(c.s.read().Height))
	c.records(out)
	c.sealing(out)
	p := c.s.d.proving.Stats()
	out.count(metricProofs, float64(p.Proven), "accepted")
	out.count(metricProofs, float64(p.Failed), "failed")
	if free, err := c.s.d.disk.Free(); err == nil {
		out.gauge(metricDiskFree, float64(free))
	}
	served := c.s.d.seller.Stats()
	out.count(metricServed, float64(served.Bytes))
	out.count(metricChunks, float64(served.Paid), "yes")
	out.count(metricChunks, float64(served.Unpaid), "no")
	out.count(metricEarned, inPDR(served.Earned))
	c.chain(out)
}

// askTime is how long a scrape waits for the node.
const askTime = 2 * time.Second

// chain tells what the node knows of the miner: nothing if it does not answer.
func (c collector) chain(out scrape) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	d := c.s.d
	var m struct {
		Height        chain.Height
		Balance, Debt chain.Amount
		NextDeadline  *struct{ Opens chain.Height }
	}
	if err := d.node.JSON(ctx, "/v1/miners/"+url.PathEscape(chain.FormatMiner(d.id, d.params.Network)), &m); err != nil {
		return
	}
	out.gauge(metricBalance, inPDR(m.Balance), "miner")
	out.gauge(metricDebt, inPDR(m.Debt))
	if next := m.NextDeadline; next != nil {
		wait := uint64(max(next.Opens, m.Height)-m.Height) * d.params.BlockMillis
		out.gauge(metricDeadline, float64(wait)/1000)
	}
	if worker, err := d.node.Account(ctx, d.send.address()); err == nil {
		out.gauge(metricBalance, inPDR(worker.Balance), "worker")
	}
}

// inPDR is an amount as Prometheus keeps it, rounded.
func inPDR(a chain.Amount) float64 {
	f, _ := new(big.Float).SetInt(a.Big()).Float64()
	return f / 1e18
}

// records counts what the miner's records hold.
func (c collector) records(out scrape) {
	parked, sectors, deals := 0, map[string]int{}, map[string]int{}
	if all, err := c.s.d.records.Sectors(); err == nil {
		for _, rec := range all {
			sectors[string(rec.State)]++
			if rec.Problem != "" {
				parked++
			}
		}
	}
	if all, err := c.s.d.records.Deals(); err == nil {
		for _, rec := range all {
			deals[string(rec.State)]++
		}
	}
	for state, n := range sectors {
		out.gauge(metricSectors, float64(n), state)
	}
	for state, n := range deals {
		out.gauge(metricDeals, float64(n), state)
	}
	out.gauge(metricParked, float64(parked))
}

func (c collector) sealing(out scrape) {
	s := c.s.d.sealing.Stats()
	out.gauge(metricWaiting, float64(s.Waiting))
	for step, seconds := range s.Seconds {
		out.count(metricSealSeconds, seconds, string(step))
		if s.Sectors[step] == 0 { // nobody is in it now
			out.gauge(metricSealSectors, 0, string(step))
		}
	}
	for step, nodes := range s.Nodes {
		out.count(metricSealNodes, float64(nodes), string(step))
	}
	for step, n := range s.Sectors {
		if n == 0 {
			continue
		}
		out.gauge(metricSealSectors, float64(n), string(step))
	}
}

// scrape takes the metrics of one look.
type scrape chan<- prometheus.Metric

func (s scrape) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (s scrape) count(d *prometheus.Desc, v float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}
