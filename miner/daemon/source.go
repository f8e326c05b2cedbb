package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/disk"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/seller"
)

// source gives the seller the pieces on disk. It implements seller.Source.
type source struct {
	records miner.Records
	disk    *disk.Disk

	mu      sync.Mutex
	indexes map[cid.Cid]*car.Index
}

// maxIndexes bounds the block indexes held in memory.
const maxIndexes = 64

func newSource(records miner.Records, d *disk.Disk) *source {
	return &source{records: records, disk: d, indexes: map[cid.Cid]*car.Index{}}
}

// Find implements seller.Source.
func (s *source) Find(_ context.Context, root cid.Cid, part uint64) (cid.Cid, error) {
	all, err := s.records.Deals()
	if err != nil {
		return cid.Undef, err
	}
	for _, d := range all {
		if d.Deal.PayloadRoot == root && d.Deal.Part == part && held(d.State) {
			return d.Deal.PieceCID, nil
		}
	}
	return cid.Undef, seller.ErrNotFound
}

// held reports whether a deal's piece is on disk in that state.
func held(s miner.DealState) bool {
	return s == miner.DealFetched || s == miner.DealAccepted || s == miner.DealPacked || s == miner.DealActive
}

// Open implements seller.Source.
func (s *source) Open(_ context.Context, piece cid.Cid) (*car.Index, seller.Archive, error) {
	f, err := os.Open(s.disk.Piece(piece))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, seller.ErrNotFound
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", seller.ErrUnavailable, err)
	}
	index, err := s.index(piece, f)
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("%w: %w", seller.ErrUnavailable, err)
	}
	return index, f, nil
}

// index returns a piece's block index: from memory, from beside the piece, or
// from one pass over it.
func (s *source) index(piece cid.Cid, f *os.File) (*car.Index, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.indexes[piece]; x != nil {
		return x, nil
	}
	path := s.disk.PieceIndex(piece)
	x, err := readIndex(path)
	if err != nil {
		if x, err = car.BuildIndex(f, car.Options{}); err != nil {
			return nil, fmt.Errorf("index piece %s: %w", piece, err)
		}
		if err := writeIndex(path, x); err != nil {
			return nil, err
		}
	}
	if len(s.indexes) >= maxIndexes {
		clear(s.indexes)
	}
	s.indexes[piece] = x
	return x, nil
}

func readIndex(path string) (*car.Index, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return car.UnmarshalIndex(raw)
}

func writeIndex(path string, x *car.Index) error {
	raw, err := x.MarshalBinary()
	if err != nil {
		return fmt.Errorf("encode piece index: %w", err)
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, raw, 0o644); err != nil {
		return fmt.Errorf("write piece index: %w", err)
	}
	return os.Rename(tmp, path)
}
