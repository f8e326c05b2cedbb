package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
)

// pruneAtOnce bounds how many heights one block prunes: one is the rule, more
// only after the retention was lowered.
const pruneAtOnce = 16

// Keep changes how many heights of history are kept. What is too old goes with
// the next blocks, some heights at a time.
func (x *Index) Keep(heights uint64) { x.keep.Store(heights) }

// Size is the space that the databases take on the disk, in bytes.
func (x *Index) Size() uint64 {
	if x == nil {
		return 0
	}
	x.mu.RLock()
	all := []*generation{x.live, x.building}
	x.mu.RUnlock()
	sum := uint64(0)
	for _, g := range all {
		if g == nil {
			continue
		}
		if done, err := g.use(); err == nil {
			sum += g.db.Metrics().DiskSpaceUsage()
			done()
		}
	}
	return sum
}

// Compact gives back the space of what was deleted. It reads and writes all
// that is stored, beside everything else.
func (x *Index) Compact(ctx context.Context) error {
	g, done, err := x.use()
	if err != nil {
		return err
	}
	defer done()
	return g.fatal.guard(func() error { return g.db.Compact(ctx, []byte{0}, []byte{0xff}, true) })
}

// firstKept is where the history begins once a height is in, and which gaps it
// has. A gap is no height that takes time to prune.
func (g *generation) firstKept(at *tip, height chain.Height) (first chain.Height, gaps []Gap) {
	first, gaps = at.first, at.gaps
	keep := chain.Height(min(g.keep.Load(), math.MaxInt64))
	for n := 0; n < pruneAtOnce && height-first >= keep; n++ {
		if first++; len(gaps) > 0 && first >= gaps[0].From {
			first, gaps = gaps[0].To+1, gaps[1:]
		}
	}
	return first, gaps
}

// pruneTo removes the rows of the heights that leave the history.
func (g *generation) pruneTo(batch *pebble.Batch, at, next *tip) error {
	for h := at.first; h < next.first; h++ {
		if i := slices.IndexFunc(at.gaps, func(g Gap) bool { return g.From <= h && h <= g.To }); i >= 0 {
			h = min(at.gaps[i].To, next.first-1)
			continue
		}
		if err := g.prune(batch, h); err != nil {
			return fmt.Errorf("prune height %d: %w", h, err)
		}
	}
	return nil
}

// journal notes under which subjects the block has rows, by which prune finds them.
func (b *block) journal(batch *pebble.Batch) error {
	var row []byte
	for _, prefix := range slices.Sorted(maps.Keys(b.subjects)) {
		row = append(append(row, byte(len(prefix))), prefix...)
	}
	if len(row) > 0 {
		set(batch, number([]byte{'j'}, uint64(b.u.Height)), row)
	}
	return nil
}

// prune removes the rows of a height.
func (g *generation) prune(batch *pebble.Batch, h chain.Height) error {
	err := g.scanRows(number([]byte{messageTable}, uint64(h)), func(key, row []byte) error {
		remove(batch, key)
		return eachIn(row, func(raw []byte) (bool, error) {
			m := new(Message)
			if err := parse(raw, m); err != nil {
				return false, fmt.Errorf("decode message: %w", err)
			}
			return true, g.forgetPlace(batch, m)
		})
	})
	if err != nil {
		return err
	}
	for _, table := range []byte{eventTable, tradeTable} {
		if err := g.removeRows(batch, number([]byte{table}, uint64(h))); err != nil {
			return err
		}
	}
	if err := g.pruneSubjects(batch, h); err != nil {
		return err
	}
	remove(batch, blockKey(h))
	return g.pruneGone(batch, h)
}

// removeRows removes all rows under a prefix.
func (g *generation) removeRows(batch *pebble.Batch, prefix []byte) error {
	return g.scanRows(prefix, func(key, _ []byte) error {
		remove(batch, key)
		return nil
	})
}

// pruneSubjects removes the rows that a height has under its subjects.
func (g *generation) pruneSubjects(batch *pebble.Batch, h chain.Height) error {
	key := number([]byte{'j'}, uint64(h))
	row, err := g.get(key)
	if err != nil || row == nil {
		return err
	}
	for len(row) > 0 {
		n := int(row[0])
		if len(row) < 1+n {
			return errors.New("journal is cut off")
		}
		if err := g.removeRows(batch, number(bytes.Clone(row[1:1+n]), uint64(h))); err != nil {
			return err
		}
		row = row[1+n:]
	}
	remove(batch, key)
	return nil
}

// forgetPlace removes the place of a message's hash, unless it stands elsewhere.
func (g *generation) forgetPlace(batch *pebble.Batch, m *Message) error {
	raw, err := g.get(hashKey(m.Receipt.Hash))
	if err != nil {
		return err
	}
	if at, ok := place(raw); ok && at.Height == m.Height {
		remove(batch, hashKey(m.Receipt.Hash))
	}
	return nil
}

// pruneGone removes the records that left the state at a height. Of one whose
// key another one has by now nothing is left.
func (g *generation) pruneGone(batch *pebble.Batch, h chain.Height) error {
	return g.scanRows(gonePrefix(h), func(key, value []byte) error {
		remove(batch, key)
		return eachGone(key, value, func(k chain.Key) error {
			row, err := g.get(recordKey(k))
			if err != nil || row == nil {
				return err
			}
			r, err := parseRecord(k, row)
			if err != nil || r.Gone != h {
				return err
			}
			v := mirrored(k.Table)
			if err := r.Decode(v); err != nil {
				return err
			}
			remove(batch, recordKey(k))
			g.lately.keep(k, nil)
			for _, row := range rowsOf(r, v) {
				remove(batch, row.key)
			}
			return nil
		})
	})
}

// gone notes the records that the block took out of the state and that stay, in one
// row under the first of them.
func (b *block) gone(batch *pebble.Batch) {
	var key, others []byte
	for i := range b.changes {
		c := &b.changes[i]
		switch {
		case c.row == nil || c.row.Gone == 0:
		case key == nil:
			key = append(append(gonePrefix(b.u.Height), byte(c.key.Table)), c.key.ID...)
		default:
			others = append(append(others, byte(1+len(c.key.ID)), byte(c.key.Table)), c.key.ID...)
		}
	}
	if key != nil {
		set(batch, key, others)
	}
}

// eachGone goes through the records that a row of gone names.
func eachGone(key, value []byte, f func(chain.Key) error) error {
	k := key[len(gonePrefix(0)):]
	for {
		if len(k) == 0 {
			return errors.New("row of records that went is cut off")
		}
		if err := f(chain.Key{Table: chain.Table(k[0]), ID: string(k[1:])}); err != nil || len(value) == 0 {
			return err
		}
		n := int(value[0])
		if len(value) < 1+n {
			return errors.New("row of records that went is cut off")
		}
		k, value = value[1:1+n], value[1+n:]
	}
}
