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
	"github.com/perdure/perdure/retrieval/ledger"
)

// sharedLedger is the payment ledger, open while anybody in this process pays.
type sharedLedger struct {
	home *files.Records

	mu   sync.Mutex
	uses int
	book *ledger.Ledger
	lock *files.Lock
}

// open returns the ledger. Another process that is paying is waited for.
func (s *sharedLedger) open(ctx context.Context) (*ledger.Ledger, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uses == 0 {
		lock, err := files.WaitLock(ctx, s.home.LedgerPath()+".lock")
		if err != nil {
			return nil, fmt.Errorf("open payment ledger: %w", err)
		}
		if err := s.take(lock); err != nil {
			return nil, err
		}
	}
	s.uses++
	return s.book, nil
}

// glance returns the ledger if it can be had at once, nil while another process
// is paying. What it returns is to be closed.
func (s *sharedLedger) glance() (*ledger.Ledger, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uses == 0 {
		lock, err := files.TakeLock(s.home.LedgerPath() + ".lock")
		if errors.Is(err, files.ErrLocked) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("open payment ledger: %w", err)
		}
		if err := s.take(lock); err != nil {
			return nil, err
		}
	}
	s.uses++
	return s.book, nil
}

// take opens the ledger under its lock.
func (s *sharedLedger) take(lock *files.Lock) error {
	book, err := ledger.Open(s.home.LedgerPath(), ledger.Options{})
	if err != nil {
		return errors.Join(err, lock.Close())
	}
	s.book, s.lock = book, lock
	return nil
}

func (s *sharedLedger) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uses--; s.uses > 0 {
		return nil
	}
	return errors.Join(s.book.Close(), s.lock.Close())
}

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

// Height implements buyer.Channels.
func (s channels) Height(ctx context.Context) (chain.Height, error) {
	g, err := s.c.cfg.Chain.Global(ctx)
	if err != nil {
		return 0, err
	}
	return g.Height, nil
}

// Find implements buyer.Channels.
func (s channels) Find(ctx context.Context, payee chain.Address) ([]chain.Channel, error) {
	all, err := s.c.Channels(ctx)
	if err != nil {
		return nil, err
	}
	me := s.c.cfg.Sender.Address()
	return slices.DeleteFunc(all, func(ch chain.Channel) bool { return ch.Payee != payee || ch.Payer != me }), nil
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

// Settle begins to close a channel: after the settle delay what its payee has
// not redeemed comes back with Collect.
func (c *Client) Settle(ctx context.Context, id uint64) error {
	if c.cfg.Sender == nil {
		return ErrNoKey
	}
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
	return errors.Join(book.Forget(id), c.records.ForgetChannel(ctx, id))
}

// tidyEvery is how often Run looks after the channels, idleBlocks how long a
// channel without any voucher stays open.
const (
	tidyEvery  = 30 * time.Second
	idleBlocks = 2_000
)

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
	claimable, err := book.ClaimableUntil(id)
	if err != nil || g.Height <= max(claimable, ch.Opened+idleBlocks) {
		return err
	}
	c.log.Info("channel settled: nothing can be claimed from it any more", "channel", id)
	return c.Settle(ctx, id)
}
