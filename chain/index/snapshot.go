package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
)

// Snapshot is the index as it was at one height: all that is read from it
// belongs together. Many goroutines may read from one. It must be closed soon:
// until then nothing that was deleted since gives its space back.
type Snapshot struct {
	First  chain.Height // of the history
	Height chain.Height // of the last block that is in
	Gaps   []Gap        // of the history, ascending

	*view
}

// Snapshot takes a snapshot: ErrBuilding while there is nothing to read.
func (x *Index) Snapshot() (*Snapshot, error) {
	for {
		g, done, err := x.use()
		if err != nil {
			return nil, err
		}
		v, err := g.show()
		done()
		if errors.Is(err, ErrClosed) {
			continue // another generation took its place meanwhile, or the index closes: use says which
		}
		if err != nil {
			return nil, err
		}
		return &Snapshot{First: v.first, Height: v.height, Gaps: v.gaps, view: v}, nil
	}
}

// Close lets go of the snapshot.
func (s *Snapshot) Close() error { return s.release() }

// Global is the record of the chain as a whole, which is to be read only.
func (s *Snapshot) Global() (*chain.Global, error) { return s.global() }

// Page is a place in a list and how much of the list is wanted.
type Page struct {
	After  []byte // the row after which it goes on: what the page before returned; nil: the list's start
	Limit  int    // rows that are taken at most; at least 1
	Upward bool   // from the lowest row to the highest; else the highest, the newest, is first
}

// maxVisits bounds the rows that one page looks at, taken or not.
const maxVisits = 10_000

// get reads a copy of a key's value, or nil.
func (s *Snapshot) get(key []byte) ([]byte, error) { return valueOf(s.snap, key) }

func valueOf(r pebble.Reader, key []byte) (value []byte, err error) {
	_, err = peek(r, key, func(v []byte) error {
		value = append(make([]byte, 0, len(v)), v...)
		return nil
	})
	return value, err
}

// peek has f look at a key's value, of which it may keep nothing, and reports
// whether there is one.
func peek(r pebble.Reader, key []byte, f func(value []byte) error) (found bool, err error) {
	v, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read index: %w", err)
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	return true, f(v)
}

// noun reads a row and reports whether there is one.
func (s *Snapshot) noun(key []byte, v chain.CBOR) (bool, error) { return nounOf(s.snap, key, v) }

func nounOf(r pebble.Reader, key []byte, v chain.CBOR) (bool, error) {
	return peek(r, key, func(row []byte) error {
		if err := parse(row, v); err != nil {
			return fmt.Errorf("decode row %c: %w", key[0], err)
		}
		return nil
	})
}

// list goes through the rows under a prefix. each reports whether it takes a
// row, of which it may keep nothing. The place of the last row is returned, or
// nil at the list's end. width is a row's, 0 if they vary.
func (s *Snapshot) list(prefix []byte, width int, p Page, each func(row, value []byte) (bool, error)) (next []byte, err error) {
	return s.within(prefix, bounds(prefix, p.Upward, p.After), width, p, each)
}

// within is list for the rows under a prefix that lie within bounds.
func (s *Snapshot) within(prefix []byte, b *pebble.IterOptions, width int, p Page, each func(row, value []byte) (bool, error)) (next []byte, err error) {
	if err := p.check(width); err != nil {
		return nil, err
	}
	it, err := s.iterator(b)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.give(it)) }()
	start, step := it.Last, it.Prev
	if p.Upward {
		start, step = it.First, it.Next
	}
	var last []byte
	taken, visits := 0, 0
	for ok := start(); ok; ok = step() {
		if taken >= max(p.Limit, 1) || visits == maxVisits {
			return last, nil
		}
		row := it.Key()[len(prefix):]
		take, err := each(row, it.Value())
		if err != nil {
			return nil, err
		}
		if take {
			taken++
		}
		visits++
		last = append(last[:0], row...)
	}
	return nil, nil
}

// check refuses a place that is none of a list.
func (p *Page) check(width int) error {
	if p.After != nil && (width == 0 && (len(p.After) == 0 || len(p.After) > 64) || width > 0 && len(p.After) != width) {
		return ErrPlace
	}
	return nil
}

// reading is a page of places on its way.
type reading struct {
	Page
	after Place // that After names
	last  Place // that was looked at
	taken int
}

// offer has each look at a place, unless the page begins behind it: errEnough if the
// page is full.
func (r *reading) offer(at Place, each func() (bool, error)) error {
	if r.After != nil && !at.behind(r.after, r.Upward) {
		return nil
	}
	if r.taken == max(r.Limit, 1) {
		return errEnough
	}
	take, err := each()
	if err != nil {
		return err
	}
	if r.last = at; take {
		r.taken++
	}
	return nil
}

// bounds are those of the rows under a prefix that come after a place.
func bounds(prefix []byte, upward bool, after []byte) *pebble.IterOptions {
	from := append([]byte(nil), prefix...)
	to := append([]byte(nil), prefix...)
	for i := len(to) - 1; ; i-- { // prefixes start with a letter
		if to[i]++; to[i] != 0 {
			to = to[:i+1]
			break
		}
	}
	switch {
	case after == nil:
	case upward:
		from = append(append(from, after...), 0)
	default:
		to = append(append([]byte(nil), prefix...), after...)
	}
	return &pebble.IterOptions{LowerBound: from, UpperBound: to}
}

// nouns is list for rows that hold a noun.
func nouns[T any, P interface {
	*T
	chain.CBOR
}](s *Snapshot, prefix []byte, width int, p Page, each func(P) (bool, error)) ([]byte, error) {
	return s.list(prefix, width, p, func(_, value []byte) (bool, error) {
		v := P(new(T))
		if err := parse(value, v); err != nil {
			return false, fmt.Errorf("decode row %c: %w", prefix[0], err)
		}
		return each(v)
	})
}

// Record returns a record as it is or, if it left the state and the index
// remembers it, as it last was; nil if there is none.
func (s *Snapshot) Record(k chain.Key) (*Record, error) {
	row, err := s.get(recordKey(k))
	if err != nil || row == nil {
		return nil, err
	}
	return parseRecord(k, row)
}

// Load reads a record into its noun; nil if there is none.
func (s *Snapshot) Load(k chain.Key, v chain.CBOR) (*Record, error) {
	r, err := s.Record(k)
	if err != nil || r == nil {
		return nil, err
	}
	return r, r.Decode(v)
}

// Records goes through a list. each reports whether it takes a record, which it
// may keep. The place of the last one is returned, or nil at the list's end.
func (s *Snapshot) Records(l List, p Page, each func(*Record) (bool, error)) (next []byte, err error) {
	width := l.width
	if width > 0 {
		width -= len(l.owner)
	}
	record := func(id, row []byte) (bool, error) {
		r, err := parseRecord(chain.Key{Table: l.table, ID: string(l.owner) + string(id)}, row)
		if err != nil {
			return false, err
		}
		return each(r)
	}
	if len(l.rows) == 0 && l.due == nil {
		prefix := append([]byte{'R', byte(l.table)}, l.owner...)
		return s.list(prefix, width, p, func(id, value []byte) (bool, error) { return record(id, bytes.Clone(value)) })
	}
	if l.due != nil {
		return s.byName(l, p, record, func(p Page, each func(id []byte)) ([]byte, error) {
			return s.list(l.due, 8+width, p, func(row, _ []byte) (bool, error) { each(bytes.Clone(row[8:])); return true, nil })
		})
	}
	if err := p.check(width); err != nil {
		return nil, err
	}
	return s.byName(l, p, record, func(p Page, each func(id []byte)) ([]byte, error) {
		return s.join(l.rows, p, func(id []byte) (bool, error) { each(id); return true, nil })
	})
}

// atOnce is how many records that a list names are read together at most.
const atOnce = 256

// byName goes through the records of a list whose rows name them: names calls each
// with the IDs of a page.
func (s *Snapshot) byName(l List, p Page, record func(id, row []byte) (bool, error),
	names func(p Page, each func(id []byte)) ([]byte, error)) (next []byte, err error) {
	for taken, seen := 0, 0; ; p.After = next {
		var ids [][]byte
		some := Page{After: p.After, Limit: min(max(p.Limit, 1)-taken, atOnce), Upward: p.Upward}
		if next, err = names(some, func(id []byte) { ids = append(ids, id) }); err != nil {
			return nil, err
		}
		rows, err := s.gather(l, ids)
		if err != nil {
			return nil, err
		}
		for i, id := range ids {
			take, err := record(id, rows[i])
			if err != nil {
				return nil, err
			}
			if take {
				taken++
			}
		}
		if seen += len(ids); next == nil || len(ids) < some.Limit || taken >= p.Limit || seen >= maxVisits {
			return next, nil
		}
	}
}

// gather reads the rows of some records, from that of the lowest ID to that of the
// highest: to a row in the same block, or the next, is but a step.
func (s *Snapshot) gather(l List, ids [][]byte) (rows [][]byte, err error) {
	prefix := append([]byte{'R', byte(l.table)}, l.owner...)
	it, err := s.iterator(bounds(prefix, true, nil))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.give(it)) }()
	order := make([]int, len(ids))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(ids[a], ids[b]) })
	rows = make([][]byte, len(ids))
	for _, i := range order {
		if !it.SeekPrefixGE(append(prefix[:len(prefix):len(prefix)], ids[i]...)) {
			if it.Error() != nil {
				return nil, nil // give says so
			}
			return nil, fmt.Errorf("a list names %s %x, which is not in the index", l.table, ids[i])
		}
		rows[i] = bytes.Clone(it.Value())
	}
	return rows, nil
}

func height(b []byte) chain.Height { return chain.Height(binary.BigEndian.Uint64(b)) }
