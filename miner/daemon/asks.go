package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/retrieval"
)

// asks keeps the configured offer in the order book.
type asks struct {
	d    *Daemon
	log  *slog.Logger
	wake chan struct{}

	mu       sync.Mutex
	cfg      AskConfig
	capacity uint64
}

func newAsks(d *Daemon) (*asks, error) {
	a := &asks{d: d, log: d.log.With("part", "asks"), wake: make(chan struct{}, 1)}
	return a, a.use(d.opts.Config.Ask)
}

// use makes an offer the one to keep.
func (a *asks) use(cfg AskConfig) error {
	capacity, err := cfg.bytes()
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.cfg, a.capacity = cfg, capacity
	a.mu.Unlock()
	a.Wake()
	return nil
}

// bytes checks an offer and returns its capacity; 0: nothing is offered.
func (c AskConfig) bytes() (uint64, error) {
	if c.Region != "" {
		if err := chain.CheckRegion(c.Region); err != nil {
			return 0, fmt.Errorf("ask.region: %w", err)
		}
	}
	if c.Capacity == "" {
		return 0, nil
	}
	n, err := chain.ParseSize(c.Capacity)
	if err != nil {
		return 0, fmt.Errorf("ask.capacity: %w", err)
	}
	return n, nil
}

// current returns the offer to keep.
func (a *asks) current() (AskConfig, uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cfg, a.capacity
}

// Wake makes Run look whether the offer still stands: after each block.
func (a *asks) Wake() {
	select {
	case a.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Run keeps the offer in the book: it places it whenever none of ours stands
// there, and replaces one that stands with other terms.
func (a *asks) Run(ctx context.Context) error {
	for {
		if err := a.keep(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("keep ask", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-a.wake:
		}
	}
}

func (a *asks) keep(ctx context.Context) error {
	cfg, capacity := a.current()
	id, err := a.d.records.Ask()
	if err != nil || id == 0 && capacity == 0 {
		return err
	}
	terms := new(chain.AskTerms)
	if capacity != 0 {
		if terms, err = a.terms(ctx, cfg, capacity); err != nil {
			return err
		}
	}
	if id != 0 {
		stands := new(chain.Order)
		ok, err := a.d.node.Record(ctx, chain.OrderKey(id), stands)
		if err != nil || ok && stands.Ask != nil && sameOffer(stands.Ask, terms) {
			return err
		}
		if ok && smallerOffer(stands.Ask, terms) {
			if _, err := a.d.send.Send(ctx, &chain.ReplaceOrder{Order: id, Capacity: terms.Capacity}); err == nil || ctx.Err() != nil {
				return err
			} // so much is sold that nothing would be left of it
		}
		if ok {
			if _, err := a.d.send.Send(ctx, &chain.CancelOrder{Order: id}); err != nil {
				return err
			}
			a.log.Info("ask cancelled: its terms changed", "order", id)
		}
		if err := a.d.records.SetAsk(0); err != nil || capacity == 0 {
			return err
		}
	}
	r, err := a.d.send.Send(ctx, &chain.PlaceAsk{Terms: *terms})
	if err != nil {
		return err
	}
	a.log.Info("ask placed", "order", r.ID, "price", terms.Price, "capacity", chain.FormatSize(terms.Capacity))
	return a.d.records.SetAsk(r.ID)
}

// sameOffer reports whether an ask stands with these terms, whenever it expires.
func sameOffer(stands, want *chain.AskTerms) bool {
	same := *want
	same.Expiry = stands.Expiry
	return *stands == same
}

// smallerOffer reports whether an ask that stands only has to offer less, which
// leaves it its place in the book.
func smallerOffer(stands, want *chain.AskTerms) bool {
	same := *want
	same.Capacity = stands.Capacity
	return want.Capacity < stands.Capacity && sameOffer(stands, &same)
}

// minPiece is the smallest piece, in padded bytes.
const minPiece = 128

func (a *asks) terms(ctx context.Context, c AskConfig, capacity uint64) (*chain.AskTerms, error) {
	g, err := a.d.node.Global(ctx)
	if err != nil {
		return nil, err
	}
	params, err := porep.ParamsOf(a.d.miner.SealProof)
	if err != nil {
		return nil, err
	}
	p, err := a.d.node.Params(ctx)
	if err != nil {
		return nil, err
	}
	or := func(v, otherwise uint64) uint64 {
		if v != 0 {
			return v
		}
		return otherwise
	}
	least, err := p.LeastCollateral(c.Price)
	if err != nil {
		return nil, err
	}
	fetched, err := a.d.opts.Config.Retrieval.Price.Mul(chain.GiB / retrieval.ChunkSize)
	if err != nil {
		return nil, fmt.Errorf("retrieval.price: %w", err)
	}
	stake := c.Collateral
	if stake.Less(least) {
		stake = least
	}
	return &chain.AskTerms{
		Miner: a.d.id, Price: c.Price, Capacity: capacity,
		MinPiece: minPiece, MaxPiece: min(params.SectorSize(), capacity),
		MinDuration: or(c.MinDuration, p.MinDuration), MaxDuration: or(c.MaxDuration, p.MaxSectorLife/4),
		Region: c.Region, RetrievalPrice: fetched, UnsealPrice: c.UnsealPrice,
		Collateral: stake, Expiry: g.Height + chain.Height(or(c.Life, p.MaxOrderLife/2)),
	}, nil
}
