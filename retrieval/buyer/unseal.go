package buyer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
)

// allFree says whether an offer's chunks cost nothing, though there is a price: that
// is then for the unsealing alone.
func allFree(o *retrieval.Offer) bool { return o.Free > chain.MaxTicks }

// unsealing is what an offer's unsealing costs, attoPDR.
func unsealing(o *retrieval.Offer) (chain.Amount, error) { return retrieval.Cost(o.Price, o.Unseal) }

// worthUnsealing refuses an offer whose unsealing costs more than all of its chunks
// may cost.
func worthUnsealing(o *retrieval.Offer, most chain.Amount) error {
	if o.Unseal == 0 {
		return nil
	}
	cost, err := unsealing(o)
	if err != nil {
		return err
	}
	limit, err := most.Mul(max(o.Chunks, 1))
	if err == nil && limit.Less(cost) {
		return retrieval.Errorf(retrieval.CodeRefused, "the piece must be unsealed for %s attoPDR, at most %s is paid: what its %d chunks may cost", cost, limit, o.Chunks)
	}
	return nil // a limit beyond all amounts bounds nothing
}

// compareOffers puts cheaper offers first: those that need no unsealing, then by price.
func compareOffers(a, b *retrieval.Offer) int {
	if (a.Unseal == 0) != (b.Unseal == 0) {
		return cmp.Compare(a.Unseal, b.Unseal)
	}
	return a.Price.Cmp(b.Price)
}

// shownOnce is in how many sessions a seller may ask to be paid for the same unsealing:
// once to be paid, once to be shown that it was.
const shownOnce = 1

// errAgain blames a seller that wants to be paid for an unsealing again, though it was
// shown that it was paid, or that lied before.
var errAgain = fmt.Errorf("%w: wants to be paid ahead, and was or lied before", ErrFault)

// errShown ends a session in which a seller that may not know that it was paid was shown
// that: the next one tells.
var errShown = errors.New("the seller was shown that its unsealing is paid for")

// rouse pays for the unsealing that the offer asks for, before anything is asked for.
// This is the one payment that the buyer makes ahead: a seller that takes it and does
// not deliver costs that much, once, and is remembered.
//
// The line may have been cut before the payment came. So a seller that asks for it once
// more is shown the newest tick, which pays it, in a session of its own; one that asks
// then still is at fault.
func (s *session) rouse(ctx context.Context) error {
	if s.offer.Unseal == 0 || s.awake {
		return nil
	}
	if s.paidBefore > shownOnce {
		return errAgain
	}
	cost, err := unsealing(&s.offer)
	if err != nil {
		return err
	}
	if s.purse == nil {
		if err := s.present(ctx); err != nil {
			return err
		}
	}
	for !s.purse.ready {
		m, err := s.read(ctx)
		if err != nil {
			return err
		}
		if m != nil {
			return fmt.Errorf("%w: frame of kind %d before anything was asked for", ErrFault, m.Kind())
		}
	}
	if s.paidBefore > 0 {
		s.awake = true
		return errShown
	}
	w := s.purse
	if w.promise.Voucher.Voucher.MaxTicks-w.k < s.offer.Unseal {
		if err := s.renew(ctx); err != nil {
			return err
		}
	}
	k := w.k + s.offer.Unseal
	x, err := w.ticks.Tick(k)
	if err != nil {
		return ownError{fmt.Errorf("%w: no voucher pays %d ticks for unsealing", ErrBudget, s.offer.Unseal)}
	}
	if !s.tally.budget.spend(cost, chain.Amount{}) {
		return overBudget(s.tally.budget, cost)
	}
	w.k, s.awake, s.unsent = k, true, false
	s.tally.unsealed(s.seat, cost)
	if err := w.note(); err != nil {
		return ownError{err}
	}
	return s.conn.Write(&retrieval.Tick{Ticks: w.k, Tick: x})
}

// due is how many ticks are to be paid beside those for chunks.
func (s *session) due() uint64 {
	if s.awake {
		return 0
	}
	return s.offer.Unseal
}

// errLater is why a seller is left that needs longer to unseal than the buyer waits.
var errLater = errors.New("the piece is being unsealed")

// hold hears that the seller is at work. It is waited for as long as the buyer has
// patience; beyond that one that said it would be done lied.
func (s *session) hold(m *retrieval.Wait, silent time.Duration) error {
	s.waited.forgive(silent) // no slowness
	patience := s.buyer.cfg.UnsealTimeout
	if s.held.IsZero() {
		s.held = time.Now()
	}
	over := time.Since(s.held)
	switch left := patience - over; {
	case left <= 0:
		return fmt.Errorf("%w: has not unsealed the piece within %s", ErrFault, patience.Round(time.Second))
	case m.Seconds > uint64(left/time.Second):
		return fmt.Errorf("%w: %w: %w, which takes %d s more; ask again later", ErrFault, errSlow, errLater, m.Seconds)
	}
	return nil
}
