package consensus

import (
	"github.com/perdure/perdure/chain"
)

// earned is what a deal's events and those of its sector say it must pay.
type earned struct {
	deal    chain.Deal // as it was accepted
	sector  uint64
	covered uint64 // heights of the term that accepted proofs cover
	begun   chain.Height
	paid    sum
	ended   bool
}

// fundDeals puts accepted deals with money into the state, one for each of the first sectors.
func (h *history) fundDeals() {
	h.t.Helper()
	g, client := h.global(), h.account("worker")
	for id := uint64(1); id <= 20; id++ {
		d := h.plainDeal(id)
		d.ActivateBy, d.Duration = 1<<20, 3+7*id%50
		d.Total = chain.Atto(1000*id + 7) // seldom a multiple of the duration
		d.Unspent, d.Collateral = d.Total, chain.Atto(10*id)
		d.Bid, d.Ask = id, id
		h.acceptedDeal(d)
		h.pay[id] = &earned{deal: d}
		for _, held := range []chain.Amount{d.Unspent, d.Collateral} {
			must(h.t, shift(&g.Supply.Accounts, &g.Supply.Locked, held))
			var err error
			client.Balance, err = client.Balance.Sub(held)
			must(h.t, err)
		}
	}
	for key, record := range map[chain.Key]chain.CBOR{chain.GlobalKey(): &g, chain.AccountKey(addressOf(h.t, "worker")): &client} {
		b, err := chain.Encode(record)
		must(h.t, err)
		h.view.records[key] = b
	}
}

// followPay applies events to the deals, before follow moves the sectors on.
func (h *history) followPay(u *Update) {
	through := map[uint64]chain.Height{}
	for n, c := range h.model {
		through[n] = c.through
	}
	for _, e := range u.Events {
		switch e.Kind {
		case EventDealActive:
			p := h.pay[e.Deal]
			p.begun, p.sector = u.Height, e.Sector
			through[e.Sector] = u.Height
		case EventSectorRecovered:
			through[e.Sector] = u.Height
		case EventSectorProven:
			if p := h.pay[e.Sector+1]; p != nil && p.begun != 0 {
				end := p.begun + chain.Height(p.deal.Duration)
				p.covered += uint64(min(u.Height, end) - min(through[e.Sector], end))
			}
			through[e.Sector] = u.Height
		case EventDealPaid:
			h.pay[e.Deal].paid.add(h.t, e.Amount)
		case EventDealEnded:
			h.pay[e.Deal].ended = true
		}
	}
}

// comparePay checks that a deal has paid for covered heights alone, and for all
// of them once it has ended or was settled.
func (h *history) comparePay() {
	for id, p := range h.pay {
		if p.begun == 0 {
			continue
		}
		due, err := p.deal.Total.MulDiv(p.covered, p.deal.Duration)
		must(h.t, err)
		d := h.deal(id)
		settled := p.ended || d.PaidThrough == h.height
		if due.Less(p.paid.total) || settled && due != p.paid.total {
			h.t.Fatalf("height %d: deal %d (%s) has paid %s for %d of %d heights, due is %s", h.height, id, d.State,
				p.paid.total, p.covered, p.deal.Duration, due)
		}
		if over := p.begun + chain.Height(p.deal.Duration+2*h.params.Period()); h.params.QueueItems == 1000 && !p.ended && h.height > over {
			h.t.Fatalf("height %d: deal %d of %d blocks from %d has not ended", h.height, id, p.deal.Duration, p.begun)
		}
	}
}
