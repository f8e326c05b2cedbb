package deals

import (
	"context"
	"sync"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/files"
)

// redial is the pause between looks at who should be connected; backoff the one
// after a miner could not be reached, doubled up to backoffMost.
const (
	redial      = 500 * time.Millisecond
	backoffMost = 15 * time.Second
)

// dialer keeps a connection to every miner that has to fetch something.
type dialer struct {
	a *attendant

	mu      sync.Mutex
	dialing map[chain.MinerID]bool
	failed  map[chain.MinerID]attempt
}

// attempt is a dial that failed.
type attempt struct {
	pause time.Duration
	again time.Time
}

func newDialer(a *attendant) *dialer {
	return &dialer{a: a, dialing: map[chain.MinerID]bool{}, failed: map[chain.MinerID]attempt{}}
}

// run dials until ctx ends, and waits for the dials under way.
func (d *dialer) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	tick := time.NewTicker(redial)
	defer tick.Stop()
	for {
		for _, id := range d.wanted() {
			if d.begin(id) {
				wg.Go(func() { d.end(id, d.dial(ctx, id)) })
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// wanted are the miners of matched deals whose pieces are here. The miner of a
// repair buys the piece from those that hold the other copies.
func (d *dialer) wanted() []chain.MinerID {
	var out []chain.MinerID
	seen := map[chain.MinerID]bool{}
	for _, o := range d.a.list() {
		if o.Spool == "" {
			continue
		}
		for i := range o.Pieces {
			for j := range o.Pieces[i].Deals {
				deal := &o.Pieces[i].Deals[j]
				if waits(deal) && !seen[deal.Miner] {
					seen[deal.Miner] = true
					out = append(out, deal.Miner)
				}
			}
		}
	}
	return out
}

func waits(d *files.Deal) bool { return d.State == chain.DealMatched.String() && d.Succeeds == 0 }

func (d *dialer) begin(id chain.MinerID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dialing[id] || time.Now().Before(d.failed[id].again) {
		return false
	}
	d.dialing[id] = true
	return true
}

func (d *dialer) end(id chain.MinerID, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.dialing, id)
	if err == nil {
		delete(d.failed, id)
		return
	}
	pause := min(max(2*d.failed[id].pause, redial), backoffMost)
	d.failed[id] = attempt{pause, time.Now().Add(pause)}
	d.a.m.log.Warn("dial miner", "miner", chain.FormatMiner(id, chain.Testnet), "err", err, "again in", pause)
}

// dial connects to where the chain says that the miner is, unless there is a
// connection. It is read each time: a miner may have moved.
func (d *dialer) dial(ctx context.Context, id chain.MinerID) error {
	var miner chain.Miner
	ok, err := d.a.m.cfg.Chain.Record(ctx, chain.MinerKey(id), &miner)
	if err != nil || !ok || d.a.m.cfg.Host.Connected(string(miner.Peer.ID)) {
		return err
	}
	return d.a.m.cfg.Host.Connect(ctx, miner.Peer)
}
