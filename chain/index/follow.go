package index

import (
	"context"
	"errors"
	"fmt"
	"sync"

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

// Run follows a chain until ctx ends, and does the jobs that it is asked for
// meanwhile. Readers see each block whole. Run of an index that is off waits.
func (x *Index) Run(ctx context.Context, src Source) error {
	if x == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	ctx, cancel := context.WithCancel(ctx)
	var jobs sync.WaitGroup
	defer jobs.Wait()
	defer cancel()
	checked := false
	for {
		changed := src.Store.Changed() // before the tip is read, so that no commit is missed
		if view := src.Store.Visit(); view != nil {
			var err error
			if !checked {
				checked, err = x.belongs(src.Store, view.Height())
			}
			if checked && err == nil {
				err = x.follow(ctx, src)
			}
			if err != nil && !x.harmed.Load() {
				return err
			}
			if x.harmed.Load() {
				_ = x.ask(job{kind: Rebuilding, force: true}) // one that is asked for already does as well
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case j := <-x.jobs:
			jobs.Go(func() { x.do(ctx, src, j) })
		}
	}
}

// follow brings the live generation to the tip of the store.
func (x *Index) follow(ctx context.Context, src Source) error {
	x.turn.Lock()
	defer x.turn.Unlock()
	return x.current().catchUp(ctx, src)
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
		tip := src.Store.View().Height()
		if at.height >= tip {
			return nil
		}
		err := g.takeIn(ctx, src, src.Store, tip)
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

// ahead is how many blocks are read ahead of the one that is written.
const ahead = 8

// takeIn takes in the blocks behind the index through a height. While one is
// written the next are read.
func (g *generation) takeIn(ctx context.Context, src Source, from past, through chain.Height) error {
	h := g.at().height + 1
	if h == through {
		b, err := readBlock(ctx, src, from, h)
		if err != nil {
			return err
		}
		return g.apply(b)
	}
	ctx, cancel := context.WithCancel(ctx)
	type result struct {
		b   *block
		err error
	}
	blocks := make(chan result, ahead)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(blocks)
		for ; h <= through; h++ {
			b, err := readBlock(ctx, src, from, h)
			select {
			case blocks <- result{b, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	})
	defer reader.Wait()
	defer cancel()
	for r := range blocks {
		if r.err != nil {
			return r.err
		}
		if err := g.apply(r.b); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// readBlock reads and prepares a block.
func readBlock(ctx context.Context, src Source, from past, h chain.Height) (*block, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var c Committed
	var err error
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
	return prepare(&c)
}

// begin makes the mirror anew from the oldest state that the store keeps, and
// takes in all blocks that it kept when this began, however long that takes. The
// history that the index has stays, with a gap behind it.
func (g *generation) begin(ctx context.Context, src Source) (err error) {
	tip := src.Store.View().Height()
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
	if tip <= e.Height {
		return nil
	}
	return g.takeIn(ctx, src, e, tip)
}
