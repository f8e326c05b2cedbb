package index

import (
	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// Flows counts what happened in some time.
type Flows struct {
	Blocks       uint64
	Messages     uint64       // in blocks
	Failed       uint64       // of them, without success
	Proofs       uint64       // accepted window proofs
	Faults       uint64       // sectors that became faulty
	Recovered    uint64       // sectors that were proven again
	Matched      uint64       // deals, without those that were undone at once
	Activated    uint64       // deals
	Ended        uint64       // deals that were completed, void or lost
	Served       uint64       // bytes, as miners claim
	Fees         chain.Amount // paid for messages, Tips among them; the rest of them is burned
	Tips         chain.Amount // to proposers
	BlockRewards chain.Amount // minted for proposers
	PowerRewards chain.Amount // minted for proven power
	DealPay      chain.Amount // released to miners
	Fines        chain.Amount // charged for faults, and pledge and deposits burned
}

// Add takes in what happened in other time.
func (f *Flows) Add(o *Flows) {
	f.Blocks += o.Blocks
	f.Messages += o.Messages
	f.Failed += o.Failed
	f.Proofs += o.Proofs
	f.Faults += o.Faults
	f.Recovered += o.Recovered
	f.Matched += o.Matched
	f.Activated += o.Activated
	f.Ended += o.Ended
	f.Served += o.Served
	increase(&f.Fees, o.Fees)
	increase(&f.Tips, o.Tips)
	increase(&f.BlockRewards, o.BlockRewards)
	increase(&f.PowerRewards, o.PowerRewards)
	increase(&f.DealPay, o.DealPay)
	increase(&f.Fines, o.Fines)
}

// increase adds to a sum. One that no Amount could hold stays at the most that
// one holds: all money there is would have to move 2^38 times.
func increase(sum *chain.Amount, by chain.Amount) {
	s, err := sum.Add(by)
	if err != nil {
		s = chain.MaxAmount()
	}
	*sum = s
}

// Levels is how much of everything there is after a block.
type Levels struct {
	Power        uint64 // proven bytes of all miners
	Stored       uint64 // padded bytes of active deals, each copy counted
	Accounts     uint64
	Miners       uint64
	PreCommitted uint64 // sectors
	Active       uint64 // sectors
	Faulty       uint64 // sectors
	Matched      uint64 // deals
	Accepted     uint64 // deals
	ActiveDeals  uint64
	Orders       uint64 // live
	Channels     uint64 // not collected
	Supply       chain.Supply
	Unissued     chain.Amount // still to be issued
	BaseFee      chain.Amount // attoPDR per byte and per unit of the next block's ordinary lane
}

// sectors counts those of a state that is not the end; nil for one that is.
func (l *Levels) sectors(s chain.SectorState) *uint64 {
	switch s {
	case chain.SectorPreCommitted:
		return &l.PreCommitted
	case chain.SectorActive:
		return &l.Active
	case chain.SectorFaulty:
		return &l.Faulty
	}
	return nil
}

// deals is sectors for deals.
func (l *Levels) deals(s chain.DealState) *uint64 {
	switch s {
	case chain.DealMatched:
		return &l.Matched
	case chain.DealAccepted:
		return &l.Accepted
	case chain.DealActive:
		return &l.ActiveDeals
	}
	return nil
}

// figures is what a block, or a part of a scan, does to all figures.
type figures struct {
	b      *block
	was    Now // before it
	now    Now
	flows  Flows             // of it
	shares map[string]*share // by address bytes
}

// figure writes the rows of all figures.
func (b *block) figure(batch *pebble.Batch) error {
	f := &figures{b: b, shares: map[string]*share{}}
	if _, err := b.g.noun(nowKey, &f.was); err != nil {
		return err
	}
	f.now = f.was
	for i := range b.changes {
		if err := f.change(batch, &b.changes[i]); err != nil {
			return err
		}
	}
	if !b.scan {
		if err := f.happened(batch); err != nil {
			return err
		}
	}
	if err := f.writeShares(batch); err != nil {
		return err
	}
	return f.writePoint(batch)
}

// happened takes in what the block's receipts and events tell.
func (f *figures) happened(batch *pebble.Batch) error {
	f.fees()
	for i := range f.b.u.Events {
		f.event(&f.b.u.Events[i])
	}
	f.proofs()
	if err := f.writeEntries(batch); err != nil {
		return err
	}
	if err := f.amended(batch); err != nil {
		return err
	}
	return f.writeVotes(batch)
}

// fees sums up the receipts.
func (f *figures) fees() {
	f.flows.Blocks, f.flows.Messages, f.flows.Tips = 1, uint64(len(f.b.messages)), f.b.tips
	for i := range f.b.messages {
		m := &f.b.messages[i]
		if m.Receipt.Code != uint64(consensus.CodeOK) {
			f.flows.Failed++
		}
		increase(&f.flows.Fees, m.Receipt.Fee)
	}
	if len(f.b.rewarded) > 0 {
		s := f.of(f.b.rewarded)
		s.Blocks++
		increase(&s.Tips, f.b.tips)
	}
}

// reward notes who earns by the block, and sums up the tips, which they got. If that
// is nobody they were burned. They are unknown, and none is counted, if the block's
// messages were not kept.
func (b *block) reward() (err error) {
	if b.rewarded, err = b.rewardOf(); err != nil || len(b.rewarded) == 0 {
		return err
	}
	for i := range b.messages {
		if m := &b.messages[i]; m.Effect() {
			increase(&b.tips, m.Tip)
		}
	}
	return nil
}

// rewardOf is the address that the block's proposer earns by; nil if there is none.
func (b *block) rewardOf() ([]byte, error) {
	for i := range b.u.Events {
		if e := &b.u.Events[i]; e.Kind == consensus.EventBlockReward {
			return e.To, nil
		}
	}
	v, err := b.g.votersAt(b.u.Height)
	if err != nil || v == nil {
		return nil, err
	}
	i, ok := v.places[string(b.u.Proposer)]
	if !ok || v.set.Validators[i].Reward == (chain.Address{}) {
		return nil, nil
	}
	return v.set.Validators[i].Reward.Bytes(), nil
}

// proofs counts the accepted window proofs: each message whose events say that
// sectors are proven is one, of one miner.
func (f *figures) proofs() {
	last := uint64(0)
	for i := range f.b.u.Events {
		e := &f.b.u.Events[i]
		if e.Kind != consensus.EventSectorProven || e.Message == last {
			continue
		}
		last = e.Message
		f.flows.Proofs++
		f.ofMiner(e.Miner).Proofs++
	}
}

// event takes in one event.
func (f *figures) event(e *consensus.Event) {
	switch e.Kind {
	case consensus.EventBlockReward:
		increase(&f.flows.BlockRewards, e.Amount)
		increase(&f.of(e.To).BlockRewards, e.Amount)
	case consensus.EventPowerReward:
		increase(&f.flows.PowerRewards, e.Amount)
		increase(&f.ofMiner(e.Miner).PowerRewards, e.Amount)
	case consensus.EventDealPaid:
		increase(&f.flows.DealPay, e.Amount)
		increase(&f.ofMiner(e.Miner).DealPay, e.Amount)
	case consensus.EventReceiptsPublished:
		f.flows.Served += e.Index
		f.ofMiner(e.Miner).Served += e.Index
	case consensus.EventSectorFaulty:
		f.flows.Faults++
		f.ofMiner(e.Miner).Faults++
		f.fine(f.ofMiner(e.Miner), e.Amount)
	case consensus.EventSectorRecovered:
		f.flows.Recovered++
		f.ofMiner(e.Miner).Recovered++
	case consensus.EventSectorsFined, consensus.EventSectorEnded:
		f.fine(f.ofMiner(e.Miner), e.Amount)
	case consensus.EventEquivocation:
		if e.Miner != 0 { // a genesis validator has no pledge
			f.fine(f.ofMiner(e.Miner), e.Amount)
		}
	case consensus.EventBeaconSkipped:
		f.fine(f.of(e.From), e.Amount)
	}
}

func (f *figures) fine(s *share, amount chain.Amount) {
	increase(&f.flows.Fines, amount)
	increase(&s.Fines, amount)
}

// change takes in a changed record.
func (f *figures) change(batch *pebble.Batch, c *change) error {
	l := &f.now.Point.Levels
	switch c.key.Table {
	case chain.TableGlobal:
		if g := now[chain.Global](c); g != nil {
			l.Power, l.Supply, l.Unissued, l.BaseFee = g.Power, g.Supply, g.Issuance.Unissued, g.BaseFee
		}
	case chain.TableAccount:
		count(&l.Accounts, c)
		return f.account(batch, c)
	case chain.TableMiner:
		count(&l.Miners, c)
		return f.miner(batch, c)
	case chain.TableSector:
		f.sector(formerly[chain.Sector](c), now[chain.Sector](c))
	case chain.TableDeal:
		f.deal(formerly[chain.Deal](c), now[chain.Deal](c))
	case chain.TableOrder:
		count(&l.Orders, c)
	case chain.TableChannel:
		count(&l.Channels, c)
	}
	return nil
}

// count follows the number of a table's records in the state.
func count(n *uint64, c *change) {
	switch {
	case c.was == nil && c.is != nil:
		*n++
	case c.was != nil && c.is == nil:
		*n--
	}
}

// move counts something over from one level to another; nil is none.
func move(from, to *uint64) {
	if from != nil {
		*from--
	}
	if to != nil {
		*to++
	}
}

// sector follows a sector from state to state.
func (f *figures) sector(was, is *chain.Sector) {
	l := &f.now.Point.Levels
	var from, to *uint64
	if was != nil {
		from = l.sectors(was.State)
	}
	if is != nil {
		to = l.sectors(is.State)
	}
	if from == to {
		return
	}
	move(from, to)
	if from == &l.PreCommitted {
		f.ofMiner(was.Miner).preCommitted--
	}
	if to == &l.PreCommitted {
		f.ofMiner(is.Miner).preCommitted++
	}
	if is == nil || f.b.scan {
		return
	}
	switch s := f.ofMiner(is.Miner); is.State {
	case chain.SectorExpired:
		s.Expired++
	case chain.SectorDropped:
		s.Dropped++
	case chain.SectorLost:
		s.Lost++
	case chain.SectorTerminated:
		s.Terminated++
	}
}

// deal follows a deal from state to state. One that is void in the block that
// matched it has never been one: its miner had a copy already.
func (f *figures) deal(was, is *chain.Deal) {
	l := &f.now.Point.Levels
	var from, to *uint64
	if was != nil {
		from = l.deals(was.State)
	}
	if is != nil {
		to = l.deals(is.State)
	}
	if from == to {
		return
	}
	move(from, to)
	if from == &l.ActiveDeals {
		l.Stored -= was.PaddedSize
	}
	if to == &l.ActiveDeals {
		l.Stored += is.PaddedSize
		f.flows.Activated++
	}
	if from == nil {
		f.flows.Matched++
	}
	if to == nil {
		f.flows.Ended++
	}
}
