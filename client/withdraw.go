package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval/ledger"
)

// Withdrawn is what a Withdraw did with one channel.
type Withdrawn struct {
	Channel uint64
	Balance chain.Amount // that it held when it was last read
	// SettleAt is the height from which on it can be collected; 0: it was.
	SettleAt chain.Height
}

// Withdraw closes all payment channels of this home: it settles those that are
// open and collects those whose settle delay is over. With wait it goes on
// until every one is collected; otherwise Run, or another Withdraw, collects
// the rest. What was promised to a payee stays its own: it has the delay to
// redeem it.
func (c *Client) Withdraw(ctx context.Context, wait bool) ([]Withdrawn, error) {
	if err := c.canSign(); err != nil {
		return nil, fmt.Errorf("withdraw: %w", err)
	}
	var all []Withdrawn
	for {
		found, err := c.withdraw(ctx)
		for _, w := range found {
			if i := slices.IndexFunc(all, func(a Withdrawn) bool { return a.Channel == w.Channel }); i >= 0 {
				all[i] = w
			} else {
				all = append(all, w)
			}
		}
		if err != nil {
			return all, fmt.Errorf("withdraw: %w", err)
		}
		next := chain.Height(0)
		for _, w := range all {
			next = max(next, w.SettleAt)
		}
		if next == 0 || !wait {
			return all, nil
		}
		if err := c.awaitHeight(ctx, next); err != nil {
			return all, fmt.Errorf("withdraw: wait for height %d: %w", next, err)
		}
	}
}

// withdraw settles or collects every channel once. No other process of the home
// pays from them meanwhile.
func (c *Client) withdraw(ctx context.Context) ([]Withdrawn, error) {
	book, err := c.ledger.open(ctx)
	if err != nil {
		return nil, err
	}
	out, err := c.withdrawAll(ctx, book)
	return out, errors.Join(err, c.ledger.close())
}

func (c *Client) withdrawAll(ctx context.Context, book *ledger.Ledger) ([]Withdrawn, error) {
	all, err := c.Channels(ctx)
	if err != nil {
		return nil, err
	}
	p, err := c.cfg.Chain.Params(ctx)
	if err != nil {
		return nil, err
	}
	var out []Withdrawn
	for _, ch := range all {
		if ch.Payer != c.cfg.Sender.Address() {
			continue
		}
		g, err := c.cfg.Chain.Global(ctx)
		if err != nil {
			return out, err
		}
		w := Withdrawn{Channel: ch.ID, Balance: ch.Balance, SettleAt: ch.SettleAt}
		switch {
		case ch.SettleAt == 0:
			in, err := c.cfg.Sender.Send(ctx, &chain.SettleChannel{Channel: ch.ID})
			c.sight.touch()
			if err != nil {
				return out, err
			}
			w.SettleAt = in.Height + chain.Height(p.SettleDelay)
		case g.Height >= ch.SettleAt:
			if _, err := c.cfg.Sender.Send(ctx, &chain.CollectChannel{Channel: ch.ID}); err != nil {
				return out, err
			}
			w.SettleAt = 0
			if err := c.forgetChannel(ctx, book, ch.ID); err != nil {
				return out, err
			}
		}
		out = append(out, w)
	}
	return out, nil
}

// awaitHeight waits until the chain is at a height.
func (c *Client) awaitHeight(ctx context.Context, at chain.Height) error {
	p, err := c.cfg.Chain.Params(ctx)
	if err != nil {
		return err
	}
	for {
		g, err := c.cfg.Chain.Global(ctx)
		if err != nil || g.Height >= at {
			return err
		}
		left := time.Duration(uint64(at-g.Height)*p.BlockMillis) * time.Millisecond
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(max(left/2, time.Duration(p.BlockMillis)*time.Millisecond)):
		}
	}
}
