package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/payment"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/retrieval/buyer"
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

// Withdrawn is what a Withdraw did with one channel.
type Withdrawn struct {
	Channel uint64
	Balance chain.Amount // that it held when it was last read
	// SettleAt is the height from which on it can be collected; 0: it was.
	SettleAt chain.Height
}

// Withdraw closes all payment channels of this home: it settles those that are
// open and collects those whose settle delay is over. With wait it goes on
// until every one is collected; otherwise Run, or another Withdraw, collects
// the rest. What was promised to a payee stays its own: it has the delay to
// redeem it.
func (c *Client) Withdraw(ctx context.Context, wait bool) ([]Withdrawn, error) {
	if err := c.canSign(); err != nil {
		return nil, fmt.Errorf("withdraw: %w", err)
	}
	var all []Withdrawn
	for {
		found, err := c.withdraw(ctx)
		for _, w := range found {
			if i := slices.IndexFunc(all, func(a Withdrawn) bool { return a.Channel == w.Channel }); i >= 0 {
				all[i] = w
			} else {
				all = append(all, w)
			}
		}
		if err != nil {
			return all, fmt.Errorf("withdraw: %w", err)
		}
		next := chain.Height(0)
		for _, w := range all {
			next = max(next, w.SettleAt)
		}
		if next == 0 || !wait {
			return all, nil
		}
		if err := c.awaitHeight(ctx, next); err != nil {
			return all, fmt.Errorf("withdraw: wait for height %d: %w", next, err)
		}
	}
}

// withdraw settles or collects every channel once. No other process of the home
// pays from them meanwhile.
func (c *Client) withdraw(ctx context.Context) ([]Withdrawn, error) {
	book, err := c.ledger.open(ctx)
	if err != nil {
		return nil, err
	}
	out, err := c.withdrawAll(ctx, book)
	return out, errors.Join(err, c.ledger.close())
}

func (c *Client) withdrawAll(ctx context.Context, book *ledger.Ledger) ([]Withdrawn, error) {
	all, err := c.Channels(ctx)
	if err != nil {
		return nil, err
	}
	p, err := c.cfg.Chain.Params(ctx)
	if err != nil {
		return nil, err
	}
	var out []Withdrawn
	for _, ch := range all {
		if ch.Payer != c.cfg.Sender.Address() {
			continue
		}
		g, err := c.cfg.Chain.Global(ctx)
		if err != nil {
			return out, err
		}
		w := Withdrawn{Channel: ch.ID, Balance: ch.Balance, SettleAt: ch.SettleAt}
		switch {
		case ch.SettleAt == 0:
			in, err := c.cfg.Sender.Send(ctx, &chain.SettleChannel{Channel: ch.ID})
			c.sight.touch()
			if err != nil {
				return out, err
			}
			w.SettleAt = in.Height + chain.Height(p.SettleDelay)
		case g.Height >= ch.SettleAt:
			if _, err := c.cfg.Sender.Send(ctx, &chain.CollectChannel{Channel: ch.ID}); err != nil {
				return out, err
			}
			w.SettleAt = 0
			if err := c.forgetChannel(ctx, book, ch.ID); err != nil {
				return out, err
			}
		}
		out = append(out, w)
	}
	return out, nil
}

// awaitHeight waits until the chain is at a height.
func (c *Client) awaitHeight(ctx context.Context, at chain.Height) error {
	p, err := c.cfg.Chain.Params(ctx)
	if err != nil {
		return err
	}
	for {
		g, err := c.cfg.Chain.Global(ctx)
		if err != nil || g.Height >= at {
			return err
		}
		left := time.Duration(uint64(at-g.Height)*p.BlockMillis) * time.Millisecond
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(max(left/2, time.Duration(p.BlockMillis)*time.Millisecond)):
		}
	}
}

// Transfers returns the last ten thousand fetches of this home, oldest first:
// what came of which content from whom, and what it cost.
func (c *Client) Transfers(ctx context.Context) ([]*files.Transfer, error) {
	return c.records.Transfers(ctx)
}
