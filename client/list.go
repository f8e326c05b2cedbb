package client

import (
	"context"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/files"
)

// List returns what this home stored, oldest first. With a node that answers, deals
// that have ended meanwhile are shown, and remembered, as they are now: the chain
// forgets them some time after their end.
func (c *Client) List(ctx context.Context) ([]*files.Object, error) {
	all, err := c.records.Objects(ctx)
	if err != nil || c.cfg.Chain == nil {
		return all, err
	}
	for i, o := range all {
		if o.In != 0 || o.Waiting {
			continue
		}
		before := dealsIn(o)
		answers := c.refresh(ctx, o)
		if !slices.EqualFunc(before, dealsIn(o), slices.Equal) {
			if all[i], err = c.remember(ctx, o); err != nil {
				return all, err
			}
		}
		if !answers {
			break
		}
	}
	files.Share(all)
	return all, nil
}

// dealsIn are the deals of each piece as they are now.
func dealsIn(o *files.Object) [][]files.Deal {
	var out [][]files.Deal
	for i := range o.Pieces {
		out = append(out, slices.Clone(o.Pieces[i].Deals))
	}
	return out
}

// remember keeps what was read of an object's deals, beside what another process
// has noted meanwhile.
func (c *Client) remember(ctx context.Context, o *files.Object) (*files.Object, error) {
	return c.records.Update(ctx, o.Number, func(stored *files.Object) error {
		for i := range stored.Pieces {
			for _, d := range o.Pieces[i].Deals {
				stored.Pieces[i].Keep(d)
			}
		}
		return nil
	})
}

// refresh reads the deals of an object anew and reports whether the node answers.
func (c *Client) refresh(ctx context.Context, o *files.Object) bool {
	p, err := c.cfg.Chain.Params(ctx)
	if err != nil || p.ChainID != o.ChainID {
		return err == nil
	}
	g, err := c.cfg.Chain.Global(ctx) // before the records: what is not there by then is gone
	if err != nil {
		return false
	}
	for i := range o.Pieces {
		piece := &o.Pieces[i]
		for j := range piece.Deals {
			known := &piece.Deals[j]
			if known.Over() {
				continue
			}
			var d chain.Deal
			ok, err := c.cfg.Chain.Record(ctx, chain.DealKey(known.ID), &d)
			if err != nil {
				return false
			}
			if ok {
				piece.Note(&d, "")
			} else if known.ID < g.NextDeal {
				known.Gone(g.Height)
			}
		}
		if !c.findRepairs(ctx, piece) {
			return false
		}
	}
	return true
}

// findRepairs adds the deals by which the chain had copies of a piece repaired,
// and reports whether the node answers. The chain lists who holds a copy for as
// long as somebody does.
func (c *Client) findRepairs(ctx context.Context, piece *files.Piece) bool {
	if piece.Bid.Order == 0 {
		return true
	}
	var copies chain.Copies
	ok, err := c.cfg.Chain.Record(ctx, chain.CopiesKey(piece.Bid.Order), &copies)
	if err != nil || !ok {
		return err == nil
	}
	for _, h := range copies.Holders {
		var d chain.Deal
		if slices.ContainsFunc(piece.Deals, func(k files.Deal) bool { return k.ID == h.Deal }) {
			continue
		}
		ok, err := c.cfg.Chain.Record(ctx, chain.DealKey(h.Deal), &d)
		if err != nil {
			return false
		}
		if ok {
			piece.Note(&d, "")
		}
	}
	return true
}

// ParseRoot reads a payload's root; CIDs of version 0 are read too.
func ParseRoot(text string) (cid.Cid, error) {
	c, err := cid.Decode(text)
	if err != nil {
		return c, err
	}
	if c.Version() == 0 {
		c = cid.NewCidV1(c.Type(), c.Hash())
	}
	return c, nil
}
