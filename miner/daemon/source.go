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
	"github.com/perdure/perdure/miner/unsealing"
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
	sealed  *unsealing.Unsealing // of pieces without a copy; nil: there are none
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
		if ok, err := s.holds(piece); ok || err != nil {
			return seller.Content{Piece: piece, Segment: root}, err
		}
	}
	return seller.Content{}, seller.ErrNotFound
}

// holds reports whether a piece is on disk, as a copy or sealed.
func (s *source) holds(piece cid.Cid) (bool, error) {
	if _, err := os.Stat(s.disk.Piece(piece)); err == nil || s.sealed == nil {
		return err == nil, nil
	}
	state, err := s.sealed.State(piece)
	return state != unsealing.Absent, err
}

// held reports whether a deal's piece is on disk in that state.
func held(s miner.DealState) bool {
	return s == miner.DealFetched || s == miner.DealAccepted || s == miner.DealPacked || s == miner.DealActive
}

// Open implements seller.Source.
func (s *source) Open(_ context.Context, c seller.Content) (*car.Index, seller.Archive, error) {
	f, err := os.Open(s.disk.Piece(c.Piece))
	if errors.Is(err, os.ErrNotExist) {
		return s.openSealed(c)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", seller.ErrUnavailable, err)
	}
	if s.sealed != nil {
		s.sealed.Used(c.Piece)
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

// openSealed is Open for a piece without a copy: its index is there all the same.
func (s *source) openSealed(c seller.Content) (*car.Index, seller.Archive, error) {
	d, err := s.openDormant(c.Piece)
	if err != nil {
		return nil, nil, unavailable(err)
	}
	if d == nil {
		return nil, nil, seller.ErrNotFound
	}
	index, err := s.index(c, nil)
	switch {
	case errors.Is(err, seller.ErrNotFound):
		return nil, nil, err
	case err != nil:
		return nil, nil, unavailable(err)
	}
	return index, d, nil
}

// describe returns how many bytes a piece's copy has, by its index; those of several
// payloads are found and kept as well.
func (s *source) describe(ctx context.Context, piece cid.Cid) (uint64, error) {
	all, archive, err := s.all(ctx, piece)
	if err != nil {
		return 0, err
	}
	return all[0].Size(), archive.Close()
}

// all returns the index of a piece and, if it holds several payloads, those of each.
func (s *source) all(ctx context.Context, piece cid.Cid) ([]*car.Index, seller.Archive, error) {
	whole, archive, err := s.Open(ctx, seller.Content{Piece: piece})
	if err != nil || !whole.IsFlat() {
		return []*car.Index{whole}, archive, err
	}
	file, _ := archive.(*os.File) // nil: it is sealed
	parts, err := s.indexes.of(piece, contents, func() ([]*car.Index, error) { return readContents(s.disk, piece, file) })
	if err != nil {
		return nil, nil, errors.Join(err, archive.Close())
	}
	return append([]*car.Index{whole}, parts...), archive, nil
}

// index returns the block index of a piece, or of a payload in it. Without a file it is
// read from beside where the piece was.
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
	if f == nil {
		return nil, fmt.Errorf("index of sealed piece %s: %w", piece, os.ErrNotExist)
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
