package daemon

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/porep"
)

// asks keeps the configured offer in the order book.
type asks struct {
	d        *Daemon
	log      *slog.Logger
	capacity uint64
	wake     chan struct{}
}

func newAsks(d *Daemon) (*asks, error) {
	a := &asks{d: d, log: d.log.With("part", "asks"), wake: make(chan struct{}, 1)}
	if text := d.opts.Config.Ask.Capacity; text != "" {
		var err error
		if a.capacity, err = chain.ParseSize(text); err != nil {
			return nil, fmt.Errorf("ask.capacity: %w", err)
		}
	}
	return a, nil
}

// Wake makes Run look whether the offer still stands: after each block.
func (a *asks) Wake() {
	select {
	case a.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Run places the offer whenever none of ours stands in the book.
func (a *asks) Run(ctx context.Context) error {
	if a.capacity == 0 {
		return nil
	}
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
	id, err := a.d.records.Ask()
	if err != nil {
		return err
	}
	if id != 0 {
		stands, err := a.d.node.Record(ctx, chain.OrderKey(id), new(chain.Order))
		if err != nil || stands {
			return err
		}
	}
	terms, err := a.terms(ctx)
	if err != nil {
		return err
	}
	r, err := a.d.send.Send(ctx, &chain.PlaceAsk{Terms: *terms})
	if err != nil {
		return err
	}
	a.log.Info("ask placed", "order", r.ID, "price", terms.Price, "capacity", chain.FormatSize(terms.Capacity))
	return a.d.records.SetAsk(r.ID)
}

// minPiece is the smallest piece, in padded bytes.
const minPiece = 128

func (a *asks) terms(ctx context.Context) (*chain.AskTerms, error) {
	g, err := a.d.node.Global(ctx)
	if err != nil {
		return nil, err
	}
	params, err := porep.ParamsOf(a.d.miner.SealProof)
	if err != nil {
		return nil, err
	}
	c, p := a.d.opts.Config.Ask, a.d.params
	or := func(v, otherwise uint64) uint64 {
		if v != 0 {
			return v
		}
		return otherwise
	}
	return &chain.AskTerms{
		Miner: a.d.id, Price: c.Price, Capacity: a.capacity,
		MinPiece: minPiece, MaxPiece: min(params.SectorSize(), a.capacity),
		MinDuration: or(c.MinDuration, p.MinDuration), MaxDuration: or(c.MaxDuration, p.MaxSectorLife/4),
		Collateral: c.Collateral, Expiry: g.Height + chain.Height(or(c.Life, p.MaxOrderLife/2)),
	}, nil
}
