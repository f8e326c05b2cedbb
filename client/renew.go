package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/files"
)

// RenewOptions says how to renew. Zero values are as the content was put.
type RenewOptions struct {
	Count    uint64       // further terms of every copy that the chain bids for; 0: one
	Duration Duration     // of each of them
	MaxPrice chain.Amount // attoPDR per GiB per block
}

// Renewed says what a Renew did.
type Renewed struct {
	Set    []uint64        // deals that the chain renews before they end
	Bids   []*files.Object // new puts, open to the miners that hold copies: it was too late for those
	Others int             // contents of this home in the same piece, which are renewed with it
}

// Renew has the copies of a payload stored for longer: the chain bids for further terms
// before their deals end. Where that was due already, and has brought nothing, a new
// bid is placed that the present holders alone may take: they have the piece, so that
// nothing is sent. What those bids come to, Run follows.
func (c *Client) Renew(ctx context.Context, root string, o RenewOptions) (*Renewed, error) {
	if err := c.ready(ctx); err != nil {
		return nil, fmt.Errorf("renew %s: %w", root, err)
	}
	out, err := c.renew(ctx, root, o)
	if err != nil {
		return out, fmt.Errorf("renew %s: %w", root, err)
	}
	return out, nil
}

func (c *Client) renew(ctx context.Context, root string, o RenewOptions) (*Renewed, error) {
	of, others, err := c.bidFor(ctx, root)
	if err != nil {
		return nil, err
	}
	out := &Renewed{Others: others}
	if !c.refresh(ctx, of) {
		return nil, errors.New("the node does not answer")
	}
	p, err := c.cfg.Chain.Params(ctx)
	if err != nil {
		return nil, err
	}
	blocks := of.Duration
	if o.Duration != (Duration{}) {
		if blocks, err = o.Duration.In(p); err != nil {
			return nil, err
		}
	}
	r := &chain.Renewal{Count: cmp.Or(o.Count, 1), MaxPrice: cmp.Or(o.MaxPrice, of.MaxPrice), Duration: blocks}
	if out.Set, err = c.renewable(ctx, of, false); err != nil {
		return nil, err
	}
	if err := c.setRenewal(ctx, out.Set, r); err != nil {
		return nil, err
	}
	if len(out.Set) == 0 {
		bid, err := c.rebid(ctx, of, r)
		if err != nil {
			return out, err
		}
		out.Bids = append(out.Bids, bid)
		return out, nil
	}
	_, err = c.records.Update(ctx, of.Number, func(stored *files.Object) error {
		stored.Renew = &files.Renew{Count: r.Count, MaxPrice: r.MaxPrice}
		return nil
	})
	return out, err
}

// bidFor is the newest record with bids and deals for a root: of a piece that it shares
// with others if it does, and with how many.
func (c *Client) bidFor(ctx context.Context, root string) (of *files.Object, others int, err error) {
	all, err := c.records.OfRoot(ctx, root)
	if err != nil {
		return nil, 0, err
	}
	all = slices.DeleteFunc(all, func(o *files.Object) bool { return o.Waiting || o.Imported })
	if len(all) == 0 {
		return nil, 0, files.ErrNoRecord
	}
	of = all[len(all)-1]
	if of.In == 0 {
		return of, 0, nil
	}
	members, err := c.records.Members(ctx, of.In)
	if err != nil {
		return nil, 0, err
	}
	of, err = c.records.Object(ctx, of.In)
	return of, len(members) - 1, err
}

// renewable are the object's deals whose renewal can still be set; only those that are
// to be renewed, if so wanted.
func (c *Client) renewable(ctx context.Context, o *files.Object, renewing bool) ([]uint64, error) {
	g, err := c.cfg.Chain.Global(ctx)
	if err != nil {
		return nil, err
	}
	var out []uint64
	for _, known := range inForce(o) {
		var d chain.Deal
		ok, err := c.cfg.Chain.Record(ctx, chain.DealKey(known.ID), &d)
		if err != nil {
			return nil, err
		}
		if !ok || d.State > chain.DealActive || renewing && d.Renew == nil {
			continue
		}
		if due := dueAt(&d); d.State != chain.DealActive || g.Height+1 < due {
			out = append(out, d.ID)
		}
	}
	slices.Sort(out)
	return out, nil
}

// dueAt is a height by which the renewal of an active deal has to be set: the one at
// which the chain bids for the next term, else the middle of the term, which is before.
func dueAt(d *chain.Deal) chain.Height {
	if d.RenewAt != 0 {
		return d.RenewAt
	}
	return d.Activated + (d.End-d.Activated)/2
}

// maxRenewals is the most deals of one SetRenewal.
const maxRenewals = 256

// setRenewal tells the chain how deals, ascending by ID, are renewed; nil: not at all.
func (c *Client) setRenewal(ctx context.Context, ids []uint64, r *chain.Renewal) error {
	if len(ids) > 0 && c.cfg.Sender == nil {
		return ErrNoKey
	}
	for some := range slices.Chunk(ids, maxRenewals) {
		in, err := c.cfg.Sender.Send(ctx, &chain.SetRenewal{Deals: some, Renew: r})
		if err == nil {
			err = in.Err()
		}
		if err != nil {
			return fmt.Errorf("set renewal of deals %v: %w", some, err)
		}
	}
	return nil
}

// rebid puts a payload anew with the miners that hold it. Nothing has to be sent to
// them; what was there before stays as it is.
func (c *Client) rebid(ctx context.Context, old *files.Object, r *chain.Renewal) (*files.Object, error) {
	s, err := c.situation(ctx)
	if err != nil {
		return nil, err
	}
	if mine := chain.FormatAddress(s.Owner, s.Params.Network); old.Client != mine || old.ChainID != s.Params.ChainID {
		return nil, errors.New("it was put with another key, or on another chain")
	}
	spool, err := c.records.NewSpool() // holds nothing: its lock says who places the bids
	if err != nil {
		return nil, err
	}
	o := *old
	o.Number, o.Spool, o.Seen, o.Duration, o.MaxPrice, o.Renew = 0, spool.Name(), s.Global.Height, r.Duration, r.MaxPrice, nil
	if r.Count > 1 {
		o.Renew = &files.Renew{Count: r.Count - 1, MaxPrice: r.MaxPrice}
	}
	o.Allow = holders(old)
	o.Copies = min(old.Copies, uint64(len(o.Allow)))
	if o.Copies == 0 {
		return nil, errors.Join(ErrNotStored, spool.Remove())
	}
	o.Pieces = slices.Clone(old.Pieces)
	for i := range o.Pieces {
		o.Pieces[i].Bid, o.Pieces[i].Deals, o.Pieces[i].Archive = files.Bid{}, nil, ""
	}
	if err := c.recordAgain(ctx, old, &o); err != nil {
		return nil, errors.Join(err, spool.Remove())
	}
	placed, err := c.place(ctx, spool, &PutResult{Object: &o}, PutOptions{NoWait: true, Event: func(Event) {}})
	if err != nil {
		return nil, err
	}
	return placed.Object, nil
}

// recordAgain makes a second put of what is recorded durable, with all that share
// its piece.
func (c *Client) recordAgain(ctx context.Context, old, again *files.Object) error {
	if old.Kind != files.KindBatch {
		return c.records.Create(ctx, again)
	}
	members, err := c.records.Members(ctx, old.Number)
	if err != nil {
		return err
	}
	for i, m := range members {
		next := *m
		next.Number, next.Duration, next.MaxPrice, next.Renew, next.Copies = 0, again.Duration, again.MaxPrice, again.Renew, again.Copies
		members[i] = &next
	}
	return c.records.Gather(ctx, again, members)
}

// holders are the miners that hold every piece of an object, ascending.
func holders(o *files.Object) []uint64 {
	var out []uint64
	for i := range o.Pieces {
		var here []uint64
		for _, d := range o.Pieces[i].Deals {
			if d.Active() || d.State == chain.DealAccepted.String() {
				here = append(here, d.Miner)
			}
		}
		slices.Sort(here)
		here = slices.Compact(here)
		if i == 0 {
			out = here
			continue
		}
		out = slices.DeleteFunc(out, func(m uint64) bool { return !slices.Contains(here, m) })
	}
	return out
}
