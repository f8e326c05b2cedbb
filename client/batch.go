package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/orderbook"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/client/pack"
)

// AddToBatch packs a file or a directory and keeps it, encrypted unless it is public,
// until Flush stores all that waits. The record is returned; content that waits
// already, on the same terms, is not added twice. What is too large to share a
// piece is refused.
func (c *Client) AddToBatch(ctx context.Context, path string, o PutOptions) (*files.Object, error) {
	if err := c.ready(ctx); err != nil {
		return nil, fmt.Errorf("batch %q: %w", path, err)
	}
	m, err := c.newMany(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("batch %q: %w", path, err)
	}
	kept, err := m.wait(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("batch %q: %w", path, err)
	}
	return kept, nil
}

// wait adds to the batch; the spool is the record's if there is a new one.
func (m *many) wait(ctx context.Context, path string) (*files.Object, error) {
	packed, err := pack.Pack(ctx, path, m.plan.pack(m.spool.Dir(), m.options.Event))
	if err != nil {
		return nil, errors.Join(err, m.spool.Remove())
	}
	all, err := m.client.records.Objects(ctx)
	old := m.plan.among(all, m.s, packed)
	if err == nil && old == nil && !m.plan.small(packed) {
		err = m.plan.tooLarge(packed)
	}
	if err != nil || old != nil {
		return old, errors.Join(err, m.spool.Remove())
	}
	o := m.plan.object(m.s, packed, m.options.MaxPrice)
	if o.Pieces, err = m.spool.Keep(packed); err != nil {
		return nil, errors.Join(err, m.spool.Remove())
	}
	o.Waiting, o.Spool = true, m.spool.Name()
	if err := m.client.records.Create(ctx, o); err != nil {
		return nil, errors.Join(err, m.spool.Remove())
	}
	return o, m.spool.Close()
}

// Batch says when what waits is flushed by itself: by AddToBatch's caller as soon as
// Due says so, and by Run.
type Batch struct {
	Bytes uint64        // archives that wait, together; 0: half of the largest piece that asks take
	Age   time.Duration // of the oldest; 0: one hour
}

const defaultBatchAge = time.Hour

// Due reports whether what waits should be flushed.
func (c *Client) Due(ctx context.Context, b Batch) (bool, error) {
	waiting, err := c.waiting(ctx)
	if err != nil || len(waiting) == 0 {
		return false, err
	}
	bytes, oldest := uint64(0), waiting[0].Created
	for _, o := range waiting {
		bytes += o.PayloadSize
		if o.Created.Before(oldest) {
			oldest = o.Created
		}
	}
	if time.Since(oldest) >= cmp.Or(b.Age, defaultBatchAge) {
		return true, nil
	}
	if b.Bytes == 0 {
		s, err := c.situation(ctx)
		if err != nil {
			return false, err
		}
		first := waiting[0]
		size, err := c.pieceSize(ctx, s, first.Copies, orderbook.Wanted{Duration: first.Duration, MaxPrice: first.MaxPrice, Regions: first.Regions})
		if err != nil {
			return false, err
		}
		b.Bytes = size / 2
	}
	return bytes >= b.Bytes, nil
}

// waiting are the objects of this chain and payer that wait, by number.
func (c *Client) waiting(ctx context.Context) ([]*files.Object, error) {
	p, err := c.cfg.Chain.Params(ctx)
	if err != nil {
		return nil, err
	}
	mine := ""
	if c.cfg.Sender != nil {
		mine = chain.FormatAddress(c.cfg.Sender.Address(), p.Network)
	}
	all, err := c.records.Objects(ctx)
	return slices.DeleteFunc(all, func(o *files.Object) bool { return !o.Waiting || o.ChainID != p.ChainID || o.Client != mine }), err
}

// Flush stores all that waits in the batch: contents with the same terms share pieces.
// Of the options only NoWait, Approve and Event count, the terms are those with
// which each was added. Killed at any moment it leaves contents that wait, or
// pieces that Run or the next Flush goes on with; nothing is bid for twice.
func (c *Client) Flush(ctx context.Context, o PutOptions) (*ManyResult, error) {
	if err := c.ready(ctx); err != nil {
		return nil, fmt.Errorf("flush batch: %w", err)
	}
	r, err := c.flush(ctx, o)
	if err != nil {
		return r, fmt.Errorf("flush batch: %w", err)
	}
	return r, nil
}

// terms are what must agree for contents to share a piece.
type terms struct {
	copies, duration, renew uint64
	price, renewal          chain.Amount
	regions                 string
}

func termsOf(o *files.Object) terms {
	t := terms{copies: o.Copies, duration: o.Duration, price: o.MaxPrice, regions: strings.Join(o.Regions, ",")}
	if o.Renew != nil {
		t.renew, t.renewal = o.Renew.Count, o.Renew.MaxPrice
	}
	return t
}

func (c *Client) flush(ctx context.Context, o PutOptions) (*ManyResult, error) {
	waiting, err := c.waiting(ctx)
	if err != nil {
		return nil, err
	}
	all := &ManyResult{}
	if err := c.goOnFlushed(ctx, all, o); err != nil {
		return all, err
	}
	all.Objects = append(all.Objects, waiting...)
	for len(waiting) > 0 {
		t := termsOf(waiting[0])
		group := slices.DeleteFunc(slices.Clone(waiting), func(o *files.Object) bool { return termsOf(o) != t })
		waiting = slices.DeleteFunc(slices.Clone(waiting), func(o *files.Object) bool { return termsOf(o) == t })
		o.Copies, o.Duration, o.MaxPrice, o.Renew, o.RenewPrice = t.copies, Duration{Blocks: t.duration}, t.price, t.renew, t.renewal
		o.Regions = group[0].Regions
		stored, err := c.flushGroup(ctx, group, o)
		all.Stored = append(all.Stored, stored...)
		if err != nil {
			return all, err
		}
	}
	if o.Event == nil {
		o.Event = func(Event) {}
	}
	m := &many{client: c, options: o, result: all}
	if err := m.await(ctx); err != nil {
		return all, err
	}
	return all, m.refresh(ctx)
}

// goOnFlushed goes on with pieces of several contents whose put was stopped.
func (c *Client) goOnFlushed(ctx context.Context, r *ManyResult, o PutOptions) error {
	p, err := c.cfg.Chain.Params(ctx)
	if err != nil {
		return err
	}
	objects, err := c.records.Objects(ctx)
	if err != nil {
		return err
	}
	if o.Event == nil {
		o.Event = func(Event) {}
	}
	m := &many{client: c, options: o, result: r}
	mine := chain.FormatAddress(c.cfg.Sender.Address(), p.Network)
	for _, shared := range objects {
		if shared.Kind != files.KindBatch || shared.Settled() || shared.ChainID != p.ChainID || shared.Client != mine {
			continue
		}
		if err := m.goOn(ctx, shared); err != nil {
			return err
		}
		for _, member := range objects {
			if member.In == shared.Number {
				r.Objects = append(r.Objects, member)
			}
		}
	}
	return nil
}

// flushGroup places the bids for contents of the same terms.
func (c *Client) flushGroup(ctx context.Context, group []*files.Object, o PutOptions) ([]*PutResult, error) {
	m, err := c.newMany(ctx, o)
	if err != nil {
		return nil, err
	}
	spools := make([]string, len(group))
	for i, member := range group {
		spools[i] = member.Spool
		p, err := c.records.Payload(member)
		if err != nil {
			return nil, errors.Join(err, m.spool.Remove())
		}
		m.payload = append(m.payload, p)
	}
	err = errors.Join(m.together(ctx, group, m.payload), m.spool.Remove())
	for i, member := range group {
		if member.In != 0 {
			err = errors.Join(err, c.records.DropSpool(spools[i]))
		}
	}
	return m.result.Stored, err
}

// flushRetry is how often Run looks whether the batch is due.
const flushRetry = 30 * time.Second

// flushDue flushes the batch when it is due, until ctx ends.
func (c *Client) flushDue(ctx context.Context) error {
	for {
		due, err := c.Due(ctx, c.cfg.Batch)
		if err == nil && due {
			_, err = c.flush(ctx, PutOptions{NoWait: true})
		}
		if err != nil && ctx.Err() == nil {
			c.log.Warn("flush batch", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(flushRetry):
		}
	}
}
