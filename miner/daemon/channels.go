package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/retrieval/ledger"
)

// channels are the payment channels that the miner pays other miners from. The
// worker's key pays from this home alone: what it promised is in its ledger.
// channels implements buyer.Channels.
type channels struct {
	d     *Daemon
	log   *slog.Logger
	wake  chan struct{}
	after chain.Height // when to look at all of them again
}

// tidyBlocks is how often the channels are looked after.
const tidyBlocks = 50

func newChannels(d *Daemon) *channels {
	return &channels{d: d, log: d.log.With("part", "channels"), wake: make(chan struct{}, 1)}
}

// Height implements buyer.Channels.
func (c *channels) Height(ctx context.Context) (chain.Height, error) {
	g, err := c.d.node.Global(ctx)
	if err != nil {
		return 0, err
	}
	return g.Height, nil
}

// Find implements buyer.Channels.
func (c *channels) Find(ctx context.Context, payee chain.Address) ([]chain.Channel, error) {
	all, err := c.own(ctx)
	if err != nil {
		return nil, err
	}
	var out []chain.Channel
	for _, ch := range all {
		if ch.Payee == payee {
			out = append(out, ch)
		}
	}
	return out, nil
}

// own returns the channels that the worker pays from, as the chain has them. An
// index names them, so that none is forgotten whenever the process dies.
func (c *channels) own(ctx context.Context) ([]chain.Channel, error) {
	me := c.d.send.address()
	listed, err := rpc.List[struct {
		ID uint64 `json:"id"`
	}](ctx, c.d.node, "/v1/channels", url.Values{"address": {chain.FormatAddress(me, c.d.params.Network)}})
	if err != nil {
		return nil, fmt.Errorf("list channels: %w", err)
	}
	var out []chain.Channel
	for _, l := range listed {
		var ch chain.Channel
		ok, err := c.d.node.Record(ctx, chain.ChannelKey(l.ID), &ch)
		if err != nil {
			return nil, err
		}
		if ok && ch.Payer == me {
			out = append(out, ch)
		}
	}
	return out, nil
}

// Open implements buyer.Channels.
func (c *channels) Open(ctx context.Context, payee chain.Address, amount chain.Amount) (*chain.Channel, error) {
	r, err := c.d.send.Send(ctx, &chain.OpenChannel{Payee: payee, Amount: amount})
	if err != nil {
		return nil, err
	}
	return c.record(ctx, r.ID)
}

// TopUp implements buyer.Channels.
func (c *channels) TopUp(ctx context.Context, id uint64, amount chain.Amount) (*chain.Channel, error) {
	if _, err := c.d.send.Send(ctx, &chain.TopUpChannel{Channel: id, Amount: amount}); err != nil {
		return nil, err
	}
	return c.record(ctx, id)
}

func (c *channels) record(ctx context.Context, id uint64) (*chain.Channel, error) {
	ch := new(chain.Channel)
	ok, err := c.d.node.Record(ctx, chain.ChannelKey(id), ch)
	if err == nil && !ok {
		err = fmt.Errorf("the chain has no channel %d", id)
	}
	return ch, err
}

// Wake makes Run look whether a channel is due: after each block.
func (c *channels) Wake() {
	select {
	case c.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Run gets back what is left of channels that nothing can be claimed from any
// more, until ctx ends.
func (c *channels) Run(ctx context.Context) error {
	for {
		if err := c.tidy(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("look after channels", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		}
	}
}

func (c *channels) tidy(ctx context.Context) error {
	now := c.d.status.read().Height
	if now < c.after {
		return nil
	}
	c.after = now + tidyBlocks
	all, err := c.own(ctx)
	if err != nil {
		return err
	}
	for i := range all {
		if err := c.tidyOne(ctx, &all[i], now); err != nil {
			return err
		}
	}
	return forgetGone(ctx, c.d.ledger, c.d.node)
}

// forgetGone drops what was promised on channels that the chain does not know any
// more: their payees may have collected them, or the chain itself.
func forgetGone(ctx context.Context, book *ledger.Ledger, node recorder) error {
	promised, err := book.Promised()
	if err != nil {
		return err
	}
	for _, id := range promised {
		switch ok, err := node.Record(ctx, chain.ChannelKey(id), new(chain.Channel)); {
		case err != nil:
			return err
		case ok:
			continue
		}
		if err := book.Forget(id); err != nil {
			return err
		}
	}
	return nil
}

// tidyOne settles a channel that has served, or collects one whose settle delay is over.
func (c *channels) tidyOne(ctx context.Context, ch *chain.Channel, now chain.Height) error {
	switch {
	case ch.SettleAt != 0 && now >= ch.SettleAt:
		if _, err := c.d.send.Send(ctx, &chain.CollectChannel{Channel: ch.ID}); err != nil {
			return err
		}
		c.log.Info("channel collected", "channel", ch.ID, "back", ch.Balance)
		return c.d.ledger.Forget(ch.ID)
	case ch.SettleAt != 0:
		return nil
	}
	if idle, err := c.d.ledger.Idle(ch, now); err != nil || !idle {
		return err
	}
	c.log.Info("channel settled: nothing can be claimed from it any more", "channel", ch.ID)
	_, err := c.d.send.Send(ctx, &chain.SettleChannel{Channel: ch.ID})
	return err
}
