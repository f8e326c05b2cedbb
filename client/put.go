package client

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/orderbook"
	"github.com/perdure/perdure/client/deals"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/client/pack"
)

// DefaultCopies is how many copies a Put makes unless told otherwise.
const DefaultCopies = 2

// PutOptions says how to store. Zero values take the defaults.
type PutOptions struct {
	Public    bool         // store as it is; the default is encrypted
	Copies    uint64       // on distinct miners of distinct owners; default DefaultCopies
	Duration  Duration     // default 20 proving periods
	MaxPrice  chain.Amount // attoPDR per GiB per block; zero: the dearest ask that the quote takes and a quarter more
	PieceSize uint64       // most padded bytes of a piece; 0: the largest that enough asks take at about the lowest price
	Regions   []string     // that a miner must claim to be in, one of them, like eu or eu-de; none: anywhere
	// Renew has the chain bid for so many further terms of every copy, each as long
	// as the first, before the one before ends. They are paid from what the account
	// has then; without it they are skipped.
	Renew      uint64
	RenewPrice chain.Amount // attoPDR per GiB per block of those terms at most; zero: as MaxPrice
	NoWait     bool         // return once the bids have landed; Run serves the miners
	// Approve is shown the quote before anything is sent; its error ends the Put.
	Approve func(*Quote) error
	// Event hears of each stage; it must not wait.
	Event func(Event)

	from io.Reader // in place of a path
}

// Stages of a Put before those of package deals.
const (
	StagePacking deals.Stage = "packing" // Done and Total in bytes
	StagePacked  deals.Stage = "packed"  // Quote has root and pieces
	StagePriced  deals.Stage = "priced"  // Quote has the price too
	StageResumed deals.Stage = "resumed" // an unfinished Put of the same content goes on: Object
)

// Event is one step of a Put.
type Event struct {
	deals.Event
	Pass        pack.Stage    // of StagePacking: read or cut
	Done, Total uint64        // of StagePacking, in bytes; Total 0: not known
	Quote       *Quote        // of StagePacked and StagePriced
	Record      *files.Object // of StageResumed
}

// PutResult is what a Put did.
type PutResult struct {
	*files.Object
	Quote   *Quote // nil if an earlier Put was resumed
	Resumed bool
}

// Complete reports whether every copy is active.
func (r *PutResult) Complete() bool { return r.State() == "active" }

// Put stores the file or directory at path, "-" for standard input. It returns
// once every copy is active or void, serving the miners meanwhile; copies that
// are void are no error but make the result incomplete.
//
// Nothing is lost when it is stopped, at whatever moment: the record says what
// was sent, Run goes on with it, and so does another Put of the same content.
func (c *Client) Put(ctx context.Context, path string, o PutOptions) (*PutResult, error) {
	if err := c.ready(ctx); err != nil {
		return nil, fmt.Errorf("put %q: %w", path, err)
	}
	r, err := c.put(ctx, path, o)
	if err != nil {
		return r, fmt.Errorf("put %q: %w", path, err)
	}
	return r, nil
}

// prepare looks at the market, plans by it, and makes room for what is packed.
func (c *Client) prepare(ctx context.Context, o *PutOptions) (*deals.Situation, *plan, *files.Spool, error) {
	if o.Event == nil {
		o.Event = func(Event) {}
	}
	s, err := c.situation(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	plan, err := c.plan(ctx, o, s)
	if err != nil {
		return nil, nil, nil, err
	}
	spool, err := c.records.NewSpool()
	return s, plan, spool, err
}

func (c *Client) put(ctx context.Context, path string, o PutOptions) (*PutResult, error) {
	s, plan, spool, err := c.prepare(ctx, &o)
	if err != nil {
		return nil, err
	}
	packed, err := o.pack(ctx, path, plan.pack(spool.Dir(), o.Event))
	if err != nil {
		return nil, errors.Join(err, spool.Remove())
	}
	return c.keep(ctx, s, spool, packed, plan, o)
}

// keep prices, records and places what was packed into the spool. If a put of the
// same content was stopped it goes on with that one.
func (c *Client) keep(ctx context.Context, s *deals.Situation, spool *files.Spool, packed *pack.Packed, plan *plan, o PutOptions) (*PutResult, error) {
	quote := newQuote(packed, plan)
	o.Event(Event{Event: deals.Event{Stage: StagePacked}, Quote: quote})
	old, err := c.unfinished(ctx, s, packed, plan)
	if err != nil {
		return nil, errors.Join(err, spool.Remove())
	}
	if old != nil {
		if err := spool.Remove(); err != nil {
			return nil, err
		}
		return c.resume(ctx, old, o)
	}
	if err := c.approve(ctx, s, packed, plan, quote, o); err != nil {
		return nil, errors.Join(err, spool.Remove())
	}
	record, err := c.record(ctx, s, spool, packed, plan, quote)
	if err != nil {
		return nil, errors.Join(err, spool.Remove())
	}
	return c.place(ctx, spool, &PutResult{Object: record, Quote: quote}, o)
}

// approve prices the pieces, makes sure that there is money for them, and asks
// for consent.
func (c *Client) approve(ctx context.Context, s *deals.Situation, packed *pack.Packed, plan *plan, quote *Quote, o PutOptions) (err error) {
	if quote.Market, err = c.price(ctx, s, plan.terms(s, packed)); err != nil {
		return err
	}
	o.Event(Event{Event: deals.Event{Stage: StagePriced}, Quote: quote})
	if len(quote.Market.Copies) == 0 && o.MaxPrice.IsZero() {
		return errors.New("no ask in the order book takes these pieces now; give a highest price to wait for one")
	}
	need, err := quote.Market.Locked.Add(quote.Market.Fees)
	if err != nil {
		return err
	}
	if s.Account.Balance.Less(need) {
		return fmt.Errorf("not enough money: the bids lock %s and cost %s in fees, %s has %s; nothing was sent",
			quote.Market.Locked.Human(), quote.Market.Fees.Human(), chain.FormatAddress(s.Owner, s.Params.Network), s.Account.Balance.Human())
	}
	if o.Approve == nil {
		return nil
	}
	return o.Approve(quote)
}

// record makes the put durable. Nothing was sent before.
func (c *Client) record(ctx context.Context, s *deals.Situation, spool *files.Spool, packed *pack.Packed, plan *plan, quote *Quote) (*files.Object, error) {
	pieces, err := spool.Keep(packed)
	if err != nil {
		return nil, err
	}
	o := plan.object(s, packed, quote.Market.MaxPrice)
	o.Pieces, o.Spool = pieces, spool.Name()
	return o, c.records.Create(ctx, o)
}

// object is the record of content on the plan's terms, with no pieces yet.
func (p *plan) object(s *deals.Situation, packed *pack.Packed, price chain.Amount) *files.Object {
	return &files.Object{
		Created: time.Now().UTC().Truncate(time.Second),
		Root:    packed.Root.String(), Kind: string(packed.Kind), Name: packed.Name, Mode: uint32(packed.Mode),
		Size: packed.Size, SHA256: packed.SHA256[:], Key: packed.Key, PayloadSize: packed.PayloadSize,
		ChainID: s.Params.ChainID, Client: chain.FormatAddress(s.Owner, s.Params.Network),
		Copies: p.copies, Duration: p.duration, MaxPrice: price, Regions: p.regions, Seen: s.Global.Height, Renew: p.renews(price),
	}
}

// unfinished finds a put of the same content on the same terms that was stopped.
func (c *Client) unfinished(ctx context.Context, s *deals.Situation, packed *pack.Packed, plan *plan) (*files.Object, error) {
	all, err := c.records.Objects(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(o *files.Object) bool { return o.Waiting })
	return plan.among(all, s, packed), nil
}

// among finds the record of a put of the same content on the same terms to which
// something can still happen, nil if there is none.
func (p *plan) among(all []*files.Object, s *deals.Situation, packed *pack.Packed) *files.Object {
	for _, o := range all {
		if bytes.Equal(o.SHA256, packed.SHA256[:]) && o.Kind == string(packed.Kind) && o.Name == packed.Name &&
			(o.Key == "") == (packed.Key == "") && o.Copies == p.copies && o.Duration == p.duration && (o.Renew == nil) == (p.renew == 0) && slices.Equal(o.Regions, p.regions) &&
			o.ChainID == s.Params.ChainID && o.Client == chain.FormatAddress(s.Owner, s.Params.Network) && !o.Settled() {
			return o
		}
	}
	return nil
}

// resume goes on with a put that was stopped.
func (c *Client) resume(ctx context.Context, record *files.Object, o PutOptions) (*PutResult, error) {
	if record.In != 0 { // what happens, happens to the piece that it shares
		shared, err := c.records.Object(ctx, record.In)
		if err != nil {
			return nil, err
		}
		record = shared
	}
	r := &PutResult{Object: record, Resumed: true}
	o.Event(Event{Event: deals.Event{Stage: StageResumed, Object: record.Number}, Record: record})
	if record.Landed() {
		return c.await(ctx, r, o)
	}
	spool, err := c.records.OpenSpool(record)
	if errors.Is(err, files.ErrLocked) {
		return r, errors.New("another process is placing the bids for it")
	}
	if err != nil {
		return r, err
	}
	return c.place(ctx, spool, r, o)
}

// place brings the bids onto the chain and lets go of the spool.
func (c *Client) place(ctx context.Context, spool *files.Spool, r *PutResult, o PutOptions) (*PutResult, error) {
	stop := c.listen(c.hear(r.Number, o))
	var err error
	r.Object, err = c.market.Place(ctx, r.Object)
	stop()
	if err := errors.Join(err, spool.Close()); err != nil {
		return r, err
	}
	return c.await(ctx, r, o)
}

// await waits until nothing more will happen to the object.
func (c *Client) await(ctx context.Context, r *PutResult, o PutOptions) (*PutResult, error) {
	if o.NoWait {
		return r, nil
	}
	stop := c.listen(c.hear(r.Number, o))
	defer stop()
	settled, err := c.market.AttendTo(ctx, r.Number)
	if err != nil {
		return r, err
	}
	r.Object = settled
	return r, nil
}

// hear passes on what happens to one object.
func (c *Client) hear(number uint64, o PutOptions) func(deals.Event) {
	mine := map[uint64]deals.Event{} // by deal
	return func(e deals.Event) {
		if e.Stage == deals.StageServed { // the seller knows the deal alone
			if of, ok := mine[e.Deal]; ok {
				of.Stage = deals.StageServed
				o.Event(Event{Event: of})
			}
			return
		}
		if e.Object != number {
			return
		}
		if e.Deal != 0 {
			mine[e.Deal] = e
		}
		o.Event(Event{Event: e})
	}
}

// placeRetry is how often Run looks for bids that are not placed.
const placeRetry = 20 * time.Second

// placeAll places the bids of puts that were stopped, until ctx ends.
func (c *Client) placeAll(ctx context.Context) error {
	for {
		all, err := c.records.Objects(ctx)
		if err != nil {
			return err
		}
		for _, o := range all {
			if err := c.placeOne(ctx, o); err != nil && ctx.Err() == nil {
				c.log.Warn("place bids", "root", o.Root, "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(placeRetry):
		}
	}
}

func (c *Client) placeOne(ctx context.Context, o *files.Object) error {
	if !o.Own() || o.Landed() || o.Spool == "" {
		return nil
	}
	spool, err := c.records.OpenSpool(o)
	if errors.Is(err, files.ErrLocked) {
		return nil // a Put is at it
	}
	if err != nil {
		return err
	}
	fresh, err := c.records.Object(ctx, o.Number)
	if err == nil {
		_, err = c.market.Place(ctx, fresh)
	}
	return errors.Join(err, spool.Close())
}

// situation reads what prices depend on.
func (c *Client) situation(ctx context.Context) (*deals.Situation, error) {
	nobody, err := chain.KeyAddress(make([]byte, 65)) // stands for a client without a key
	if err != nil {
		return nil, err
	}
	s := &deals.Situation{Account: &chain.Account{}, Owner: nobody}
	if s.Params, err = c.cfg.Chain.Params(ctx); err != nil {
		return nil, err
	}
	if s.Global, err = c.cfg.Chain.Global(ctx); err != nil {
		return nil, err
	}
	if c.cfg.Sender != nil {
		s.Owner = c.cfg.Sender.Address()
		if s.Account, err = c.cfg.Chain.Account(ctx, s.Owner); err != nil {
			return nil, err
		}
	}
	if s.Delays, err = c.cfg.Directory.Delays(ctx); err != nil {
		return nil, fmt.Errorf("read deals: %w", err)
	}
	return s, nil
}

// plan is what PutOptions come to.
type plan struct {
	public   bool
	copies   uint64
	duration uint64 // blocks; 0: not known without a node
	size     uint64 // most padded bytes of a piece
	limit    chain.Amount
	regions  []string
	renew    uint64 // further terms
	renewal  chain.Amount
}

// renews is what the record of a put says about renewals, given the highest price
// of its first term.
func (p *plan) renews(price chain.Amount) *files.Renew {
	if p.renew == 0 {
		return nil
	}
	return &files.Renew{Count: p.renew, MaxPrice: cmp.Or(p.renewal, price)}
}

// offlinePiece is the largest piece when no node can be asked: a sector of the
// main network.
const offlinePiece = 32 << 30

// plan settles what the options leave open; s is nil without a node.
func (c *Client) plan(ctx context.Context, o *PutOptions, s *deals.Situation) (*plan, error) {
	p := &plan{public: o.Public, copies: cmp.Or(o.Copies, DefaultCopies), size: o.PieceSize, limit: o.MaxPrice, renew: o.Renew, renewal: o.RenewPrice,
		regions: slices.Compact(slices.Sorted(slices.Values(o.Regions)))}
	for _, tag := range p.regions {
		if err := chain.CheckRegion(tag); err != nil {
			return nil, err
		}
	}
	if s == nil {
		p.size, p.duration = cmp.Or(p.size, offlinePiece), o.Duration.Blocks
		return p, nil
	}
	var err error
	if p.duration, err = o.Duration.In(s.Params); err != nil {
		return nil, err
	}
	if p.copies > s.Params.MaxCopies {
		return nil, fmt.Errorf("%d copies, the network allows %d", p.copies, s.Params.MaxCopies)
	}
	if p.size == 0 {
		if p.size, err = c.pieceSize(ctx, s, p.copies, orderbook.Wanted{Duration: p.duration, MaxPrice: p.limit, Regions: p.regions}); err != nil {
			return nil, err
		}
	}
	if p.size > s.Params.MaxPiece() {
		return nil, fmt.Errorf("pieces of %s, the network takes up to %s", chain.FormatSize(p.size), chain.FormatSize(s.Params.MaxPiece()))
	}
	return p, nil
}

func (p *plan) pack(dir string, event func(Event)) pack.Options {
	return pack.Options{Public: p.public, MaxPieceSize: p.size, WorkDir: dir, Progress: func(pass pack.Stage, done, total uint64) {
		event(Event{Event: deals.Event{Stage: StagePacking}, Pass: pass, Done: done, Total: total})
	}}
}
