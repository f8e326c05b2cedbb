package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/orderbook"
	"github.com/perdure/perdure/client/deals"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/client/pack"
	"github.com/perdure/perdure/retrieval/segment"
)

// ManyResult is what a PutMany did.
type ManyResult struct {
	// Objects are the records of the paths, in their order.
	Objects []*files.Object
	// Stored are what was bid for: the pieces that small contents share, and the
	// large contents.
	Stored []*PutResult
}

// Complete reports whether every copy of every piece is active.
func (r *ManyResult) Complete() bool {
	return !slices.ContainsFunc(r.Stored, func(p *PutResult) bool { return !p.Complete() })
}

// PutMany stores several files or directories. Those that are small beside a piece
// share pieces, which cost as much as one file of their size; each has a root, and
// if it is private a key, of its own, and is fetched by that root alone. Large ones
// are stored as Put does. Approve and Event of the options hear of each piece.
//
// Like a Put it can be stopped and given again: contents whose put was recorded go on,
// the others are packed again.
func (c *Client) PutMany(ctx context.Context, paths []string, o PutOptions) (*ManyResult, error) {
	if err := c.ready(ctx); err != nil {
		return nil, fmt.Errorf("put %d paths: %w", len(paths), err)
	}
	m, err := c.newMany(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("put %d paths: %w", len(paths), err)
	}
	err = errors.Join(m.run(ctx, paths), m.spool.Remove())
	if err == nil {
		err = m.await(ctx)
	}
	if err != nil {
		return m.result, fmt.Errorf("put %d paths: %w", len(paths), err)
	}
	return m.result, m.refresh(ctx)
}

// many is one PutMany or Flush.
type many struct {
	client  *Client
	options PutOptions
	s       *deals.Situation
	plan    *plan
	spool   *files.Spool // of what is packed and not yet in a piece
	result  *ManyResult
	group   []*files.Object // that are to share a piece
	payload []segment.Payload
}

func (c *Client) newMany(ctx context.Context, o PutOptions) (*many, error) {
	s, plan, spool, err := c.prepare(ctx, &o)
	if err != nil {
		return nil, err
	}
	return &many{client: c, options: o, s: s, plan: plan, spool: spool, result: &ManyResult{}}, nil
}

// run packs everything, then records and places it.
func (m *many) run(ctx context.Context, paths []string) error {
	known, err := m.client.records.Objects(ctx)
	if err != nil {
		return err
	}
	known = slices.DeleteFunc(known, func(o *files.Object) bool { return o.Waiting || o.Kind == files.KindBatch })
	for _, path := range paths {
		packed, err := pack.Pack(ctx, path, m.plan.pack(m.spool.Dir(), m.options.Event))
		if err != nil {
			return err
		}
		if err := m.add(ctx, known, packed); err != nil {
			return fmt.Errorf("%q: %w", path, err)
		}
	}
	if len(m.group) == 0 {
		return nil
	}
	return m.together(ctx, m.group, m.payload)
}

// add decides what becomes of one content.
func (m *many) add(ctx context.Context, known []*files.Object, packed *pack.Packed) error {
	if old := m.plan.among(known, m.s, packed); old != nil {
		m.result.Objects = append(m.result.Objects, old)
		return errors.Join(packed.Remove(), m.goOn(ctx, old))
	}
	if m.plan.small(packed) {
		o := m.plan.object(m.s, packed, m.options.MaxPrice)
		m.group, m.payload = append(m.group, o), append(m.payload, packed.Payload())
		m.result.Objects = append(m.result.Objects, o)
		return nil
	}
	spool, err := m.client.records.NewSpool()
	if err != nil {
		return err
	}
	if err := packed.MoveTo(spool.Dir()); err != nil {
		return errors.Join(err, spool.Remove())
	}
	r, err := m.client.keep(ctx, m.s, spool, packed, m.plan, m.landing())
	if r != nil && r.Object != nil {
		m.result.Objects = append(m.result.Objects, r.Object)
		m.result.Stored = append(m.result.Stored, r)
	}
	return err
}

// goOn resumes the put that a record is of, once for all that share its piece.
func (m *many) goOn(ctx context.Context, old *files.Object) error {
	number := cmp.Or(old.In, old.Number)
	if slices.ContainsFunc(m.result.Stored, func(r *PutResult) bool { return r.Number == number }) {
		return nil
	}
	r, err := m.client.resume(ctx, old, m.landing())
	if r != nil && r.Object != nil {
		m.result.Stored = append(m.result.Stored, r)
	}
	return err
}

// landing are the options by which a piece's bids are placed and not waited for.
func (m *many) landing() PutOptions {
	o := m.options
	o.NoWait = true
	return o
}

// smallPart is the part of a piece up to which content shares one with others.
const smallPart = 4

// small reports whether content is to share a piece.
func (p *plan) small(packed *pack.Packed) bool {
	return len(packed.Pieces) == 1 && packed.Pieces[0].PaddedSize <= p.size/smallPart
}

// tooLarge says why content does not go into the batch.
func (p *plan) tooLarge(packed *pack.Packed) error {
	return fmt.Errorf("%s padded: more than a quarter of a piece of %s; put it by itself",
		chain.FormatSize(packed.Pieces[0].PaddedSize), chain.FormatSize(p.size))
}

// together puts contents into as few pieces as hold them, and places the bids.
func (m *many) together(ctx context.Context, group []*files.Object, payloads []segment.Payload) error {
	c := m.client
	spool, err := c.records.NewSpool()
	if err != nil {
		return err
	}
	packed, err := pack.Together(ctx, payloads, m.plan.pack(spool.Dir(), m.options.Event))
	if errors.Is(err, segment.ErrTooLarge) && len(group) > 1 {
		half := len(group) / 2
		return errors.Join(spool.Remove(), m.together(ctx, group[:half], payloads[:half]), m.together(ctx, group[half:], payloads[half:]))
	}
	if err != nil {
		return errors.Join(err, spool.Remove())
	}
	quote := newQuote(packed, m.plan)
	quote.Objects = uint64(len(group))
	m.options.Event(Event{Event: deals.Event{Stage: StagePacked}, Quote: quote})
	err = c.approve(ctx, m.s, packed, m.plan, quote, m.options)
	var shared *files.Object
	if err == nil {
		shared, err = m.gather(ctx, spool, packed, group, quote)
	}
	if err != nil {
		return errors.Join(err, spool.Remove())
	}
	r, err := c.place(ctx, spool, &PutResult{Object: shared, Quote: quote}, m.landing())
	m.result.Stored = append(m.result.Stored, r)
	return err
}

// gather makes a shared piece durable, with all that is in it. Nothing was sent before.
func (m *many) gather(ctx context.Context, spool *files.Spool, packed *pack.Packed, group []*files.Object, quote *Quote) (*files.Object, error) {
	pieces, err := spool.Keep(packed)
	if err != nil {
		return nil, err
	}
	shared := m.plan.object(m.s, packed, quote.Market.MaxPrice)
	shared.SHA256, shared.Pieces, shared.Spool = nil, pieces, spool.Name()
	shared.Public = !slices.ContainsFunc(group, func(o *files.Object) bool { return !o.IsPublic() })
	for _, o := range group {
		o.MaxPrice, o.Renew = shared.MaxPrice, shared.Renew
	}
	return shared, m.client.records.Gather(ctx, shared, group)
}

// await waits for all pieces at once: the miners of each have a deadline.
func (m *many) await(ctx context.Context) error {
	errs := make([]error, len(m.result.Stored))
	var all sync.WaitGroup
	for i, r := range m.result.Stored {
		all.Go(func() { m.result.Stored[i], errs[i] = m.client.await(ctx, r, m.options) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// refresh reads the records of the contents as they are at the end.
func (m *many) refresh(ctx context.Context) error {
	for i, o := range m.result.Objects {
		now, err := m.client.records.Object(ctx, o.Number)
		if err != nil {
			return err
		}
		m.result.Objects[i] = now
	}
	return nil
}

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
