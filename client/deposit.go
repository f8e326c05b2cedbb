package client

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/retrieval/buyer"
)

// Deposited is what a Deposit put into one channel.
type Deposited struct {
	Channel uint64
	Payee   chain.Address
	Amount  chain.Amount
	Opened  bool // the channel is new
}

// Unfunded is a seller that a Deposit left out, and why.
type Unfunded struct {
	Peer string // binary ID
	Err  error
}

// DepositResult is what a Deposit did.
type DepositResult struct {
	Network  chain.Network // how addresses are written
	Channels []Deposited
	Skipped  []Unfunded
}

// ErrNobodyToPay is wrapped by Deposit when no seller takes money for the content.
var ErrNobodyToPay = errors.New("no seller that can be reached asks a price")

// Deposit puts money into the payment channels to those who store the payloads,
// or everything that this home stored, the same to each of them, so that a Get
// need not wait for a block before it can pay. Each is asked whom to pay; one
// that does not answer or serves for nothing is left out. The money stays
// there until Withdraw; what a Get uses up beyond it is topped up by itself.
// If it fails on the way the result says what was put in before.
func (c *Client) Deposit(ctx context.Context, amount chain.Amount, roots ...cid.Cid) (*DepositResult, error) {
	r := &DepositResult{}
	if err := c.deposit(ctx, r, amount, roots); err != nil {
		return r, fmt.Errorf("deposit %s: %w", amount.Human(), err)
	}
	return r, nil
}

func (c *Client) deposit(ctx context.Context, r *DepositResult, amount chain.Amount, roots []cid.Cid) error {
	if amount.IsZero() {
		return errors.New("an amount above nothing is needed")
	}
	if err := c.ready(ctx); err != nil {
		return err
	}
	p, err := c.cfg.Chain.Params(ctx)
	if err != nil {
		return err
	}
	r.Network = p.Network
	parts, err := c.depositParts(ctx, roots)
	if err != nil {
		return err
	}
	b, done, err := c.buyer(ctx, false, nil) // holds the ledger: nobody else of this home opens channels meanwhile
	if err != nil {
		return err
	}
	defer done()
	payees := c.payees(ctx, b, parts, r)
	if len(payees) == 0 {
		reasons := []error{ErrNobodyToPay}
		for _, s := range r.Skipped {
			reasons = append(reasons, s.Err)
		}
		return errors.Join(reasons...)
	}
	for i, payee := range payees {
		share, err := amount.MulDiv(1, uint64(len(payees)-i)) // of what is left: the shares add up
		if err != nil {
			return err
		}
		if share.IsZero() {
			continue
		}
		if amount, err = amount.Sub(share); err != nil {
			return err
		}
		put, err := c.fund(ctx, payee, share)
		if err != nil {
			return err
		}
		r.Channels = append(r.Channels, *put)
	}
	return nil
}

// depositParts are the pieces whose sellers get a deposit.
func (c *Client) depositParts(ctx context.Context, roots []cid.Cid) ([]buyer.Part, error) {
	if len(roots) == 0 {
		all, err := c.records.Objects(ctx)
		if err != nil {
			return nil, err
		}
		for _, o := range all {
			root, err := o.RootCID()
			if err != nil {
				return nil, err
			}
			roots = append(roots, root)
		}
	}
	var out []buyer.Part
	for _, root := range roots {
		from, err := c.sellers(ctx, root)
		if err != nil && !(errors.Is(err, ErrNotStored) && len(roots) > 1) {
			return nil, fmt.Errorf("%s: %w", root, err)
		}
		if err == nil {
			out = append(out, from.parts...)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("this home stored nothing that a miner holds now: name what you mean to fetch")
	}
	return out, nil
}

// payees asks every seller once whom it wants paid.
func (c *Client) payees(ctx context.Context, b *buyer.Buyer, parts []buyer.Part, r *DepositResult) []chain.Address {
	asked := map[string]bool{}
	var out []chain.Address
	for _, part := range parts {
		for _, peer := range part.Sellers {
			if asked[string(peer.ID)] {
				continue
			}
			asked[string(peer.ID)] = true
			offer, err := b.Quote(ctx, peer, part.Piece)
			switch {
			case err != nil:
				r.Skipped = append(r.Skipped, Unfunded{string(peer.ID), err})
			case offer.Payee == nil:
				r.Skipped = append(r.Skipped, Unfunded{string(peer.ID), errors.New("it asks no price")})
			case !slices.Contains(out, *offer.Payee):
				out = append(out, *offer.Payee)
			}
		}
	}
	return out
}

// fund tops up the open channel to a payee, or opens one, and notes that it was
// funded ahead.
func (c *Client) fund(ctx context.Context, payee chain.Address, amount chain.Amount) (*Deposited, error) {
	put := &Deposited{Payee: payee, Amount: amount}
	open, err := channels{c}.Find(ctx, payee)
	if err != nil {
		return nil, err
	}
	open = slices.DeleteFunc(open, func(ch chain.Channel) bool { return ch.SettleAt != 0 })
	if len(open) > 0 {
		put.Channel = open[0].ID
		_, err = channels{c}.TopUp(ctx, put.Channel, amount)
	} else {
		put.Opened = true
		put.Channel, err = c.openChannel(ctx, payee, amount)
	}
	if err != nil {
		return nil, err
	}
	return put, c.records.SetChannel(ctx, files.Channel{ID: put.Channel, Ahead: true})
}
