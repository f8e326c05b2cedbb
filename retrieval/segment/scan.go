package segment

import (
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/dag"
)

// maxPayloads bounds what one piece is searched for: more than an index has entries
// for the largest piece, each with a shared segment full of the smallest files.
const maxPayloads = 1 << 22

// Scan reads the index at the end of a piece, of raw(padded) bytes in src, and then
// every archive that it names. It returns an index of each payload, with offsets in
// the piece. What is no archive, or holds a block that does not match its CID, is
// left out: others' segments need not be ours. An error is one of reading, or wraps
// ErrIndex.
func Scan(src io.ReaderAt, padded uint64) ([]*car.Index, error) {
	entries, err := ReadIndex(src, padded)
	if err != nil {
		return nil, err
	}
	var out []*car.Index
	for i := range entries {
		found, err := scanSegment(src, &entries[i])
		switch {
		case errors.Is(err, car.ErrMalformed), errors.Is(err, car.ErrTooLarge), errors.Is(err, car.ErrMismatch),
			errors.Is(err, car.ErrHash), errors.Is(err, io.ErrUnexpectedEOF):
			continue
		case err != nil:
			return nil, fmt.Errorf("scan segment at %d: %w", entries[i].Offset, err)
		}
		if out = append(out, found...); len(out) > maxPayloads {
			return nil, fmt.Errorf("scan piece: more than %d payloads", maxPayloads)
		}
	}
	return out, nil
}

// ReadIndex reads the valid entries of the index at the end of a piece.
func ReadIndex(src io.ReaderAt, padded uint64) ([]Entry, error) {
	if err := checkPiece(padded); err != nil {
		return nil, err
	}
	area := make([]byte, raw(IndexSize(padded)))
	if n, err := src.ReadAt(area, int64(raw(padded-IndexSize(padded)))); n < len(area) {
		return nil, fmt.Errorf("read index of segments: %w", err)
	}
	return ParseIndex(area, padded)
}

// scanSegment reads the archive of one segment.
func scanSegment(src io.ReaderAt, e *Entry) ([]*car.Index, error) {
	base := raw(e.Offset)
	r, err := car.NewReader(io.NewSectionReader(src, int64(base), int64(raw(e.Size))), car.Options{AnyRoots: true, Padded: true})
	if err != nil {
		return nil, err
	}
	s := splitter{roots: r.Roots()}
	for {
		block, err := r.Next()
		if err == io.EOF {
			return s.payloads(), nil
		}
		if err != nil {
			return nil, err
		}
		s.take(car.Entry{CID: block.CID, Offset: base + block.Offset, Length: uint32(len(block.Data))}, block.Data)
	}
}

// splitter divides the blocks of an archive among its roots.
type splitter struct {
	roots []cid.Cid
	all   []car.Entry
	ends  []int // of the payloads that are whole, in order
	walk  *dag.Walker
	lost  bool // the blocks are not in the order in which this package writes them
}

// take looks which payload the next block belongs to.
func (s *splitter) take(e car.Entry, data []byte) {
	s.all = append(s.all, e)
	if s.lost || len(s.roots) < 2 {
		return
	}
	if s.walk == nil {
		if len(s.ends) == len(s.roots) {
			s.lost = true
			return
		}
		var err error
		if s.walk, err = dag.NewWalker(s.roots[len(s.ends)]); err != nil {
			s.lost = true
			return
		}
	}
	if next, ok := s.walk.Next(); !ok || !next.Equals(e.CID) || s.walk.Accept(data) != nil {
		s.lost = true
		return
	}
	if s.walk.Done() {
		s.ends, s.walk = append(s.ends, len(s.all)), nil
	}
}

// payloads are the indexes by root. In an archive of another order each root gets
// all blocks: they are found by their CIDs all the same.
func (s *splitter) payloads() []*car.Index {
	split := !s.lost && len(s.ends) == len(s.roots)
	var out []*car.Index
	from := 0
	for i, root := range s.roots {
		entries := s.all
		if split {
			entries, from = s.all[from:s.ends[i]], s.ends[i]
		}
		x := car.Place(root, entries)
		if _, holds := x.Find(root); holds {
			out = append(out, x)
		}
	}
	return out
}
