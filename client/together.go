package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/perdure/perdure/chain"
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
