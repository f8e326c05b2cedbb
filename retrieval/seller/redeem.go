package seller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/payment"
	"github.com/perdure/perdure/retrieval/ledger"
)

// Submitter sends a message of the payee to the chain. It returns when the
// message is accepted for a block, or has landed.
type Submitter interface {
	Submit(ctx context.Context, body chain.Body) error
}

// RedeemConfig is what a Redeemer is made of.
type RedeemConfig struct {
	ChainID string
	Ledger  *ledger.Ledger
	Chain   Chain
	Submit  Submitter
	// Active reports whether a session is being paid on a lane; a Seller's
	// Active.
	Active func(channel, lane uint64) bool

	// Before is how many blocks before its expiry a voucher is redeemed at the
	// latest; default twice the SettleDelay and ten.
	SettleDelay, Before uint64
	// Least tells the least attoPDR worth a message once no session is being paid
	// on the lane: many times what the message costs. What is less waits until
	// the voucher nears its expiry. nil: all is worth it.
	Least func(ctx context.Context) (chain.Amount, error)
	// Most is how much may stay unredeemed while a session goes on; zero: any.
	Most chain.Amount
	// Again is after how many blocks a redemption that has no effect yet is
	// sent again, default 10.
	Again uint64
	// Log gets one line a redemption; nil: none.
	Log *slog.Logger
}

// Redeemer takes what was earned to the chain: when a session is over, when a
// voucher nears its expiry, and at once when the payer settles the channel.
type Redeemer struct {
	cfg   RedeemConfig
	nudge chan struct{}

	mu   sync.Mutex // one Check at a time
	sent map[laneKey]attempt
}

// attempt is a redemption that was sent.
type attempt struct {
	nonce, ticks uint64
	height       chain.Height
}

// NewRedeemer makes a redeemer.
func NewRedeemer(cfg RedeemConfig) (*Redeemer, error) {
	if cfg.Ledger == nil || cfg.Chain == nil || cfg.Submit == nil {
		return nil, errors.New("make redeemer: needs a ledger, a chain and a way to submit")
	}
	if cfg.Before == 0 {
		cfg.Before = 2*cfg.SettleDelay + 10
	}
	if cfg.Again == 0 {
		cfg.Again = 10
	}
	if cfg.Active == nil {
		cfg.Active = func(uint64, uint64) bool { return false }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Redeemer{cfg: cfg, nudge: make(chan struct{}, 1), sent: map[laneKey]attempt{}}, nil
}

// Nudge makes Run look at once; it fits a Seller's Ended.
func (r *Redeemer) Nudge(Report) {
	select {
	case r.nudge <- struct{}{}:
	default:
	}
}

// Run checks at every height that comes and after every Nudge, until ctx ends
// or heights is closed. A check that fails is tried again at the next height.
func (r *Redeemer) Run(ctx context.Context, heights <-chan chain.Height) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-heights:
			if !ok {
				return nil
			}
		case <-r.nudge:
		}
		if _, err := r.Check(ctx); err != nil && ctx.Err() == nil {
			r.cfg.Log.Warn("redeem vouchers", "error", err)
		}
	}
}

// Check redeems what is due now and returns how many messages it sent. Errors
// of single lanes do not keep it from the others.
func (r *Redeemer) Check(ctx context.Context) (sent int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	height, err := r.cfg.Chain.Height(ctx)
	if err != nil {
		return 0, fmt.Errorf("redeem vouchers: ask height: %w", err)
	}
	var held []ledger.Holding
	if err := r.cfg.Ledger.Holdings(func(h *ledger.Holding) error { held = append(held, *h); return nil }); err != nil {
		return 0, fmt.Errorf("redeem vouchers: %w", err)
	}
	gone := map[uint64]bool{}
	var errs []error
	var least chain.Amount
	if r.cfg.Least != nil && len(held) > 0 {
		if least, err = r.cfg.Least(ctx); err != nil {
			return 0, fmt.Errorf("redeem vouchers: ask what is worth a message: %w", err)
		}
	}
	for i := range held {
		ok, err := r.redeem(ctx, height, least, &held[i], gone)
		if err != nil {
			v := &held[i].Voucher.Voucher
			errs = append(errs, fmt.Errorf("redeem lane %d of channel %d: %w", v.Lane, v.Channel, err))
		}
		if ok {
			sent++
		}
	}
	return sent, errors.Join(errs...)
}

// redeem looks at one holding. Channels that the chain does not know any more
// are forgotten and noted in gone.
func (r *Redeemer) redeem(ctx context.Context, height chain.Height, least chain.Amount, h *ledger.Holding, gone map[uint64]bool) (bool, error) {
	v := &h.Voucher.Voucher
	key := laneKey{v.Channel, v.Lane}
	if gone[v.Channel] {
		return false, nil
	}
	c, err := r.cfg.Chain.Channel(ctx, v.Channel)
	if err != nil {
		return false, err
	}
	if c == nil {
		gone[v.Channel] = true
		delete(r.sent, key)
		return false, r.cfg.Ledger.Forget(v.Channel)
	}
	due, err := r.due(height, least, c, h)
	if err != nil || !due {
		return false, err
	}
	last := r.sent[key]
	if last.nonce == v.Nonce && last.ticks == h.Ticks && height < last.height+chain.Height(r.cfg.Again) && last.height != 0 {
		return false, nil
	}
	if err := r.cfg.Submit.Submit(ctx, &chain.RedeemVoucher{Voucher: h.Voucher, Ticks: h.Ticks, Tick: h.Tick}); err != nil {
		return false, err
	}
	r.sent[key] = attempt{v.Nonce, h.Ticks, height}
	r.cfg.Log.Info("voucher redeemed", "channel", v.Channel, "lane", v.Lane, "nonce", v.Nonce, "ticks", h.Ticks)
	return true, nil
}

// due says whether a holding is to be redeemed now.
func (r *Redeemer) due(height chain.Height, least chain.Amount, c *chain.Channel, h *ledger.Holding) (bool, error) {
	v := &h.Voucher.Voucher
	claim := h.Claim()
	if height > v.ExpiresAt {
		return false, nil // lost, if anything was left of it
	}
	pay, err := payment.Due(c, &claim)
	switch {
	case err != nil || pay.IsZero() || v.Nonce < payment.LaneOf(c, v.Lane).Nonce:
		return false, err
	case c.Balance.Less(pay):
		return false, fmt.Errorf("%s attoPDR are due and the channel holds %s", pay, c.Balance)
	case c.SettleAt != 0, uint64(v.ExpiresAt-height) <= r.cfg.Before:
		return true, nil
	case r.cfg.Active(v.Channel, v.Lane):
		return !r.cfg.Most.IsZero() && r.cfg.Most.Less(pay), nil
	}
	return !pay.Less(least), nil
}
