package client

import (
	"context"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/files"
)

// List returns what this home stored, oldest first. With a node that answers, deals
// that have ended meanwhile are shown as they are now.
func (c *Client) List(ctx context.Context) ([]*files.Object, error) {
	all, err := c.records.Objects(ctx)
	if err != nil || c.cfg.Chain == nil {
		return all, err
	}
	for _, o := range all {
		if !c.refresh(ctx, o) {
			break
		}
	}
	return all, nil
}

// refresh reads the deals of an object anew and reports whether the node answers.
func (c *Client) refresh(ctx context.Context, o *files.Object) bool {
	p, err := c.cfg.Chain.Params(ctx)
	if err != nil || p.ChainID != o.ChainID {
		return err == nil
	}
	for i := range o.Pieces {
		piece := &o.Pieces[i]
		for _, known := range slices.Clone(piece.Deals) {
			var d chain.Deal
			ok, err := c.cfg.Chain.Record(ctx, chain.DealKey(known.ID), &d)
			if err != nil {
				return false
			}
			if ok {
				piece.Note(&d, "")
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
