package client

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/files"
)

// Removed says what a Remove did, and what it could not undo.
type Removed struct {
	Cancelled []uint64     // bids that stood in the book
	Stopped   []uint64     // deals that were to be renewed and are not any more
	Stay      []files.Deal // deals in force: their miners keep the data to the end, and it is paid for
	Others    int          // contents of this home that are in the same piece and go on
}

// Remove cancels the bids for a payload that still stand, stops the renewals of its
// copies, and deletes what this home knows of it, the key too. It cannot make
// miners forget: a deal goes on to its end, whoever holds blocks keeps them, and what
// the chain's history says stays. Without the key private content is lost all
// the same. A piece that is shared goes on as long as something in it is wanted.
func (c *Client) Remove(ctx context.Context, root string) (*Removed, error) {
	all, err := c.records.OfRoot(ctx, root)
	if err != nil {
		return nil, fmt.Errorf("remove %s: %w", root, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("remove %s: %w", root, files.ErrNoRecord)
	}
	out := new(Removed)
	for _, o := range all {
		if err := c.remove(ctx, o, out); err != nil {
			return out, fmt.Errorf("remove %s: %w", root, err)
		}
	}
	return out, nil
}

// Forget is Remove for those who do not want to know what stays.
func (c *Client) Forget(ctx context.Context, root string) error {
	_, err := c.Remove(ctx, root)
	return err
}

func (c *Client) remove(ctx context.Context, o *files.Object, out *Removed) error {
	if o.Imported || o.Waiting {
		return c.drop(ctx, o)
	}
	if o.In == 0 {
		if err := c.takeBack(ctx, o, out); err != nil {
			return err
		}
		return c.drop(ctx, o)
	}
	members, err := c.records.Members(ctx, o.In)
	if err != nil {
		return err
	}
	if len(members) > 1 {
		out.Others += len(members) - 1
		out.Stay = append(out.Stay, inForce(o)...)
		return c.drop(ctx, o)
	}
	shared, err := c.records.Object(ctx, o.In)
	if err == nil {
		err = c.takeBack(ctx, shared, out)
	}
	if err == nil {
		err = c.drop(ctx, shared)
	}
	if err != nil {
		return err
	}
	return c.drop(ctx, o)
}

// drop deletes a record and its archives.
func (c *Client) drop(ctx context.Context, o *files.Object) error {
	if err := c.records.RemoveSpool(ctx, o.Number); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return c.records.Delete(ctx, o.Number)
}

// takeBack takes back of an object's bids and renewals what can be.
func (c *Client) takeBack(ctx context.Context, o *files.Object, out *Removed) error {
	for i := range o.Pieces {
		if b := &o.Pieces[i].Bid; b.State == files.BidNone && b.Sent != nil {
			return errors.New("a bid for it may be under way: let `perdure client run` place it first")
		}
	}
	for i := range o.Pieces {
		if err := c.cancel(ctx, &o.Pieces[i].Bid, out); err != nil {
			return err
		}
	}
	if c.cfg.Chain != nil && c.refresh(ctx, o) {
		stop, err := c.renewable(ctx, o, true)
		if err != nil {
			return err
		}
		if err := c.setRenewal(ctx, stop, nil); err != nil {
			return err
		}
		out.Stopped = append(out.Stopped, stop...)
	}
	out.Stay = append(out.Stay, inForce(o)...)
	return nil
}

// cancel takes a bid that stands out of the book.
func (c *Client) cancel(ctx context.Context, b *files.Bid, out *Removed) error {
	if b.State != files.BidStands {
		return nil
	}
	if c.cfg.Sender == nil {
		return ErrNoKey
	}
	ok, err := c.cfg.Chain.Record(ctx, chain.OrderKey(b.Order), new(chain.Order))
	if err != nil || !ok {
		return err
	}
	if _, err := c.cfg.Sender.Send(ctx, &chain.CancelOrder{Order: b.Order}); err != nil {
		return err
	}
	out.Cancelled = append(out.Cancelled, b.Order)
	return nil
}

// inForce are the deals of an object that miners are held to.
func inForce(o *files.Object) []files.Deal {
	var out []files.Deal
	for i := range o.Pieces {
		for _, d := range o.Pieces[i].Deals {
			if d.Active() || d.Pending() {
				out = append(out, d)
			}
		}
	}
	return out
}
