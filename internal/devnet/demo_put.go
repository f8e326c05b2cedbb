package devnet

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/deals"
	"github.com/perdure/perdure/miner/sector"
)

// putEvent shows one step of storing.
func (d *Demo) putEvent(e client.Event) {
	piece := fmt.Sprintf("piece %d", e.Part+1)
	miner := d.miner(e.Miner)
	switch e.Stage {
	case client.StagePacking:
		if e.Total > 0 {
			d.o.Show.Progress(fmt.Sprintf("packing (%s): %d %%", e.Pass, 100*e.Done/e.Total))
		}
	case client.StagePacked:
		d.say("packed into %d piece(s), root %s", len(e.Quote.Pieces), e.Quote.Root)
	case client.StagePriced:
		d.showPrice(e.Quote)
	case deals.StagePlaced:
		d.say("%s: bid %d is in the order book (height %d)", piece, e.Order, e.Height)
	case deals.StageMatched:
		d.say("%s: matched with miner %s as deal %d for %s (height %d)", piece, miner, e.Deal, e.Amount.Human(), e.Height)
	case deals.StageServed:
		d.say("%s: miner %s has fetched it", piece, miner)
	case deals.StageAccepted:
		d.say("%s: miner %s holds it and says so on chain (height %d)", piece, miner, e.Height)
	case deals.StageActive:
		d.say("%s: miner %s has sealed it and proven the seal; deal %d is active (height %d)", piece, miner, e.Deal, e.Height)
	case deals.StageVoid:
		d.say("%s: a copy will not be stored: %s", piece, e.Reason)
	}
}

// showPrice tells what the order book asks for.
func (d *Demo) showPrice(q *client.Quote) {
	m := q.Market
	d.say("the order book takes %d copies for %d blocks at up to %s per GiB and block: %s, deposits %s, fees %s",
		len(m.Copies), q.Duration, m.Highest.Human(), m.Price.Human(), m.Deposits.Human(), m.Fees.Human())
}

// sealingEvery is how often people see how far sealing is.
const sealingEvery = time.Second

// showWork shows how far the miners are with sealing and what they have
// proven, until ctx ends.
func (d *Demo) showWork(ctx context.Context) {
	tick := time.NewTicker(sealingEvery)
	defer tick.Stop()
	states := map[string]sector.State{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		d.tellProofs()
		var busy []string
		for _, m := range d.World.Miners {
			busy = append(busy, d.sealingOf(m, states)...)
		}
		if len(busy) > 0 {
			d.o.Show.Progress("sealing: " + strings.Join(busy, ", "))
		}
	}
}

// sealingOf tells which sectors of a miner came a step further, and returns
// those that are worked on.
func (d *Demo) sealingOf(m *Miner, states map[string]sector.State) (busy []string) {
	if m.daemon == nil {
		return nil
	}
	all, err := m.daemon.Sectors()
	if err != nil {
		return nil // it is asked again
	}
	for _, s := range all {
		name := fmt.Sprintf("%s/%d", chain.FormatMiner(m.ID, d.World.Params.Network), s.Number)
		if states[name] != s.State {
			states[name] = s.State
			switch s.State {
			case sector.Packed:
				d.say("sector %s: %d piece(s) packed, sealing begins", name, len(s.Pieces))
			case sector.Sealed:
				d.say("sector %s: sealed", name)
			case sector.Committed:
				d.say("sector %s: pre-committed; a later beacon will draw what has to be opened", name)
			}
		}
		if s.State == sector.Packed && s.Total > 0 {
			busy = append(busy, fmt.Sprintf("%s %s %d %%", name, s.Step, 100*s.Done/s.Total))
		}
	}
	return busy
}
