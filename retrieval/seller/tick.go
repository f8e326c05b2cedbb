package seller

import (
	"time"

	"github.com/perdure/perdure/chain/payment"
	"github.com/perdure/perdure/retrieval"
)

// takeTick accepts a tick: one hash for each chunk that it pays.
func (x *session) takeTick(t *retrieval.Tick) error {
	x.seller.mu.Lock()
	held, covers := x.held, x.covers
	x.seller.mu.Unlock()
	switch {
	case held == nil:
		return retrieval.Errorf(retrieval.CodeVoucher, "tick without a voucher")
	case t.Ticks <= held.Ticks:
		return nil // shown again
	case t.Ticks > max(covers, held.Ticks):
		return retrieval.Errorf(retrieval.CodeVoucher, "tick %d, the channel covers %d", t.Ticks, covers)
	}
	if err := payment.CheckTick(held.Tick, t.Ticks-held.Ticks, t.Tick); err != nil {
		return retrieval.Errorf(retrieval.CodeVoucher, "tick %d: %s", t.Ticks, err)
	}
	v := &held.Voucher.Voucher
	if err := x.seller.cfg.Ledger.NoteTick(v.Channel, v.Lane, v.Nonce, t.Ticks, t.Tick); err != nil {
		return err
	}
	next := *held
	next.Ticks, next.Tick = t.Ticks, t.Tick
	x.seller.mu.Lock()
	x.paid += t.Ticks - held.Ticks
	x.takeFee()
	x.held = &next
	for k, other := range x.seller.lanes {
		if k.channel == x.lane.channel {
			other.signal()
		}
	}
	x.seller.mu.Unlock()
	select {
	case x.flush <- struct{}{}:
	default:
	}
	return nil
}

// syncDelay is how long a tick that was noted, and so outlives this process, may
// wait for others to be synced with.
const syncDelay = 20 * time.Millisecond

// store syncs ticks as they come.
func (x *session) store(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-x.flush:
		}
		timer := time.NewTimer(syncDelay)
		select {
		case <-stop:
			timer.Stop()
			return
		case <-timer.C:
		}
		if err := x.seller.cfg.Ledger.SyncNotes(); err != nil {
			x.fail(err)
			return
		}
	}
}

// storeTick makes the newest tick durable.
func (x *session) storeTick() error {
	x.saving.Lock()
	defer x.saving.Unlock()
	x.seller.mu.Lock()
	held, paid, stored := x.held, x.paid, x.stored
	x.seller.mu.Unlock()
	if held == nil || paid == stored {
		return nil
	}
	v := &held.Voucher.Voucher
	if err := x.seller.cfg.Ledger.SaveTick(v.Channel, v.Lane, v.Nonce, held.Ticks, held.Tick); err != nil {
		return err
	}
	x.seller.mu.Lock()
	x.stored = paid
	x.seller.mu.Unlock()
	return nil
}
