package seller

import (
	"context"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
)

// stillHere is how often a buyer that waits for unsealing is told that the session
// stands: well within the silence that it bears.
const stillHere = 4 * time.Second

// forNothing is the free chunks of content that costs nothing but its unsealing.
const forNothing = 1 << 62

// priceUnsealing puts into the offer what unsealing the piece costs, if it has to be:
// in ticks of the price of a chunk, rounded up. What is free but for that has its cost
// as the price, one tick of it is due, and all chunks are free.
func (x *session) priceUnsealing(ctx context.Context, terms *Terms) error {
	if x.asleep == nil || terms.Payee == nil || x.seller.cfg.Chain == nil || x.seller.cfg.Ledger == nil {
		return nil
	}
	cost := x.asleep.Cost()
	if cost.IsZero() {
		return nil
	}
	if x.offer.Price.IsZero() {
		if err := x.charge(ctx, cost, *terms.Payee); err != nil {
			return err
		}
		x.free, x.offer.Free = forNothing, forNothing
	}
	x.fee = ticksFor(cost, x.offer.Price)
	x.offer.Unseal = x.fee
	return nil
}

// ticksFor is how many ticks pay a cost: as many as one voucher has at most.
func ticksFor(cost, price chain.Amount) uint64 {
	low, high := uint64(1), uint64(chain.MaxTicks)
	for low < high {
		n := (low + high) / 2
		if worth, err := price.Mul(n); err == nil && worth.Less(cost) {
			low = n + 1
		} else {
			high = n
		}
	}
	return low
}

// takeFee counts what is due for unsealing as paid once it is. seller.mu is held.
func (x *session) takeFee() {
	if x.fee > 0 && x.paid >= x.fee {
		x.sent += x.fee
		x.unsealed, x.fee = x.fee, 0
	}
}

// recoverFee takes ticks that were lost on the way, and that no chunk is owed for, as
// what was paid for unsealing, and returns how many. They are durable. seller.mu is held.
func (x *session) recoverFee(ticks uint64) uint64 {
	n := min(ticks, x.fee)
	x.paid += n
	x.stored += n
	x.takeFee()
	return n
}

// honour has the piece unsealed if that was paid and the session ended before it came to
// it.
func (x *session) honour() error {
	x.seller.mu.Lock()
	paid := x.unsealed > 0
	x.seller.mu.Unlock()
	if x.asleep == nil || !paid {
		return nil
	}
	return x.asleep.Wake(context.Background())
}

// unseal has the piece unsealed, if it has to be and that is paid, and waits for it.
// The payment is kept before the work begins, and so is the order to do it: neither is
// lost with this process.
func (x *session) unseal(ctx context.Context, w *want) (cancelled bool, err error) {
	if x.asleep == nil {
		return false, nil
	}
	limit := x.seller.cfg.PayTimeout
	late := retrieval.Errorf(retrieval.CodeUnpaid, "unsealing was not paid within %s", limit)
	err = x.await(ctx, limit, late, func() bool {
		cancelled = w.cancelled
		return cancelled || x.fee == 0
	})
	if err != nil || cancelled {
		return cancelled, err
	}
	if err := x.storeTick(); err != nil {
		return false, err
	}
	if err := x.asleep.Wake(ctx); err != nil {
		return false, sourceError(err)
	}
	awaiting, stop := context.WithCancel(ctx)
	ready := make(chan error, 1)
	go func() {
		ready <- x.asleep.Await(awaiting)
		close(ready)
	}()
	cancelled, err = x.waitFor(ctx, w, ready)
	stop()
	for range ready { // until the goroutine has ended
	}
	if err == nil && !cancelled {
		x.asleep = nil
	}
	return cancelled, err
}

// waitFor tells the buyer that the session stands, until the piece is ready or nobody
// waits for it any more.
func (x *session) waitFor(ctx context.Context, w *want, ready <-chan error) (cancelled bool, err error) {
	tick := time.NewTicker(stillHere)
	defer tick.Stop()
	say := func() error {
		return x.conn.Write(&retrieval.Wait{Seconds: uint64((x.asleep.Left() + time.Second - 1) / time.Second)})
	}
	if err := say(); err != nil {
		return false, err
	}
	for {
		select {
		case err := <-ready:
			if err != nil {
				err = sourceError(err)
			}
			return false, err
		case <-x.wake:
			err := x.await(ctx, 0, nil, func() bool { cancelled = w.cancelled; return true })
			if err != nil || cancelled {
				return cancelled, err
			}
		case <-tick.C:
			if err := say(); err != nil {
				return false, err
			}
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}
