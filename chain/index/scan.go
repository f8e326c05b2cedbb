package index

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/state"
)

// scanBatch is how many records of a scan are written at once.
const scanBatch = 10_000

// Scan makes the mirror of the index anew from a state. If nothing was built,
// the history starts at the next height; else there is a gap in it up to the
// state's height. While it runs, and if it breaks off, there is nothing to read.
func (x *Index) Scan(ctx context.Context, e *state.Export) error {
	g, done, err := x.use()
	if err != nil {
		return err
	}
	defer done()
	return g.scan(ctx, e)
}

func (g *generation) scan(ctx context.Context, e *state.Export) error {
	raw, err := e.Update(e.Height)
	if err != nil {
		return fmt.Errorf("scan state of height %d: %w", e.Height, err)
	}
	g.lately = lately{}
	before := g.at()
	next := &tip{first: e.Height + 1, height: e.Height, update: sha256.Sum256(raw), chainID: g.chain}
	if before != nil && before.first <= before.height && before.height < e.Height {
		next.first, next.gaps = before.first, append(slices.Clone(before.gaps), Gap{before.height + 1, e.Height})
		pending := *before
		pending.pending = true
		err = g.write(&pending, func(*pebble.Batch) error { return nil })
	} else {
		before, err = nil, g.empty()
	}
	if err != nil {
		return err
	}
	s := scanner{g: g, e: e, again: before != nil}
	for _, table := range mirroredTables() {
		if err := s.table(ctx, table); err != nil {
			return fmt.Errorf("scan state of height %d: table %s: %w", e.Height, table, err)
		}
	}
	return g.write(next, func(*pebble.Batch) error { return nil })
}

// scanner mirrors the records of a state.
type scanner struct {
	g     *generation
	e     *state.Export
	again bool // the mirror has records of before, of which some may have gone
}

type scanned struct {
	key   chain.Key
	value []byte
}

// table mirrors a table, some records at a time.
func (s *scanner) table(ctx context.Context, table chain.Table) error {
	sorted := table.Shape() != chain.ShapeBytes
	if s.again && !sorted {
		if err := s.forget(table); err != nil {
			return err
		}
		if table == chain.TableAccount {
			if err := s.g.write(nil, s.g.forgetAccounts); err != nil {
				return err
			}
		}
	}
	var rows []scanned
	last := ""
	flush := func(end bool) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		through := ""
		if !end {
			through = rows[len(rows)-1].key.ID
		}
		if s.again && sorted && table != chain.TableGlobal {
			gone, err := s.gone(table, last, through, rows)
			if err != nil {
				return err
			}
			rows = append(rows, gone...)
		}
		last = through
		err := s.write(rows, s.again && sorted)
		rows = rows[:0]
		return err
	}
	err := s.e.ForEach(table, func(id string, value []byte) error {
		rows = append(rows, scanned{chain.Key{Table: table, ID: id}, slices.Clone(value)})
		if len(rows) < scanBatch {
			return nil
		}
		return flush(false)
	})
	if err != nil {
		return err
	}
	return flush(true)
}

// write mirrors some records; nil values have gone.
func (s *scanner) write(rows []scanned, again bool) error {
	return s.g.write(nil, func(batch *pebble.Batch) error {
		b := newBlock(&consensus.Update{Height: s.e.Height})
		b.g, b.scan, b.again, b.at = s.g, true, again, map[chain.Key]int{}
		for _, r := range rows {
			if err := b.note(r.key, r.value); err != nil {
				return err
			}
		}
		return b.fill(batch)
	})
}

// gone lists the records of the mirror behind an ID and up to another, "" for
// all that follow, that the state has no more.
func (s *scanner) gone(table chain.Table, after, through string, rows []scanned) (gone []scanned, err error) {
	within := bounds([]byte{'R', byte(table)}, true, []byte(after))
	if after == "" {
		within = bounds([]byte{'R', byte(table)}, true, nil)
	}
	if through != "" {
		within.UpperBound = append(recordKey(chain.Key{Table: table, ID: through}), 0)
	}
	done, err := s.g.use()
	if err != nil {
		return nil, err
	}
	defer done()
	i := 0
	err = eachRow(s.g.db, within, func(key, value []byte) error {
		k := chain.Key{Table: table, ID: string(key[2:])}
		for i < len(rows) && rows[i].key.ID < k.ID {
			i++
		}
		if i < len(rows) && rows[i].key == k {
			return nil
		}
		r, err := parseRecord(k, value)
		if err == nil && r.Gone == 0 {
			gone = append(gone, scanned{key: k})
		}
		return err
	})
	return gone, err
}

// forget removes a table of the mirror.
func (s *scanner) forget(table chain.Table) error {
	const atOnce = 1 << 20 // bytes of a batch
	for more := true; more; {
		more = false
		err := s.g.write(nil, func(batch *pebble.Batch) error {
			err := s.g.scanRows([]byte{'R', byte(table)}, func(key, value []byte) error {
				r, err := parseRecord(chain.Key{Table: table, ID: string(key[2:])}, value)
				if err != nil {
					return err
				}
				v := mirrored(table)
				if err := r.Decode(v); err != nil {
					return err
				}
				exchange(batch, rowsOf(r, v), nil)
				remove(batch, key)
				if batch.Len() > atOnce {
					more = true
					return errEnough
				}
				return nil
			})
			if errors.Is(err, errEnough) {
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// errEnough ends a walk through rows early.
var errEnough = errors.New("enough")
