package buyer

import (
	"context"
	"fmt"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
)

// present gets a purse, unless the job prepared one, and shows what there is on
// its lane: the voucher of an earlier session first, so that the seller tells
// how far that was used; else a new one.
func (s *session) present(ctx context.Context, p plan) error {
	if s.purse == nil {
		chunks, err := s.job.affordable(&s.offer, s.missing(p))
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
	if s.purse.promise == nil {
		return s.renew(ctx, p)
	}
	return s.sendPay(true)
}

// missing is how many chunks are still to be paid, as far as is known.
func (s *session) missing(p plan) uint64 {
	all, had := p.chunks(&s.offer), max(s.got, s.offer.Free)
	if all <= had {
		return 1
	}
	return all - had
}

// renew shows a new voucher.
func (s *session) renew(ctx context.Context, p plan) error {
	s.purse.ready = false
	chunks, err := s.job.affordable(&s.offer, s.missing(p))
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
	return s.conn.Write(pay)
}

// standing hears where the seller says the lane stands. Its tick proves itself:
// it is one of this side's hash chain or the seller lies.
func (s *session) standing(ctx context.Context, p plan, m *retrieval.Standing) error {
	w := s.purse
	if w == nil || w.promise == nil {
		return fmt.Errorf("%w: speaks of a voucher before there is one", ErrFault)
	}
	v := &w.promise.Voucher.Voucher
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
		return s.renew(ctx, p)
	case m.Nonce == v.Nonce && m.Ticks == w.k && !ok:
		return s.renew(ctx, p) // used up, and more is to come
	}
	return nil
}

// pay reveals the next tick.
func (s *session) pay() error {
	w := s.purse
	if w == nil || !w.ready || w.k >= w.promise.Voucher.Voucher.MaxTicks {
		return fmt.Errorf("%w: sent a chunk that no voucher pays", ErrFault)
	}
	x, err := w.ticks.Tick(w.k + 1)
	if err != nil {
		return err
	}
	w.k++
	s.job.countPaid(s)
	v := &w.promise.Voucher.Voucher
	if err := s.buyer.cfg.Ledger.SaveRevealed(v.Channel, v.Lane, v.Nonce, w.k); err != nil {
		return ownError{err}
	}
	return s.conn.Write(&retrieval.Tick{Ticks: w.k, Tick: x})
}

// prepare gets a purse before the stream is opened, so that no seller waits
// while a channel is opened.
func (j *job) prepare(ctx context.Context, o *retrieval.Offer) (*purse, error) {
	chunks := j.plan.chunks(o)
	if o.Price.IsZero() || chunks <= o.Free {
		return nil, nil
	}
	chunks, err := j.affordable(o, chunks-o.Free)
	if err != nil {
		return nil, err
	}
	need, err := retrieval.Cost(o.Price, chunks)
	if err != nil {
		return nil, err
	}
	w, err := j.buyer.openPurse(ctx, o, need)
	if err != nil {
		return nil, payError{err}
	}
	return w, nil
}

// affordable is how many of chunks chunks the budget still pays.
func (j *job) affordable(o *retrieval.Offer, chunks uint64) (uint64, error) {
	chunks = min(chunks, chain.MaxTicks)
	if j.budget.IsZero() {
		return chunks, nil
	}
	left, err := j.budget.Sub(j.stats.Spent.Min(j.budget))
	if err != nil {
		return 0, err
	}
	for n := chunks; n > 0; n /= 2 {
		if cost, err := retrieval.Cost(o.Price, n); err == nil && !left.Less(cost) {
			return n, nil
		}
	}
	return 0, ownError{fmt.Errorf("%w: %s attoPDR left, a chunk costs %s", ErrBudget, left, o.Price)}
}
