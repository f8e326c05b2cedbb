package buyer

import (
	"context"
	"fmt"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
)

// present gets a purse, unless one was prepared, and shows what there is on its
// lane: the voucher of an earlier session if it can pay what is to come, or if
// the seller has to tell how far it was used; else a new one.
func (s *session) present(ctx context.Context) error {
	if s.purse == nil {
		chunks, err := s.affordable()
		if err != nil {
			return err
		}
		need, err := retrieval.Cost(s.offer.Price, chunks)
		if err != nil {
			return err
		}
		if s.purse, err = s.buyer.openPurse(ctx, &s.offer, need); err != nil {
			return payError{err}
		}
	}
	w := s.purse
	if w.promise == nil {
		return s.renew(ctx)
	}
	s.resumed = true
	switch {
	case s.owed:
		if err := s.atone(ctx); err != nil {
			return err
		}
	case w.settled:
		enough, err := w.meets(ctx, &s.offer)
		if err != nil {
			return err
		}
		if !enough || w.rest() < s.need() {
			return s.renew(ctx)
		}
	}
	if err := w.unsettle(); err != nil {
		return ownError{err}
	}
	return s.sendPay(true)
}

// atone pays, by the present promise, for chunks that were on their way when
// earlier sessions broke off, at most a credit window of them. The seller lends
// nothing on the channel before. It is done once a fetch and seller, whatever the
// seller says then: so much a lie may cost.
func (s *session) atone(ctx context.Context) error {
	w := s.purse
	if ok, err := w.meets(ctx, &s.offer); err != nil || !ok || !s.tally.atone(s.seat) {
		return err
	}
	for range min(s.offer.Credit, retrieval.MaxCredit, w.promise.Voucher.Voucher.MaxTicks-w.k) {
		if !s.tally.budget.spend(s.offer.Price, chain.Amount{}) {
			return overBudget(s.tally.budget, s.offer.Price)
		}
		w.k++
		s.tally.paid(s.seat, s.offer.Price)
	}
	if err := w.note(); err != nil {
		return ownError{err}
	}
	return nil
}

// affordable is how many chunks a voucher should pay.
func (s *session) affordable() (uint64, error) {
	chunks := s.need()
	if allFree(&s.offer) {
		chunks = 0
	}
	if n := s.tally.affordable(s.offer.Price, max(chunks+s.due(), 1)); n > 0 {
		return n, nil
	}
	return 0, overBudget(s.tally.budget, s.offer.Price)
}

func overBudget(b *Budget, price chain.Amount) error {
	left, _ := b.left()
	return ownError{fmt.Errorf("%w: %s attoPDR left, a chunk costs %s", ErrBudget, left, price)}
}

// renew shows a new voucher.
func (s *session) renew(ctx context.Context) error {
	s.showTick()
	s.purse.ready = false
	chunks, err := s.affordable()
	if err != nil {
		return err
	}
	if err := s.purse.issue(ctx, &s.offer, chunks); err != nil {
		return payError{err}
	}
	s.purse.ready = true
	return s.sendPay(false)
}

func (s *session) sendPay(resume bool) error {
	pay, err := s.purse.show(resume)
	if err != nil {
		return err
	}
	s.shown++
	return s.conn.Write(pay)
}

// standing hears where the seller says the lane stands. Its tick proves itself:
// it is one of this side's hash chain or the seller lies.
func (s *session) standing(ctx context.Context, m *retrieval.Standing) error {
	w := s.purse
	if w == nil || w.promise == nil {
		return fmt.Errorf("%w: speaks of a voucher before there is one", ErrFault)
	}
	v := &w.promise.Voucher.Voucher
	// Else the seller speaks by itself: it can be paid no more on this voucher.
	answer := s.shown > 0 && (m.Nonce == v.Nonce || !w.ready)
	if answer {
		s.shown--
	}
	if m.Channel != v.Channel || m.Lane != v.Lane || m.Nonce > v.Nonce {
		return fmt.Errorf("%w: speaks of voucher %d on lane %d of channel %d", ErrFault, m.Nonce, m.Lane, m.Channel)
	}
	if m.Nonce == v.Nonce {
		if m.Ticks > v.MaxTicks {
			return fmt.Errorf("%w: holds tick %d of %d", ErrFault, m.Ticks, v.MaxTicks)
		}
		if x, err := w.ticks.Tick(m.Ticks); err != nil || x != m.Tick {
			return fmt.Errorf("%w: tick %d is none of the voucher's", ErrFault, m.Ticks)
		}
		w.k = max(w.k, m.Ticks) // what was revealed before a crash of this side
	}
	ok, err := w.meets(ctx, &s.offer)
	switch {
	case err != nil:
		return err
	case !w.ready && ok && m.Nonce == v.Nonce:
		w.ready = true
		return nil
	case !w.ready:
		return s.renew(ctx)
	case m.Nonce == v.Nonce && m.Ticks == w.k && (!ok || !answer):
		return s.renew(ctx) // used up, or the channel covers no more of it, and more is to come
	}
	return nil
}

// pay pays for one chunk more. If the next one is there already, its tick will
// pay for both: one message the less, and no chunk is later for it.
func (s *session) pay() error {
	w := s.purse
	if w == nil || !w.ready || w.k >= w.promise.Voucher.Voucher.MaxTicks {
		return fmt.Errorf("%w: sent a chunk that no voucher pays", ErrFault)
	}
	aside := s.offer.Price.Min(s.aside)
	if !s.tally.budget.spend(s.offer.Price, aside) {
		return overBudget(s.tally.budget, s.offer.Price)
	}
	s.aside, _ = s.aside.Sub(aside)
	w.k++
	s.tally.paid(s.seat, s.offer.Price)
	if w.k%retrieval.MaxCredit == 0 {
		if err := w.note(); err != nil {
			return ownError{err}
		}
	}
	if !s.unsent && s.conn.Waiting() > 0 {
		s.unsent = true
		return nil
	}
	s.unsent = true
	s.showTick()
	return nil
}

// showTick reveals the newest tick if the seller has not seen it. If that fails,
// the next read tells why, maybe in the seller's words.
func (s *session) showTick() {
	if !s.unsent {
		return
	}
	s.unsent = false
	if x, err := s.purse.ticks.Tick(s.purse.k); err == nil { // pay saw to it that there is one
		_ = s.conn.Write(&retrieval.Tick{Ticks: s.purse.k, Tick: x})
	}
}
