package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/deals"
	"github.com/perdure/perdure/client/files"
)

// signer implements buyer.Signer.
type signer struct{ sender deals.Sender }

// SignVoucher implements buyer.Signer.
func (s signer) SignVoucher(_ context.Context, v *chain.Voucher) (chain.Signature, error) {
	text, err := v.SignBytes()
	if err != nil {
		return chain.Signature{}, err
	}
	return s.sender.Sign(text)
}

// channels implements buyer.Channels with the channels that this home opened.
// Others of the same key are left alone: what was promised on them is not known here.
type channels struct{ c *Client }

// sight is what was last seen of the chain, so that a payment need not wait for a
// node each time. A height lags by at most a second of the many blocks that a
// voucher lives; of a channel, what the payee redeems meanwhile leaves what the
// payer may still promise as it is.
type sight struct {
	mu      sync.Mutex
	height  chain.Height
	at      time.Time
	open    []chain.Channel
	looked  time.Time
	changes uint64 // of channels, by this process
}

const (
	heightFor   = time.Second
	channelsFor = 10 * time.Second
)

// touch forgets the channels: one of them changes.
func (s *sight) touch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	s.looked = time.Time{}
}

// Height implements buyer.Channels.
func (s channels) Height(ctx context.Context) (chain.Height, error) {
	seen := &s.c.sight
	seen.mu.Lock()
	height, fresh := seen.height, time.Since(seen.at) < heightFor
	seen.mu.Unlock()
	if fresh {
		return height, nil
	}
	g, err := s.c.cfg.Chain.Global(ctx)
	if err != nil {
		return 0, err
	}
	seen.mu.Lock()
	defer seen.mu.Unlock()
	seen.height, seen.at = max(seen.height, g.Height), time.Now()
	return seen.height, nil
}

// Find implements buyer.Channels.
func (s channels) Find(ctx context.Context, payee chain.Address) ([]chain.Channel, error) {
	seen := &s.c.sight
	seen.mu.Lock()
	all, fresh, changes := seen.open, time.Since(seen.looked) < channelsFor, seen.changes
	seen.mu.Unlock()
	if !fresh {
		var err error
		if all, err = s.c.Channels(ctx); err != nil {
			return nil, err
		}
		seen.mu.Lock()
		if seen.changes == changes {
			seen.open, seen.looked = all, time.Now()
		}
		seen.mu.Unlock()
	}
	me := s.c.cfg.Sender.Address()
	var out []chain.Channel
	for _, ch := range all {
		if ch.Payee == payee && ch.Payer == me {
			out = append(out, ch)
		}
	}
	return out, nil
}

// Open implements buyer.Channels.
func (s channels) Open(ctx context.Context, payee chain.Address, amount chain.Amount) (*chain.Channel, error) {
	id, err := s.c.openChannel(ctx, payee, amount)
	if err != nil {
		return nil, err
	}
	return s.record(ctx, id)
}

// TopUp implements buyer.Channels. A top-up that is sent and forgotten by a
// crash is in the channel all the same.
func (s channels) TopUp(ctx context.Context, id uint64, amount chain.Amount) (*chain.Channel, error) {
	defer s.c.sight.touch()
	if _, err := s.c.cfg.Sender.Send(ctx, &chain.TopUpChannel{Channel: id, Amount: amount}); err != nil {
		return nil, err
	}
	return s.record(ctx, id)
}

func (s channels) record(ctx context.Context, id uint64) (*chain.Channel, error) {
	ch := new(chain.Channel)
	ok, err := s.c.cfg.Chain.Record(ctx, chain.ChannelKey(id), ch)
	if err == nil && !ok {
		err = fmt.Errorf("the chain has no channel %d", id)
	}
	return ch, err
}

// Channels returns the payment channels that this home opened and that are not
// collected yet.
func (c *Client) Channels(ctx context.Context) ([]chain.Channel, error) {
	if c.cfg.Sender != nil {
		if err := c.traceOpening(ctx); err != nil {
			return nil, err
		}
	}
	known, err := c.records.Channels(ctx)
	if err != nil {
		return nil, err
	}
	var out []chain.Channel
	for _, k := range known {
		var ch chain.Channel
		ok, err := c.cfg.Chain.Record(ctx, chain.ChannelKey(k.ID), &ch)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, ch)
		}
	}
	return out, nil
}

// hold takes the right to open channels, and to look after one being opened.
func (c *Client) hold(ctx context.Context) (release func(), err error) {
	select {
	case c.opening <- struct{}{}:
		return func() { <-c.opening }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// openChannel opens a channel. Its message is kept before it is sent, so that
// the channel is found again whatever happens. The caller has the payment ledger open,
// so that no other process opens one of this home meanwhile.
func (c *Client) openChannel(ctx context.Context, payee chain.Address, amount chain.Amount) (uint64, error) {
	defer c.sight.touch()
	if err := c.traceOpening(ctx); err != nil {
		return 0, err
	}
	release, err := c.hold(ctx)
	if err != nil {
		return 0, err
	}
	defer release()
	p, err := c.cfg.Chain.Params(ctx)
	if err != nil {
		return 0, err
	}
	g, err := c.cfg.Chain.Global(ctx)
	if err != nil {
		return 0, err
	}
	var sent files.Sent
	_, err = c.cfg.Sender.PostKept(ctx, &chain.OpenChannel{Payee: payee, Amount: amount}, func(raw []byte, nonce uint64) error {
		sent = files.Sent{Raw: raw, Nonce: nonce, Since: g.NextChannel, At: g.Height}
		return c.records.SetOpening(ctx, &files.Opening{Sent: sent, Payer: chain.FormatAddress(c.cfg.Sender.Address(), p.Network),
			Payee: chain.FormatAddress(payee, p.Network), Amount: amount})
	})
	if err != nil {
		return 0, err
	}
	in, err := deals.Await(ctx, c.cfg.Chain, p, sent.Raw)
	if err != nil {
		return 0, fmt.Errorf("wait for the channel: %w", err)
	}
	if err := in.Err(); err != nil {
		return 0, errors.Join(err, c.records.SetOpening(ctx, nil))
	}
	return in.Receipt.ID, c.records.AddChannel(ctx, in.Receipt.ID)
}

// traceOpening finds out what became of a channel whose opening was interrupted.
func (c *Client) traceOpening(ctx context.Context) error {
	release, err := c.hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	o, err := c.records.Opening(ctx)
	if err != nil || o == nil {
		return err
	}
	p, err := c.cfg.Chain.Params(ctx)
	if err != nil {
		return err
	}
	if o.Payer != chain.FormatAddress(c.cfg.Sender.Address(), p.Network) {
		return nil // it is for the one who has that key
	}
	fate, err := deals.Trace(ctx, c.cfg.Chain, p, c.cfg.Sender.Address(), &o.Sent, func() (uint64, chain.Height, error) {
		return c.findChannel(ctx, p.Network, o)
	})
	switch {
	case err != nil:
		return fmt.Errorf("channel being opened: %w", err)
	case fate.Inclusion != nil && fate.Inclusion.Err() == nil:
		return c.records.AddChannel(ctx, fate.Inclusion.Receipt.ID)
	case fate.ID != 0:
		return c.records.AddChannel(ctx, fate.ID)
	}
	return c.records.SetOpening(ctx, nil)
}

// findChannel looks for the channel among those opened since.
func (c *Client) findChannel(ctx context.Context, n chain.Network, o *files.Opening) (uint64, chain.Height, error) {
	g, err := c.cfg.Chain.Global(ctx)
	if err != nil {
		return 0, 0, err
	}
	known, err := c.records.Channels(ctx)
	if err != nil {
		return 0, 0, err
	}
	for id := o.Since; id < g.NextChannel; id++ {
		var ch chain.Channel
		ok, err := c.cfg.Chain.Record(ctx, chain.ChannelKey(id), &ch)
		if err != nil {
			return 0, 0, err
		}
		if ok && !slices.ContainsFunc(known, func(k files.Channel) bool { return k.ID == id }) && chain.FormatAddress(ch.Payer, n) == o.Payer && chain.FormatAddress(ch.Payee, n) == o.Payee {
			return id, ch.Opened, nil
		}
	}
	return 0, 0, nil
}
