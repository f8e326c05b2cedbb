package devnet

import (
	"context"
	"errors"
	"fmt"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// LoseParams are those of a demo that loses a copy: a devnet's on which a
// sector that stays faulty for one proving period is lost.
func LoseParams() *consensus.Params {
	p := consensus.Devnet()
	p.FaultMaxAge = 1
	return p
}

// ReportLoss is what became of a copy whose miner was switched off for good.
// Heights are 0 for what did not happen.
type ReportLoss struct {
	Miner  string       `json:"miner"`
	Deal   uint64       `json:"deal"`
	Sector uint64       `json:"sector"`
	OffAt  chain.Height `json:"offAt"`

	FaultAt chain.Height `json:"faultAt"`
	Fault   string       `json:"fault"` // how it came to light
	Fined   chain.Amount `json:"fined"`
	LostAt  chain.Height `json:"lostAt"`
	Slashed chain.Amount `json:"slashed"` // of the miner's pledge

	OrderedAt chain.Height `json:"orderedAt"` // the chain's own bid for another copy
	Order     uint64       `json:"order"`
	Escrow    chain.Amount `json:"escrow"`

	NewMiner  string       `json:"newMiner"`
	NewDeal   uint64       `json:"newDeal"`
	NewSector uint64       `json:"newSector"`
	ActiveAt  chain.Height `json:"activeAt"`
	ProvenAt  chain.Height `json:"provenAt"`
	Allowance chain.Amount `json:"allowance"` // repaid to the new miner for having bought the data
	Repaid    chain.Amount `json:"repaid"`    // to the client, of the escrow

	id    chain.MinerID
	newID chain.MinerID
}

// checkLose refuses what cannot be repaired.
func (o *DemoOptions) checkLose() error {
	switch {
	case o.Lose < 0 || o.Lose > 0 && o.Lose >= o.Copies:
		return fmt.Errorf("lose %d of %d copies: a copy must stay to repair from", o.Lose, o.Copies)
	case o.Copies+o.Lose > o.World.Miners:
		return fmt.Errorf("lose %d of %d copies on %d miners: a lost copy needs a miner that has none", o.Lose, o.Copies, o.World.Miners)
	}
	return nil
}

// lose switches miners off for good that hold copies, and waits until the chain
// has had every copy made again. The client is closed meanwhile.
func (d *Demo) lose(ctx context.Context, _ string) error {
	if d.o.Lose == 0 {
		return nil
	}
	err := d.client.Close()
	if d.client = nil; err != nil {
		return err
	}
	for _, m := range d.holders()[:d.o.Lose] {
		if err := d.switchOff(m); err != nil {
			return err
		}
	}
	d.say("the client is off, too: from here on the chain and the other miners are on their own")
	err = d.seen.Wait(ctx, func() bool {
		done := true
		for i := range d.report.Losses {
			done = d.follows(&d.report.Losses[i]) && done
		}
		d.o.Show.Progress(fmt.Sprintf("height %d: waiting for what the chain makes of it", d.seen.Height()))
		return done
	})
	return errors.Join(err, d.openClient())
}

// holders are the miners of the copies, in the order of their deals.
func (d *Demo) holders() (out []*Miner) {
	known := map[string]bool{}
	for _, deal := range d.report.Deals {
		for _, m := range d.World.Miners {
			if name := d.miner(m.ID); name == deal.Miner && !known[name] {
				known[name] = true
				out = append(out, m)
			}
		}
	}
	return out
}

// switchOff stops a miner and notes what it held.
func (d *Demo) switchOff(m *Miner) error {
	for _, deal := range d.report.Deals {
		if on, ok := d.seen.Deal(deal.ID); ok && on.Miner == m.ID {
			d.report.Losses = append(d.report.Losses, ReportLoss{Miner: deal.Miner, Deal: deal.ID, Sector: on.Sector,
				OffAt: d.seen.Height(), id: m.ID})
		}
	}
	d.say("miner %s, which holds a copy, is switched off for good", d.miner(m.ID))
	return m.Stop()
}

// follows takes in what the chain has done about a loss since the last time,
// tells it, and reports whether the new copy is proven.
func (d *Demo) follows(l *ReportLoss) bool {
	for _, step := range []func(*ReportLoss) bool{d.faulted, d.slashed, d.ordered, d.replaced, d.proved} {
		if !step(l) {
			return false
		}
	}
	return true
}

// once finds the event of a kind that a loss waits for, the first after a height.
func (d *Demo) once(kind consensus.EventKind, after chain.Height, of func(*consensus.Event) bool) *Happened {
	for _, e := range d.seen.Happened(kind) {
		if e.Height > after && of(&e.Event) {
			return &e
		}
	}
	return nil
}

func (d *Demo) faulted(l *ReportLoss) bool {
	if l.FaultAt != 0 {
		return true
	}
	e := d.once(consensus.EventSectorFaulty, l.OffAt, func(e *consensus.Event) bool { return e.Miner == l.id && e.Sector == l.Sector })
	if e == nil {
		return false
	}
	l.FaultAt, l.Fault, l.Fined = e.Height, e.Reason, e.Amount
	d.say("height %d: sector %d of %s is faulty (%s): its power and pay are gone, fined %s", l.FaultAt, l.Sector, l.Miner, l.Fault, l.Fined.Human())
	return true
}

func (d *Demo) slashed(l *ReportLoss) bool {
	if l.LostAt != 0 {
		return true
	}
	e := d.once(consensus.EventSectorEnded, l.FaultAt, func(e *consensus.Event) bool { return e.Miner == l.id && e.Sector == l.Sector })
	if e == nil {
		return false
	}
	l.LostAt, l.Slashed = e.Height, e.Amount
	d.say("height %d: the sector is lost: %s of the miner's pledge are burned, and a share of the deal's collateral", l.LostAt, l.Slashed.Human())
	return true
}

func (d *Demo) ordered(l *ReportLoss) bool {
	if l.OrderedAt != 0 {
		return true
	}
	e := d.once(consensus.EventRepairOrdered, 0, func(e *consensus.Event) bool { return e.Deal == l.Deal })
	if e == nil {
		return false
	}
	l.OrderedAt, l.Order, l.Escrow = e.Height, e.Order, e.Amount
	d.say("height %d: the chain bids for another copy as order %d, with %s from collateral and unspent pay", l.OrderedAt, l.Order, l.Escrow.Human())
	return true
}

func (d *Demo) replaced(l *ReportLoss) bool {
	if l.ActiveAt != 0 {
		return true
	}
	e := d.once(consensus.EventRepairEnded, 0, func(e *consensus.Event) bool { return e.Deal == l.Deal && e.Index != 0 })
	if e == nil {
		return false
	}
	l.ActiveAt, l.NewDeal, l.NewMiner, l.newID, l.Repaid = e.Height, e.Index, d.miner(e.Miner), e.Miner, e.Amount
	if on, ok := d.seen.Deal(l.NewDeal); ok {
		l.NewSector = on.Sector
	}
	if got := d.once(consensus.EventFetchRepaid, 0, func(e *consensus.Event) bool { return e.Deal == l.NewDeal }); got != nil {
		l.Allowance = got.Amount
	}
	d.say("height %d: miner %s has bought the data, sealed it and proven the seal: deal %d is active; it is repaid %s for the data, the client gets %s of what is left",
		l.ActiveAt, l.NewMiner, l.NewDeal, l.Allowance.Human(), l.Repaid.Human())
	return true
}

func (d *Demo) proved(l *ReportLoss) bool {
	for _, p := range d.seen.Proofs() {
		if l.ProvenAt == 0 && p.Miner == l.newID && p.Height > l.ActiveAt && p.holds(l.NewSector) {
			l.ProvenAt = p.Height
			d.say("height %d: miner %s has proven the new copy", l.ProvenAt, l.NewMiner)
		}
	}
	return l.ProvenAt != 0
}
