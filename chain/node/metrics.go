package node

import "github.com/prometheus/client_golang/prometheus"

// The node's own metrics.
var (
	descHeight   = prometheus.NewDesc("perdure_chain_height", "Height of the newest committed block.", nil, nil)
	descPeers    = prometheus.NewDesc("perdure_chain_peers", "Connected peers.", nil, nil)
	descSynced   = prometheus.NewDesc("perdure_chain_synced", "1 if the node follows the head of the chain.", nil, nil)
	descPending  = prometheus.NewDesc("perdure_mempool_messages", "Messages that wait for a block.", nil, nil)
	descBytes    = prometheus.NewDesc("perdure_mempool_bytes", "Size of the messages that wait.", nil, nil)
	descRefused  = prometheus.NewDesc("perdure_mempool_refused_total", "Messages refused by the mempool.", nil, nil)
	descMessages = prometheus.NewDesc("perdure_chain_messages_total", "Messages in blocks since the start.", []string{"result"}, nil)
	descProofs   = prometheus.NewDesc("perdure_chain_window_proofs_total", "Accepted window proofs since the start.", nil, nil)
	descSkips    = prometheus.NewDesc("perdure_chain_beacon_skips_total", "Heights without a beacon contribution since the start.", nil, nil)
	descOpen     = prometheus.NewDesc("perdure_mempool_window_proofs", "Window proofs that the next block may have.", nil, nil)
	descLeftOut  = prometheus.NewDesc("perdure_chain_window_proofs_left_out_total", "Window proofs that a block did not have although they had waited, summed over blocks since the start.", nil, nil)
	descRejected = prometheus.NewDesc("perdure_chain_rejected_proposals_total", "Proposed blocks rejected since the start.", nil, nil)
	descDisk     = prometheus.NewDesc("perdure_disk_bytes", "Space that a part of the node takes on the disk.", []string{"part"}, nil)
	descBudget   = prometheus.NewDesc("perdure_disk_budget_bytes", "Space that all parts may take; 0: any.", nil, nil)
	descKept     = prometheus.NewDesc("perdure_kept_heights", "Heights that a part holds.", []string{"part"}, nil)
	descSnapshot = prometheus.NewDesc("perdure_snapshot_height", "Height of the newest snapshot for peers; 0: none.", nil, nil)
)

// collector reads the figures when they are asked for.
type collector struct{ n *Node }

// Describe implements prometheus.Collector.
func (c collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descHeight, descPeers, descSynced, descPending, descBytes, descRefused,
		descMessages, descProofs, descSkips, descOpen, descLeftOut, descRejected, descDisk, descBudget, descKept, descSnapshot} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	s := c.n.app.Stats()
	synced := 0.0
	if c.n.Synced() {
		synced = 1
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(descHeight, float64(s.Height))
	gauge(descPeers, float64(c.n.Peers()))
	gauge(descSynced, synced)
	gauge(descPending, float64(s.Pending))
	gauge(descBytes, float64(s.PendingBytes))
	count(descRefused, s.Refused)
	count(descMessages, s.Messages-s.Failed, "ok")
	count(descMessages, s.Failed, "failed")
	count(descProofs, s.Proofs)
	count(descSkips, s.Skips)
	gauge(descOpen, float64(s.ProofsOpen))
	count(descLeftOut, s.ProofsLeftOut)
	count(descRejected, s.Rejected)
	k := c.n.keeper
	for _, x := range []*part{k.blocks, k.state, k.index} {
		gauge(descDisk, float64(x.size()), x.name)
		gauge(descKept, float64(x.kept()), x.name)
	}
	gauge(descDisk, float64(c.n.snapshots.Size()), "snapshots")
	gauge(descBudget, float64(k.budget))
	newest := 0.0
	if all := c.n.snapshots.List(); len(all) > 0 {
		newest = float64(all[len(all)-1].Height)
	}
	gauge(descSnapshot, newest)
}
