package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/disk"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/seller"
)

// shelves is what the miner's records tell of the pieces on disk; a db.DB does.
type shelves interface {
	DealsOfRoot(root cid.Cid, part uint64) ([]*miner.Deal, error)
	DealsOfPiece(piece cid.Cid) ([]*miner.Deal, error)
	PiecesWith(root cid.Cid) ([]cid.Cid, error)
}

// source gives the seller the pieces on disk. It implements seller.Source.
type source struct {
	records shelves
	disk    *disk.Disk
	indexes indexes
}

func newSource(records shelves, d *disk.Disk) *source { return &source{records: records, disk: d} }

// Find implements seller.Source.
func (s *source) Find(_ context.Context, root cid.Cid, part uint64) (seller.Content, error) {
	of, err := s.records.DealsOfRoot(root, part)
	if err != nil {
		return seller.Content{}, err
	}
	for _, d := range of {
		if held(d.State) {
			return seller.Content{Piece: d.Deal.PieceCID}, nil
		}
	}
	if part != 0 {
		return seller.Content{}, seller.ErrNotFound
	}
	shared, err := s.records.PiecesWith(root)
	if err != nil {
		return seller.Content{}, err
	}
	for _, piece := range shared {
		if _, err := os.Stat(s.disk.Piece(piece)); err == nil {
			return seller.Content{Piece: piece, Segment: root}, nil
		}
	}
	return seller.Content{}, seller.ErrNotFound
}

// held reports whether a deal's piece is on disk in that state.
func held(s miner.DealState) bool {
	return s == miner.DealFetched || s == miner.DealAccepted || s == miner.DealPacked || s == miner.DealActive
}

// Open implements seller.Source.
func (s *source) Open(_ context.Context, c seller.Content) (*car.Index, seller.Archive, error) {
	f, err := os.Open(s.disk.Piece(c.Piece))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, seller.ErrNotFound
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", seller.ErrUnavailable, err)
	}
	index, err := s.index(c, f)
	switch {
	case errors.Is(err, seller.ErrNotFound):
		return nil, nil, errors.Join(err, f.Close())
	case err != nil:
		return nil, nil, fmt.Errorf("%w: %w", seller.ErrUnavailable, errors.Join(err, f.Close()))
	}
	return index, f, nil
}

// all returns the index of a piece and, if it holds several payloads, those of each.
func (s *source) all(ctx context.Context, piece cid.Cid) ([]*car.Index, seller.Archive, error) {
	whole, archive, err := s.Open(ctx, seller.Content{Piece: piece})
	if err != nil || !whole.IsFlat() {
		return []*car.Index{whole}, archive, err
	}
	parts, err := s.indexes.of(piece, contents, func() ([]*car.Index, error) { return readContents(s.disk, piece, archive.(*os.File)) })
	if err != nil {
		return nil, nil, errors.Join(err, archive.Close())
	}
	return append([]*car.Index{whole}, parts...), archive, nil
}

// index returns the block index of a piece, or of a payload in it.
func (s *source) index(c seller.Content, f *os.File) (*car.Index, error) {
	if !c.Segment.Defined() {
		whole, err := s.indexes.of(c.Piece, wholeOnly, func() ([]*car.Index, error) { return s.readWhole(c.Piece, f) })
		if err != nil {
			return nil, err
		}
		return whole[0], nil
	}
	all, err := s.indexes.of(c.Piece, contents, func() ([]*car.Index, error) { return readContents(s.disk, c.Piece, f) })
	if err != nil {
		return nil, err
	}
	for _, x := range all {
		if x.Root().Equals(c.Segment) {
			return x, nil
		}
	}
	return nil, seller.ErrNotFound
}

// readWhole reads a piece's index from beside it, or makes it in one pass over the
// piece.
func (s *source) readWhole(piece cid.Cid, f *os.File) ([]*car.Index, error) {
	path := s.disk.PieceIndex(piece)
	if raw, err := os.ReadFile(path); err == nil {
		if x, err := car.UnmarshalIndex(raw); err == nil {
			return []*car.Index{x}, nil
		}
	}
	x, err := car.BuildIndex(f, car.Options{})
	if errors.Is(err, car.ErrMalformed) || errors.Is(err, car.ErrTooLarge) {
		x, err = s.buildFlat(piece, f)
	}
	if err != nil {
		return nil, fmt.Errorf("index piece %s: %w", piece, err)
	}
	return []*car.Index{x}, writeIndex(path, x)
}

// buildFlat makes the index of a piece that holds several payloads.
func (s *source) buildFlat(piece cid.Cid, f *os.File) (*car.Index, error) {
	of, err := s.records.DealsOfPiece(piece)
	if err != nil {
		return nil, err
	}
	if len(of) == 0 {
		return nil, seller.ErrNotFound
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return car.BuildFlat(f, of[0].Deal.PayloadRoot)
}

// writeIndex keeps an index beside its piece.
func writeIndex(path string, x *car.Index) error {
	raw, err := x.MarshalBinary()
	if err != nil {
		return fmt.Errorf("encode piece index: %w", err)
	}
	return writeBeside(path, raw)
}

// writeBeside writes a file whole or not at all. What it holds can be made again.
func writeBeside(path string, raw []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "*.tmp")
	if err != nil {
		return fmt.Errorf("write piece index: %w", err)
	}
	_, err = tmp.Write(raw)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write piece index: %w", errors.Join(err, os.Remove(tmp.Name())))
	}
	return nil
}
