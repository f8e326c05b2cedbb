package index

import (
	"context"
	"errors"
	"fmt"

	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/state"
)

// Source is the chain that an index follows.
type Source struct {
	Store *state.Store
	// Messages returns the encoded messages of a committed block, in order,
	// and nil if the block is not kept. nil: none is kept.
	Messages func(context.Context, chain.Height) ([][]byte, error)
	// Votes returns who voted on a committed block, as the next one brought it,
	// and nil if that is not kept. nil: none is kept.
	Votes func(context.Context, chain.Height) (*Commit, error)
}

// Run follows a chain until ctx ends. Readers see each block whole.
func (x *Index) Run(ctx context.Context, src Source) error {
	checked := false
	for {
		changed := src.Store.Changed() // before the tip is read, so that no commit is missed
		if view := src.Store.Visit(); view != nil {
			if !checked {
				var err error
				if checked, err = x.belongs(src.Store, view.Height()); err != nil {
					return err
				}
			}
			if checked {
				if err := x.current().catchUp(ctx, src); err != nil {
					return err
				}
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// belongs makes sure that the index is of the store's chain; one that is not is
// set aside. It reports false while the index is ahead of the store: one that
// was rolled back, or that is synced anew, comes to the index's tip again.
func (x *Index) belongs(s *state.Store, tip chain.Height) (bool, error) {
	g := x.current()
	at := g.at()
	if at == nil {
		return true, nil
	}
	height := min(at.height, tip)
	raw, err := s.Update(height)
	if errors.Is(err, state.ErrPruned) {
		return at.height <= tip, nil // nothing is left to compare
	}
	if err != nil {
		return false, fmt.Errorf("compare index with the chain: %w", err)
	}
	want := at.update
	if height < at.height {
		var b Block
		known, err := g.noun(blockKey(height), &b)
		if err != nil || !known {
			return false, err
		}
		want = b.Update
	}
	if sha256.Sum256(raw) == want {
		return height == at.height, nil
	}
	x.log.Error("the index is of another chain of the same name, it is set aside", "height", height)
	return true, x.renew()
}

// catchUp takes in what is between the index and the tip of the store.
func (g *generation) catchUp(ctx context.Context, src Source) error {
	for {
		at := g.at()
		if at == nil || at.pending {
			if err := g.begin(ctx, src); err != nil {
				return err
			}
			continue
		}
		if at.height >= src.Store.View().Height() {
			return nil
		}
		err := g.follow(ctx, src, src.Store, at.height+1)
		if errors.Is(err, state.ErrPruned) {
			err = g.begin(ctx, src)
		}
		if err != nil {
			return err
		}
	}
}

// past is where the Updates and roots of heights are: the store, or what it was
// when it was opened for export.
type past interface {
	Update(chain.Height) ([]byte, error)
	AppHashAt(chain.Height) ([]byte, error)
}

// follow takes in one block.
func (g *generation) follow(ctx context.Context, src Source, from past, h chain.Height) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c, err := committed(ctx, src, from, h)
	if err != nil {
		return err
	}
	return g.apply(*c)
}

// committed reads a block.
func committed(ctx context.Context, src Source, from past, h chain.Height) (c *Committed, err error) {
	c = new(Committed)
	if c.Update, err = from.Update(h); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	if c.AppHash, err = from.AppHashAt(h); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	if src.Messages != nil {
		if c.Messages, err = src.Messages(ctx, h); err != nil {
			return nil, fmt.Errorf("index: read messages of block %d: %w", h, err)
		}
	}
	if src.Votes != nil && h > 1 {
		if c.Votes, err = src.Votes(ctx, h-1); err != nil {
			return nil, fmt.Errorf("index: read votes on block %d: %w", h-1, err)
		}
	}
	return c, nil
}

// begin makes the mirror anew from the oldest state that the store keeps, and
// takes in all blocks that it kept when this began, however long that takes. The
// history that the index has stays, with a gap behind it.
func (g *generation) begin(ctx context.Context, src Source) (err error) {
	var e *state.Export
	for {
		if e, err = src.Store.Export(src.Store.Oldest()); !errors.Is(err, state.ErrPruned) { // else it was pruned just now
			break
		}
	}
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	if err := g.scan(ctx, e); err != nil {
		return err
	}
	for h := e.Height + 1; ; h++ {
		if err := g.follow(ctx, src, e, h); errors.Is(err, state.ErrFuture) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
