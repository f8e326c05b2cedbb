package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
)

// chunkSize is how many of a block's messages, events or trades stand in one row,
// each behind its length: blocks write fewer rows, and lists read fewer.
const chunkSize = 16

// The tables in chunks.
const (
	messageTable = 'm'
	eventTable   = 'e'
	tradeTable   = 'x'
)

var errChunk = errors.New("chunk is cut off")

// chunkKey is of the chunk that holds an entry of a block.
func chunkKey(table byte, at Place) []byte {
	return in([]byte{table}, at.Height, at.Index/chunkSize)
}

// writeChunks writes the first n entries of a block into a table.
func (b *block) writeChunks(batch *pebble.Batch, table byte, n int, entry func(i int) chain.CBOR) error {
	for from := 0; from < n; from += chunkSize {
		var row []byte
		for i := from; i < min(from+chunkSize, n); i++ {
			raw, err := chain.Encode(entry(i))
			if err != nil {
				return fmt.Errorf("encode entry %d of table %c: %w", i, table, err)
			}
			row = append(binary.AppendUvarint(row, uint64(len(raw))), raw...)
		}
		set(batch, chunkKey(table, Place{b.u.Height, uint32(from)}), row)
	}
	return nil
}

// eachIn goes through the entries of a chunk until f says false.
func eachIn(row []byte, f func(raw []byte) (bool, error)) error {
	for len(row) > 0 {
		n, head := binary.Uvarint(row)
		if head <= 0 || n > uint64(len(row)-head) {
			return errChunk
		}
		more, err := f(row[head : head+int(n)])
		if !more || err != nil {
			return err
		}
		row = row[head+int(n):]
	}
	return nil
}

// entryIn is the entry of a block that a chunk should hold; nil if it does not.
func entryIn(row []byte, index uint32) (found []byte, err error) {
	n := index % chunkSize
	err = eachIn(row, func(raw []byte) (bool, error) {
		if n == 0 {
			found = raw
		}
		n--
		return found == nil, nil
	})
	return found, err
}

// chunks reads entries by their places, of which many that follow each other stand
// in one row.
type chunks struct {
	view  *view
	it    *pebble.Iterator
	table byte
	at    []byte // key of the row that it stands at
}

func (s *Snapshot) chunks(table byte) (*chunks, error) {
	it, err := s.iterator(bounds([]byte{table}, true, nil))
	return &chunks{view: s.view, it: it, table: table}, err
}

func (c *chunks) close() error { return c.view.give(c.it) }

// load decodes an entry that a list names.
func (c *chunks) load(at Place, v chain.CBOR) error {
	if key := chunkKey(c.table, at); !bytes.Equal(c.at, key) {
		c.at = nil
		if !c.it.SeekPrefixGE(key) {
			return errors.Join(c.missing(at), c.it.Error())
		}
		c.at = key
	}
	raw, err := entryIn(c.it.Value(), at.Index)
	switch {
	case err != nil:
		return fmt.Errorf("table %c, block %d: %w", c.table, at.Height, err)
	case raw == nil:
		return c.missing(at)
	}
	return parse(raw, v)
}

func (c *chunks) missing(at Place) error {
	return fmt.Errorf("a list names entry %d of block %d, which is not in table %c of the index", at.Index, at.Height, c.table)
}

// entry decodes one entry, and reports whether there is one.
func (s *Snapshot) entry(table byte, at Place, v chain.CBOR) (found bool, err error) {
	_, err = peek(s.snap, chunkKey(table, at), func(row []byte) error {
		raw, err := entryIn(row, at.Index)
		if err != nil || raw == nil {
			return err
		}
		found = true
		return parse(raw, v)
	})
	if err != nil {
		return false, fmt.Errorf("table %c, block %d: %w", table, at.Height, err)
	}
	return found, nil
}

// entries goes through what stands in the chunks under a prefix: a table's, or
// those of a height in it. each gets the place of an entry, and may keep nothing of
// raw. Places are HEIGHT INDEX, or INDEX under a height.
func (s *Snapshot) entries(prefix []byte, p Page, each func(at Place, raw []byte) (bool, error)) (next []byte, err error) {
	width := 13 - len(prefix)
	if err := p.check(width); err != nil {
		return nil, err
	}
	r := reading{Page: p}
	if p.After != nil {
		r.after = placeOf(slices.Concat(prefix[1:], p.After))
	}
	visits := 0
	raws := make([][]byte, 0, chunkSize)
	chunk := func(key, row []byte) (bool, error) {
		raws = raws[:0]
		err := eachIn(row, func(raw []byte) (bool, error) { raws = append(raws, raw); return true, nil })
		if err != nil {
			return false, fmt.Errorf("table %c: %w", prefix[0], err)
		}
		at := placeOf(slices.Concat(prefix[1:], key))
		first := at.Index * chunkSize
		for i := range raws {
			if !p.Upward {
				i = len(raws) - 1 - i
			}
			at.Index = first + uint32(i)
			err := r.offer(at, func() (bool, error) {
				if visits == maxVisits {
					return false, errEnough
				}
				visits++
				return each(at, raws[i])
			})
			if err != nil {
				return false, err
			}
		}
		return true, nil
	}
	from := Page{Upward: p.Upward, Limit: maxVisits, After: beforeChunk(prefix, p)}
	_, err = s.list(prefix, width, from, chunk)
	if errors.Is(err, errEnough) {
		return r.last.bytes()[12-width:], nil
	}
	return nil, err
}

// beforeChunk is the place before that of the chunk in which a page goes on, in the
// direction of reading; nil: the list's start.
func beforeChunk(prefix []byte, p Page) []byte {
	if p.After == nil {
		return nil
	}
	at := placeOf(slices.Concat(prefix[1:], p.After))
	at.Index /= chunkSize
	switch {
	case !p.Upward:
		at.Index++
	case at.Index > 0:
		at.Index--
	case len(prefix) == 1 && at.Height > 0:
		at = Place{at.Height - 1, math.MaxUint32}
	default:
		return nil
	}
	return at.bytes()[len(prefix)-1:]
}

// nounsIn is entries, decoded.
func nounsIn[T any, P interface {
	*T
	chain.CBOR
}](s *Snapshot, prefix []byte, p Page, each func(P) (bool, error)) (next []byte, err error) {
	return s.entries(prefix, p, func(at Place, raw []byte) (bool, error) {
		v := P(new(T))
		if err := parse(raw, v); err != nil {
			return false, fmt.Errorf("decode entry %d of block %d in table %c: %w", at.Index, at.Height, prefix[0], err)
		}
		return each(v)
	})
}
