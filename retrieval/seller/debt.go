package seller

import (
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/ledger"
)

// forgive takes recovered chunks off what the channel owes.
func (x *session) forgive(channel, recovered uint64) error {
	if recovered == 0 {
		return nil
	}
	var owed, spare uint64
	err := x.seller.cfg.Ledger.ChangeDebt(channel, func(d *ledger.Debt) {
		spare = recovered - min(d.Unpaid, recovered)
		d.Unpaid -= min(d.Unpaid, recovered)
		owed = d.Unpaid
	})
	x.seller.mu.Lock()
	defer x.seller.mu.Unlock()
	x.owed = owed
	recovered -= x.recoverFee(spare) // which the session's own sums count
	st := &x.seller.stats
	st.Unpaid -= min(st.Unpaid, recovered)
	st.Paid += recovered
	if worth, err := x.offer.Price.Mul(recovered); err == nil {
		if sum, err := st.Earned.Add(worth); err == nil {
			st.Earned = sum
		}
	}
	return err
}

// settle ends the session's hold on its lane and notes what stays unpaid.
func (x *session) settle() error {
	s := x.seller
	s.mu.Lock()
	key, unpaid, paid, placed := x.lane, x.unpaid(), x.paid, x.placed
	s.mu.Unlock()
	if !placed {
		return nil
	}
	err := s.noteDebt(key.channel, unpaid, paid)
	s.mu.Lock()
	x.placed = false
	delete(s.lanes, key)
	for k, other := range s.lanes {
		if k.channel == key.channel {
			other.owed += unpaid
			other.signal()
		}
	}
	s.mu.Unlock()
	return err
}

func (s *Seller) noteDebt(channel, unpaid, paid uint64) error {
	before, err := s.cfg.Ledger.Debt(channel)
	if err != nil || unpaid == 0 && before.Unpaid == 0 {
		return err
	}
	return s.cfg.Ledger.ChangeDebt(channel, func(d *ledger.Debt) {
		d.Unpaid += unpaid
		d.Paid += paid
		for d.Unpaid > 0 && d.Paid >= retrieval.RegainCredit {
			d.Unpaid--
			d.Paid -= retrieval.RegainCredit
		}
		if d.Unpaid == 0 {
			d.Paid = 0
		}
	})
}
