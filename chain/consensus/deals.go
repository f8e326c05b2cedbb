package consensus

import "github.com/perdure/perdure/chain"

// settleWrites is the records that settling one deal writes: the deal, the
// miner, the client, who holds copies, the item that lets go of the deal.
const settleWrites = 5

// acceptWrites is the records that accepting one deal writes: the deal, the
// miner, the client, who holds copies.
const acceptWrites = 4

func acceptDataUnits(s *state, b *chain.AcceptData) uint64 {
	return acceptWrites * uint64(len(b.Deals)) * s.params.UnitWrite
}

// applyAcceptData notes that the miner holds the pieces of matched deals, all
// or none. The clients have done their part: their no-show deposits are repaid.
func applyAcceptData(s *state, m *chain.Message, b *chain.AcceptData) (uint64, error) {
	if _, err := s.workerOf(m, b.Miner); err != nil {
		return 0, err
	}
	if len(b.Deals) == 0 {
		return 0, refuse(CodeFailed, "no deals named")
	}
	for _, id := range b.Deals {
		d, err := s.deal(id)
		if err != nil {
			return 0, err
		}
		switch {
		case d.Miner != b.Miner:
			return 0, refuse(CodeFailed, "deal %d is another miner's", id)
		case d.State != chain.DealMatched:
			return 0, refuse(CodeFailed, "deal %d is %s, not matched", id, d.State)
		case s.global.Height > d.FetchBy:
			return 0, refuse(CodeFailed, "deal %d had to be fetched by height %d", id, d.FetchBy)
		}
		if err := s.repay(d.Client, &d.ClientDeposit); err != nil {
			return 0, err
		}
		d.State, d.Accepted = chain.DealAccepted, s.global.Height
		s.store(chain.DealKey(id), d)
		s.noteHeld(d)
		s.emit(Event{Kind: EventDealAccepted, Deal: id, Miner: d.Miner})
	}
	return 0, nil
}

// deal loads a deal or refuses.
func (s *state) deal(id uint64) (*chain.Deal, error) {
	d := new(chain.Deal)
	if !s.load(chain.DealKey(id), d) {
		return nil, refuse(CodeFailed, "no deal %d", id)
	}
	return d, nil
}

// repay frees what a deal holds in one of its fields.
func (s *state) repay(to chain.Address, held *chain.Amount) error {
	amount := *held
	*held = chain.Amount{}
	return s.unlock(to, amount)
}

// forfeit burns what a deal holds in one of its fields.
func (s *state) forfeit(held *chain.Amount) error {
	amount := *held
	*held = chain.Amount{}
	return s.burnLocked(amount)
}

// forfeitShare burns a share, in percent, of a deal's collateral and returns it.
func (s *state) forfeitShare(d *chain.Deal, percent uint64) (chain.Amount, error) {
	burned, err := d.Collateral.MulDiv(percent, 100)
	if err != nil {
		return burned, err
	}
	if d.Collateral, err = d.Collateral.Sub(burned); err != nil {
		return burned, err
	}
	return burned, s.burnLocked(burned)
}

// recentNoShows is how many of an actor's no-shows still count: one is forgotten
// every NoShowForget blocks after the last, and NoShowMost count at most.
func (s *state) recentNoShows(count uint64, last chain.Height) uint64 {
	forgotten := uint64(s.global.Height-min(s.global.Height, last)) / s.params.NoShowForget
	return min(count-min(count, forgotten), s.params.NoShowMost)
}

// countNoShow adds to an actor's recent no-shows.
func (s *state) countNoShow(count *uint64, last *chain.Height) {
	*count, *last = s.recentNoShows(*count, *last)+1, s.global.Height
}

func (s *state) minerNoShow(id chain.MinerID) error {
	return s.changeMiner(id, func(m *chain.Miner) error {
		s.countNoShow(&m.NoShows, &m.NoShowAt)
		return nil
	})
}

func (s *state) clientNoShow(a chain.Address) {
	var acc chain.Account
	s.load(chain.AccountKey(a), &acc)
	s.countNoShow(&acc.NoShows, &acc.NoShowAt)
	s.store(chain.AccountKey(a), &acc)
}

// voidUnfetched ends a deal whose piece did not reach the miner in time. Nobody
// can tell who failed: both lose their no-show deposits, nothing else. Of a
// repair the client has no part: the miner alone put down a deposit. Of a repair
// or a renewal it is counted against neither, since those that hold the data may
// have refused it.
func (s *state) voidUnfetched(item *chain.QueueItem) error {
	d := new(chain.Deal)
	if !s.load(chain.DealKey(item.ID), d) || d.State != chain.DealMatched {
		return nil
	}
	if err := s.forfeit(&d.ClientDeposit); err != nil {
		return err
	}
	if err := s.forfeit(&d.MinerDeposit); err != nil {
		return err
	}
	if d.Succeeds != nil {
		return s.repairAgain(d, "void: not fetched in time")
	}
	s.clientNoShow(d.Client)
	if err := s.minerNoShow(d.Miner); err != nil {
		return err
	}
	return s.endWith(d, chain.DealVoid, "void: not fetched in time")
}

// voidInactive ends a deal that the miner accepted but did not bring into a
// proven sector in time. That is the miner's failure alone: the client is repaid
// in full, the miner loses its no-show deposit and VoidBurn percent of the collateral.
func (s *state) voidInactive(item *chain.QueueItem) error {
	d := new(chain.Deal)
	if !s.load(chain.DealKey(item.ID), d) || d.State != chain.DealAccepted {
		return nil
	}
	if err := s.forfeit(&d.MinerDeposit); err != nil {
		return err
	}
	if _, err := s.forfeitShare(d, s.params.VoidBurn); err != nil {
		return err
	}
	if err := s.minerNoShow(d.Miner); err != nil {
		return err
	}
	if d.Succeeds != nil {
		return s.repairAgain(d, "void: not active in time")
	}
	return s.endWith(d, chain.DealVoid, "void: not active in time")
}

// endWith repays what a deal still holds, the price to the client, collateral
// and deposit to the miner, and ends it.
func (s *state) endWith(d *chain.Deal, end chain.DealState, reason string) error {
	miner, err := chain.MinerAddress(d.Miner)
	if err != nil {
		return err
	}
	for _, r := range []struct {
		to   chain.Address
		held *chain.Amount
	}{{d.Client, &d.Unspent}, {d.Client, &d.ClientDeposit}, {miner, &d.Collateral}, {miner, &d.MinerDeposit}} {
		if err := s.repay(r.to, r.held); err != nil {
			return err
		}
	}
	d.State = end
	s.store(chain.DealKey(d.ID), d)
	s.forgetLater(chain.QueueDealForget, chain.QueueItem{ID: d.ID})
	s.emit(Event{Kind: EventDealEnded, Deal: d.ID, Miner: d.Miner, Reason: reason})
	s.dropCopy(d.Bid, d.ID, 0)
	return s.forsake(d.Bid)
}

// activateDeals begins the accepted deals of a sector that was proven. Deals
// that went void in the meantime are passed over: their pieces are just bytes.
func (s *state) activateDeals(sec *chain.Sector) error {
	miner, err := s.miner(sec.Miner)
	if err != nil {
		return err
	}
	addr, err := chain.MinerAddress(sec.Miner)
	if err != nil {
		return err
	}
	now := s.global.Height
	return s.sectorDeals(sec, chain.DealAccepted, func(d *chain.Deal) error {
		if now > d.ActivateBy {
			return nil
		}
		if err := s.repay(addr, &d.MinerDeposit); err != nil {
			return err
		}
		if err := s.endRepair(d); err != nil {
			return err
		}
		d.State, d.Activated, d.PaidThrough, d.End = chain.DealActive, now, now, now+chain.Height(d.Duration)
		s.queueRenewal(d)
		s.store(chain.DealKey(d.ID), d)
		s.enqueue(chain.QueueDealEnd, s.lastWindow(miner, sec.Deadline, d.End), chain.QueueItem{ID: d.ID})
		s.emit(Event{Kind: EventDealActive, Deal: d.ID, Miner: d.Miner, Sector: sec.Number})
		return nil
	})
}

// sectorDeals calls visit with the deals of a sector that are in a state, at most 256.
func (s *state) sectorDeals(sec *chain.Sector, state chain.DealState, visit func(*chain.Deal) error) error {
	for _, p := range sec.Pieces {
		if p.Deal == 0 {
			continue
		}
		d := new(chain.Deal)
		if !s.load(chain.DealKey(p.Deal), d) || d.State != state || d.Miner != sec.Miner || !d.Committed || d.Sector != sec.Number {
			continue
		}
		if err := visit(d); err != nil {
			return err
		}
	}
	return nil
}

// settleDeal releases an active deal's pay for the heights of its term up to
// and including through, which accepted proofs of its sector cover since
// sec.PaidThrough. Heights up to sec.PaidThrough that are not settled were
// faulty and earn nothing. A deal whose term is settled to its end is completed.
//
// After covered of Duration heights, floor(Total * covered / Duration) is
// released in all, so that the sum is Total when every height is covered.
func (s *state) settleDeal(d *chain.Deal, sec *chain.Sector, through chain.Height) error {
	if gap := min(sec.PaidThrough, d.End); gap > d.PaidThrough {
		d.FaultBlocks += uint64(gap - d.PaidThrough)
		d.PaidThrough = gap
	}
	d.PaidThrough = max(d.PaidThrough, min(through, d.End))
	covered := uint64(d.PaidThrough-d.Activated) - d.FaultBlocks
	earned, err := d.Total.MulDiv(covered, d.Duration)
	if err != nil {
		return err
	}
	left, err := d.Total.Sub(earned)
	if err != nil {
		return err
	}
	pay, err := d.Unspent.Sub(left)
	if err != nil {
		return err
	}
	d.Unspent = left
	if !pay.IsZero() {
		miner, err := chain.MinerAddress(d.Miner)
		if err != nil {
			return err
		}
		if err := s.unlock(miner, pay); err != nil {
			return err
		}
		s.emit(Event{Kind: EventDealPaid, Deal: d.ID, Miner: d.Miner, Amount: pay})
	}
	if d.PaidThrough == d.End {
		return s.endWith(d, chain.DealCompleted, "completed")
	}
	s.store(chain.DealKey(d.ID), d)
	return nil
}

// settleSectorDeals releases the pay of a sector's deals for the heights up to
// and including through, when the sector becomes faulty or ends.
func (s *state) settleSectorDeals(sec *chain.Sector, through chain.Height) error {
	return s.sectorDeals(sec, chain.DealActive, func(d *chain.Deal) error { return s.settleDeal(d, sec, through) })
}

// loseDeals ends the deals of a sector that is lost. Deals whose term was over
// before are completed.
func (s *state) loseDeals(sec *chain.Sector) error {
	return s.sectorDeals(sec, chain.DealActive, func(d *chain.Deal) error {
		if err := s.settleDeal(d, sec, sec.PaidThrough); err != nil || d.State != chain.DealActive {
			return err
		}
		if d.End <= s.global.Height {
			return s.completeDeal(d)
		}
		return s.loseDeal(d)
	})
}

// endDeal completes a deal once the window that proves its last heights is over.
func (s *state) endDeal(item *chain.QueueItem) error {
	d := new(chain.Deal)
	if !s.load(chain.DealKey(item.ID), d) || d.State != chain.DealActive {
		return nil
	}
	sec := new(chain.Sector)
	if !s.load(chain.SectorKey(d.Miner, d.Sector), sec) {
		return s.missing("sector %d of miner %d", d.Sector, d.Miner)
	}
	if err := s.settleDeal(d, sec, s.provenThrough(sec)); err != nil || d.State != chain.DealActive {
		return err
	}
	return s.completeDeal(d)
}

// completeDeal ends a settled deal whose term is over; the heights that no proof
// covers are not paid.
func (s *state) completeDeal(d *chain.Deal) error {
	d.FaultBlocks += uint64(d.End - d.PaidThrough)
	d.PaidThrough = d.End
	return s.endWith(d, chain.DealCompleted, "completed")
}

func settleDealsUnits(s *state, b *chain.SettleDeals) uint64 {
	return settleWrites * uint64(len(b.Deals)) * s.params.UnitWrite
}

// applySettleDeals releases the pay that the deals have earned so far. Deals
// that are not active are passed over, since they may end at any time, and so are
// those whose record has gone.
func applySettleDeals(s *state, _ *chain.Message, b *chain.SettleDeals) (uint64, error) {
	active := false
	for _, id := range b.Deals {
		d := new(chain.Deal)
		if known := s.load(chain.DealKey(id), d); !known && (id == 0 || id >= s.global.NextDeal) {
			return 0, refuse(CodeFailed, "no deal %d", id)
		}
		if d.State != chain.DealActive {
			continue
		}
		active = true
		sec := new(chain.Sector)
		if !s.load(chain.SectorKey(d.Miner, d.Sector), sec) {
			return 0, s.missing("sector %d of miner %d", d.Sector, d.Miner)
		}
		if err := s.settleDeal(d, sec, s.provenThrough(sec)); err != nil {
			return 0, err
		}
	}
	if !active {
		return 0, refuse(CodeFailed, "none of the %d deals is active", len(b.Deals))
	}
	return 0, nil
}
