package consensus

import "github.com/perdure/perdure/chain"

// What has ended leaves the state. Its record stays for EndedRetention blocks,
// so that whoever follows the chain learns how it ended; then a queue lets go of
// it. No rule needs it by then:
//
//   - its money was paid out when it ended; pledge that is still bound is in the
//     miner's record and in a queue of its own;
//   - the bid of a repair or renewal carries what it needs of the deal before;
//   - the IDs of deals and channels never come again. A sector's number is free
//     again, but a ticket old enough for the replica of before is not taken any
//     more, every seal and window proof answers to a beacon value of its own time,
//     and items that queues still hold for the number look at what they find.

// leastEnded is the least EndedRetention: longer than Updates are kept, so that
// whoever reads one finds the records that it is about; than pledge is bound, and
// so evidence counts; than a copy is being repaired; than any ticket is taken and
// any pre-commit can be proven.
func (p *Params) leastEnded() uint64 {
	return max(p.StateRetention, p.Unbonding, p.RepairBy, p.TicketAge, p.SeedDelay+p.ProveDue) + 1
}

// forgetLater has a record let go of whose life ends now.
func (s *state) forgetLater(q chain.Queue, item chain.QueueItem) {
	s.enqueue(q, s.global.Height+chain.Height(s.params.EndedRetention), item)
}

// storeEnded writes the record of a sector that ends now.
func (s *state) storeEnded(sec *chain.Sector) {
	s.store(chain.SectorKey(sec.Miner, sec.Number), sec)
	s.forgetLater(chain.QueueSectorForget, chain.QueueItem{Owner: sec.Miner, ID: sec.Number})
}

// forgetSector lets go of the record of a sector that ended long ago. While a
// deal still names it, because its own queue is so far behind, the record waits.
func (s *state) forgetSector(item *chain.QueueItem) error {
	sec := new(chain.Sector)
	key := chain.SectorKey(item.Owner, item.ID)
	if !s.load(key, sec) || !sec.Ended() {
		return nil
	}
	named := false
	for _, in := range []chain.DealState{chain.DealAccepted, chain.DealActive} {
		err := s.sectorDeals(sec, in, func(*chain.Deal) error { named = true; return nil })
		if err != nil {
			return err
		}
	}
	if named {
		s.forgetLater(chain.QueueSectorForget, *item)
		return nil
	}
	s.remove(key)
	return nil
}

// forgetDeal lets go of the record of a deal that ended long ago.
func (s *state) forgetDeal(item *chain.QueueItem) error {
	var d chain.Deal
	if key := chain.DealKey(item.ID); s.load(key, &d) && d.Ended() {
		s.remove(key)
	}
	return nil
}

// forgetChannel collects a channel for a payer who has not.
func (s *state) forgetChannel(item *chain.QueueItem) error {
	c := new(chain.Channel)
	if !s.load(chain.ChannelKey(item.ID), c) || c.SettleAt == 0 {
		return nil
	}
	return s.collect(c)
}
