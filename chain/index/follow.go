package index

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
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
}

// Run follows a chain until ctx ends. Readers see each block whole.
func (x *Index) Run(ctx context.Context, src Source) error {
	checked := false
	for {
		changed := src.Store.Changed() // before the tip is read, so that no commit is missed
		if view := src.Store.Visit(); view != nil {
			if !checked {
				var err error
				if checked, err = x.check(src.Store, view); err != nil {
					return err
				}
			}
			if checked {
				if err := x.catchUp(ctx, src, view); err != nil {
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

// check drops a tip that is not of the store's chain. It reports false while
// that cannot be told: a store that was rolled back is one block behind.
func (x *Index) check(s *state.Store, view *state.View) (bool, error) {
	_, height, ok := x.Tip()
	if !ok {
		return true, nil
	}
	if height == view.Height()+1 {
		return false, nil
	}
	raw, err := s.Update(height)
	switch {
	case errors.Is(err, state.ErrPruned), errors.Is(err, state.ErrFuture):
	case err != nil:
		return false, fmt.Errorf("check index: %w", err)
	default:
		x.mu.RLock()
		same := x.tip.update == sha256.Sum256(raw)
		x.mu.RUnlock()
		if same {
			return true, nil
		}
	}
	return true, x.clear()
}

// clear empties the index.
func (x *Index) clear() error {
	return x.write(nil, func(b *pebble.Batch) error { return b.DeleteRange([]byte{0}, []byte{0xff}, nil) })
}

// catchUp takes in what is between the index and a state.
func (x *Index) catchUp(ctx context.Context, src Source, view *state.View) error {
	if _, _, ok := x.Tip(); !ok {
		start := &view.Tree
		if src.Store.Oldest() == 0 {
			if first, err := src.Store.At(0); err == nil { // else it was pruned just now
				start = first
			}
		}
		if err := x.Scan(ctx, src.Store, start); err != nil {
			return err
		}
	}
	for {
		_, height, _ := x.Tip()
		if height >= view.Height() {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		raw, err := src.Store.Update(height + 1)
		if errors.Is(err, state.ErrPruned) {
			if err := x.Scan(ctx, src.Store, &view.Tree); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("index: %w", err)
		}
		var messages [][]byte
		if src.Messages != nil {
			if messages, err = src.Messages(ctx, height+1); err != nil {
				return fmt.Errorf("index: read messages of block %d: %w", height+1, err)
			}
		}
		if err := x.Apply(raw, messages); err != nil {
			return err
		}
	}
}

// scanBatch is how many records of a scan are written at once.
const scanBatch = 10_000

// Scan makes the index anew from a state that the store keeps. Its history
// starts at the next height. A scan that breaks off leaves no index.
func (x *Index) Scan(ctx context.Context, s *state.Store, tree *state.Tree) error {
	raw, err := s.Update(tree.Height())
	if err != nil {
		return fmt.Errorf("scan state of height %d: %w", tree.Height(), err)
	}
	if err := x.clear(); err != nil {
		return err
	}
	for _, table := range []chain.Table{chain.TableMiner, chain.TableSector, chain.TableOrder, chain.TableDeal, chain.TableChannel} {
		if err := x.scanTable(ctx, tree, table); err != nil {
			return fmt.Errorf("scan state of height %d: table %s: %w", tree.Height(), table, err)
		}
	}
	t := &tip{first: tree.Height() + 1, height: tree.Height(), update: sha256.Sum256(raw), chainID: x.chainID}
	return x.write(t, func(*pebble.Batch) error { return nil })
}

func (x *Index) scanTable(ctx context.Context, tree *state.Tree, table chain.Table) error {
	type row struct {
		key   chain.Key
		value []byte
	}
	var rows []row
	flush := func() error {
		err := x.write(nil, func(b *pebble.Batch) error {
			for _, r := range rows {
				if err := record(b, r.key, r.value, 0); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
		rows = rows[:0]
		return err
	}
	err := tree.ForEach(table, func(id string, value []byte) error {
		rows = append(rows, row{chain.Key{Table: table, ID: id}, append([]byte(nil), value...)})
		if len(rows) < scanBatch {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}
