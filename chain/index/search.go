package index

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
)

// Bits are the first bits of a name in bytes, as one who types a hash or an
// address has told them so far.
type Bits struct {
	Bytes []byte // of which the last may be told in part; the rest of it is zero
	Count int
}

// end is the first name after all that begin so; nil if there is none.
func (b Bits) end() []byte {
	out := bytes.Clone(b.Bytes)
	step := byte(1)
	if part := b.Count % 8; part != 0 {
		step = 1 << (8 - part)
	}
	for i := len(out) - 1; i >= 0; i-- {
		if out[i] += step; out[i] >= step { // no carry
			return out[:i+1]
		}
		step = 1
	}
	return nil
}

// names calls each with the rest of the first key behind a prefix that begins
// with some bits, and goes on behind what it returns, until that is nil.
func (s *Snapshot) names(prefix []byte, b Bits, each func(rest []byte) (behind []byte)) (err error) {
	bound := bounds(prefix, true, nil)
	bound.LowerBound = append(bytes.Clone(prefix), b.Bytes...)
	if end := b.end(); end != nil {
		bound.UpperBound = append(bytes.Clone(prefix), end...)
	}
	it, err := s.iterator(bound)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.give(it)) }()
	for ok := it.First(); ok; {
		behind := each(it.Key()[len(prefix):])
		if behind == nil {
			break
		}
		ok = seekBehind(it, append(bytes.Clone(prefix), behind...))
	}
	return nil
}

// seekBehind goes to the first key that does not begin as given.
func seekBehind(it *pebble.Iterator, prefix []byte) bool {
	next := bounds(prefix, true, nil).UpperBound
	return it.SeekGE(next)
}

// FindMessages returns the hashes of messages that begin so, at most so many.
func (s *Snapshot) FindMessages(b Bits, most int) (found []chain.Hash, err error) {
	err = s.names([]byte{'h'}, b, func(rest []byte) []byte {
		if len(found) == most {
			return nil
		}
		var h chain.Hash
		copy(h[:], rest)
		found = append(found, h)
		return bytes.Clone(rest)
	})
	return found, err
}

// FindRecords returns the keys of records of a table that begin so, at most so many.
func (s *Snapshot) FindRecords(t chain.Table, b Bits, most int) (found []chain.Key, err error) {
	err = s.names([]byte{'R', byte(t)}, b, func(rest []byte) []byte {
		if len(found) == most {
			return nil
		}
		found = append(found, chain.Key{Table: t, ID: string(rest)})
		return bytes.Clone(rest)
	})
	return found, err
}

// FindRoots returns the payload roots of deals that begin so and have a length
// in bytes, at most so many.
func (s *Snapshot) FindRoots(b Bits, length, most int) ([]cid.Cid, error) {
	return s.findCIDs('r', b, length, most)
}

// FindPieces is FindRoots for the pieces of deals.
func (s *Snapshot) FindPieces(b Bits, length, most int) ([]cid.Cid, error) {
	return s.findCIDs('p', b, length, most)
}

func (s *Snapshot) findCIDs(list byte, b Bits, length, most int) (found []cid.Cid, err error) {
	var broken error
	err = s.names([]byte{'D', list, byte(length)}, b, func(rest []byte) []byte {
		if len(found) == most || len(rest) < length {
			return nil
		}
		c, err := cid.Cast(rest[:length])
		if err != nil {
			broken = fmt.Errorf("search index: %w", err)
			return nil
		}
		found = append(found, c)
		return bytes.Clone(rest[:length])
	})
	return found, errors.Join(err, broken)
}
