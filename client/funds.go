package client

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/payment"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/retrieval/ledger"
)

// Funds is the client's money: what its account has free, and what is locked
// under the same key for what this home knows of. All amounts are attoPDR.
type Funds struct {
	Address chain.Address
	Network chain.Network // how addresses are written
	// Height is that of the state it was all read from; 0 if a block came in
	// between every time, so that money on its way may be counted twice or not
	// at all.
	Height   chain.Height
	Account  chain.Amount // free
	Channels []ChannelFunds
	Orders   []LockedFunds // bids in the order book, the chain's own for lost copies too
	Deals    []LockedFunds // that are not over
	Locked   chain.Amount  // in all channels, orders and deals
	Total    chain.Amount  // Account and Locked
}

// ChannelFunds is what one payment channel holds.
type ChannelFunds struct {
	chain.Channel
	Ahead bool // stays open until it is withdrawn
	// Promised is how much of the balance is due to the payee for chunks that
	// came and that it has not redeemed yet. Known says whether it could be
	// read: not while another process of this home pays.
	Promised chain.Amount
	Known    bool
}

// LockedFunds is what an order or a deal holds of the client's money.
type LockedFunds struct {
	ID     uint64
	Root   string // of the payload
	Amount chain.Amount
}

// statusTries is how often Funds is read anew because a block came in between.
const statusTries = 4

// Funds reads where the client's money is.
func (c *Client) Funds(ctx context.Context) (*Funds, error) {
	if err := c.canSign(); err != nil {
		return nil, fmt.Errorf("read funds: %w", err)
	}
	for try := 1; ; try++ {
		before, err := c.cfg.Chain.Global(ctx)
		if err != nil {
			return nil, fmt.Errorf("read funds: %w", err)
		}
		f, err := c.funds(ctx)
		if err != nil {
			return nil, fmt.Errorf("read funds: %w", err)
		}
		after, err := c.cfg.Chain.Global(ctx)
		if err != nil {
			return nil, fmt.Errorf("read funds: %w", err)
		}
		if after.Height == before.Height {
			f.Height = after.Height
		}
		if f.Height != 0 || try == statusTries {
			return f, nil
		}
	}
}

func (c *Client) funds(ctx context.Context) (*Funds, error) {
	p, err := c.cfg.Chain.Params(ctx)
	if err != nil {
		return nil, err
	}
	f := &Funds{Address: c.cfg.Sender.Address(), Network: p.Network}
	account, err := c.cfg.Chain.Account(ctx, f.Address)
	if err != nil {
		return nil, err
	}
	f.Account = account.Balance
	if f.Channels, err = c.channelFunds(ctx); err != nil {
		return nil, err
	}
	if err := c.marketFunds(ctx, f); err != nil {
		return nil, err
	}
	for _, ch := range f.Channels {
		if f.Locked, err = f.Locked.Add(ch.Balance); err != nil {
			return nil, err
		}
	}
	for _, of := range [][]LockedFunds{f.Orders, f.Deals} {
		for _, l := range of {
			if f.Locked, err = f.Locked.Add(l.Amount); err != nil {
				return nil, err
			}
		}
	}
	f.Total, err = f.Account.Add(f.Locked)
	return f, err
}

// channelFunds reads this home's channels of the client's key.
func (c *Client) channelFunds(ctx context.Context) ([]ChannelFunds, error) {
	all, err := c.Channels(ctx)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	known, err := c.records.Channels(ctx)
	if err != nil {
		return nil, err
	}
	book, err := c.ledger.glance()
	if err != nil {
		return nil, err
	}
	var out []ChannelFunds
	for _, ch := range all {
		if ch.Payer != c.cfg.Sender.Address() {
			continue
		}
		f := ChannelFunds{Channel: ch, Known: book != nil}
		if i := slices.IndexFunc(known, func(k files.Channel) bool { return k.ID == ch.ID }); i >= 0 {
			f.Ahead = known[i].Ahead
		}
		if book != nil {
			if f.Promised, err = promised(book, &ch); err != nil {
				break
			}
		}
		out = append(out, f)
	}
	if book != nil {
		err = errors.Join(err, c.ledger.close())
	}
	return out, err
}

// promised is what a channel's payee may still redeem of what this home has revealed.
func promised(book *ledger.Ledger, ch *chain.Channel) (chain.Amount, error) {
	promises, err := book.Promises(ch.ID)
	if err != nil {
		return chain.Amount{}, err
	}
	var sum chain.Amount
	for _, p := range promises {
		due, err := payment.Due(ch, &payment.Claim{Voucher: p.Voucher.Voucher, Ticks: p.Revealed})
		if err == nil {
			sum, err = sum.Add(due)
		}
		if err != nil {
			return sum, err
		}
	}
	return sum.Min(ch.Balance), nil
}

// marketFunds reads what the bids and deals of this home's objects hold.
func (c *Client) marketFunds(ctx context.Context, f *Funds) error {
	all, err := c.List(ctx) // with the deals by which copies were repaired
	if err != nil {
		return err
	}
	met := map[string]bool{}
	for _, o := range all {
		for i := range o.Pieces {
			p := &o.Pieces[i]
			key := fmt.Sprint(p.CID, p.Bid.Order)
			if met[key] { // several objects share it
				continue
			}
			met[key] = true
			if err := c.pieceFunds(ctx, f, o.Root, p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Client) pieceFunds(ctx context.Context, f *Funds, root string, p *files.Piece) error {
	orders := []uint64{p.Bid.Order}
	var copies chain.Copies
	if ok, err := c.cfg.Chain.Record(ctx, chain.CopiesKey(p.Bid.Order), &copies); err != nil {
		return err
	} else if ok {
		orders = append(orders, copies.Orders...)
	}
	for _, id := range orders {
		var o chain.Order
		ok, err := c.cfg.Chain.Record(ctx, chain.OrderKey(id), &o)
		if err != nil {
			return err
		}
		if !ok || id == 0 || o.Owner != f.Address {
			continue
		}
		held, err := o.Locked.Add(o.Deposit)
		if err != nil {
			return err
		}
		f.Orders = append(f.Orders, LockedFunds{id, root, held})
	}
	for _, known := range p.Deals {
		var d chain.Deal
		ok, err := c.cfg.Chain.Record(ctx, chain.DealKey(known.ID), &d)
		if err != nil {
			return err
		}
		if !ok || d.Client != f.Address {
			continue
		}
		held, err := d.Unspent.Add(d.ClientDeposit)
		if err != nil {
			return err
		}
		if !held.IsZero() {
			f.Deals = append(f.Deals, LockedFunds{d.ID, root, held})
		}
	}
	return nil
}

// canSign says whether the client has a node and a key.
func (c *Client) canSign() error {
	switch {
	case c.cfg.Chain == nil:
		return ErrNoNode
	case c.cfg.Sender == nil:
		return ErrNoKey
	}
	return nil
}

// Transfers returns the last ten thousand fetches of this home, oldest first:
// what came of which content from whom, and what it cost.
func (c *Client) Transfers(ctx context.Context) ([]*files.Transfer, error) {
	return c.records.Transfers(ctx)
}
