package client

import (
	"context"
	"errors"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/retrieval/ledger"
)

// Settle begins to close a channel: after the settle delay what its payee has
// not redeemed comes back with Collect.
func (c *Client) Settle(ctx context.Context, id uint64) error {
	if c.cfg.Sender == nil {
		return ErrNoKey
	}
	defer c.sight.touch()
	_, err := c.cfg.Sender.Send(ctx, &chain.SettleChannel{Channel: id})
	return err
}

// Collect closes a channel whose settle delay is over, and forgets it.
func (c *Client) Collect(ctx context.Context, id uint64) error {
	if c.cfg.Sender == nil {
		return ErrNoKey
	}
	if _, err := c.cfg.Sender.Send(ctx, &chain.CollectChannel{Channel: id}); err != nil {
		return err
	}
	book, err := c.ledger.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(c.forgetChannel(ctx, book, id), c.ledger.close())
}

func (c *Client) forgetChannel(ctx context.Context, book *ledger.Ledger, id uint64) error {
	defer c.sight.touch()
	return errors.Join(book.Forget(id), c.records.ForgetChannel(ctx, id))
}

// tidyEvery is how often Run looks after the channels.
const tidyEvery = 30 * time.Second

// tidyChannels settles channels whose vouchers have all expired, so that
// nothing can be claimed from them any more, and collects those whose settle
// delay is over, until ctx ends. Channels funded ahead it leaves open.
func (c *Client) tidyChannels(ctx context.Context) error {
	for {
		if err := c.tidy(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("look after channels", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(tidyEvery):
		}
	}
}

func (c *Client) tidy(ctx context.Context) error {
	known, err := c.records.Channels(ctx)
	if err != nil || len(known) == 0 {
		return err
	}
	book, err := c.ledger.open(ctx)
	if err != nil {
		return err
	}
	for _, k := range known {
		if err = c.tidyOne(ctx, book, k); err != nil {
			break
		}
	}
	return errors.Join(err, c.ledger.close())
}

func (c *Client) tidyOne(ctx context.Context, book *ledger.Ledger, known files.Channel) error {
	id := known.ID
	g, err := c.cfg.Chain.Global(ctx)
	if err != nil {
		return err
	}
	var ch chain.Channel
	ok, err := c.cfg.Chain.Record(ctx, chain.ChannelKey(id), &ch)
	switch {
	case err != nil:
		return err
	case !ok:
		return c.forgetChannel(ctx, book, id)
	case ch.Payer != c.cfg.Sender.Address():
		return nil
	case ch.SettleAt != 0 && g.Height >= ch.SettleAt:
		c.log.Info("channel collected", "channel", id, "back", ch.Balance)
		return c.Collect(ctx, id)
	case ch.SettleAt != 0 || known.Ahead:
		return nil
	}
	if idle, err := book.Idle(&ch, g.Height); err != nil || !idle {
		return err
	}
	c.log.Info("channel settled: nothing can be claimed from it any more", "channel", id)
	return c.Settle(ctx, id)
}
