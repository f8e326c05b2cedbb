package consensus

import "github.com/perdure/perdure/chain"

// renewalWrites is the records that setting the renewal of one deal writes: the
// deal, who holds copies, and a queue item with its head.
const renewalWrites = 4

func setRenewalUnits(s *state, b *chain.SetRenewal) uint64 {
	return renewalWrites * uint64(len(b.Deals)) * s.params.UnitWrite
}

// applySetRenewal lets live deals of the sender's be renewed otherwise from now
// on, or not at all.
func applySetRenewal(s *state, m *chain.Message, b *chain.SetRenewal) (uint64, error) {
	if len(b.Deals) == 0 {
		return 0, refuse(CodeFailed, "no deals named")
	}
	if !ascending(b.Deals) {
		return 0, refuse(CodeFailed, "deals must be ascending, without repeats")
	}
	for _, id := range b.Deals {
		d, err := s.deal(id)
		if err != nil {
			return 0, err
		}
		if err := s.mayRenew(m.From, d, b.Renew); err != nil {
			return 0, err
		}
		d.Renew = b.Renew
		if d.State == chain.DealActive {
			s.queueRenewal(d)
		}
		s.store(chain.DealKey(id), d)
		if d.Renew != nil {
			if err := s.rememberCopy(d); err != nil {
				return 0, err
			}
		}
		e := Event{Kind: EventRenewalSet, Deal: id, From: d.Client.Bytes()}
		if d.Renew != nil {
			e.Index, e.Amount = d.Renew.Count, d.Renew.MaxPrice
		}
		s.emit(e)
	}
	return 0, nil
}

// mayRenew refuses to renew deals of others, those that are over, and those
// whose renewal was due.
func (s *state) mayRenew(from chain.Address, d *chain.Deal, r *chain.Renewal) error {
	if from != d.Client {
		return refuse(CodeFailed, "deal %d is another's", d.ID)
	}
	if d.State > chain.DealActive {
		return refuse(CodeFailed, "deal %d is %s: there is nothing to renew", d.ID, d.State)
	}
	if d.State == chain.DealActive {
		due := d.RenewAt
		if due == 0 {
			due = s.params.renewAt(d)
		}
		if s.global.Height > due {
			return refuse(CodeFailed, "deal %d: its renewal was due at height %d, it ends at %d: place another bid, or cancel the one that renews it",
				d.ID, due, d.End)
		}
	}
	return s.params.checkRenewal(d.PaddedSize, r)
}

// queueRenewal has an active deal's renewal ordered in time, once. The caller
// stores the deal.
func (s *state) queueRenewal(d *chain.Deal) {
	if d.Renew == nil || d.RenewAt != 0 {
		return
	}
	d.RenewAt = s.params.renewAt(d)
	s.enqueue(chain.QueueDealRenew, d.RenewAt, chain.QueueItem{ID: d.ID})
}

// rememberCopy notes a deal as the one copy of its bid if nothing was noted of
// it: its bid was for one copy on any miner.
func (s *state) rememberCopy(d *chain.Deal) error {
	key := chain.CopiesKey(d.Bid)
	if s.has(key) {
		return nil
	}
	miner, err := s.miner(d.Miner)
	if err != nil {
		return err
	}
	s.store(key, &chain.Copies{Holders: []chain.Holder{
		{Deal: d.ID, Miner: d.Miner, Owner: miner.Keys.Owner, Holds: d.State != chain.DealMatched}}})
	return nil
}
