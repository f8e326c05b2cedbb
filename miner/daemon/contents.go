package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/miner/disk"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/segment"
)

// readContents reads where the payloads are in a piece that holds several, from beside
// it, or finds them in one pass over the piece. A piece without an index has none.
func readContents(d *disk.Disk, piece cid.Cid, f *os.File) ([]*car.Index, error) {
	path := d.PieceContents(piece)
	if raw, err := os.ReadFile(path); err == nil {
		if all, err := segment.Unmarshal(raw); err == nil {
			return all, nil
		}
	}
	if f == nil {
		return nil, fmt.Errorf("contents of sealed piece %s: %w", piece, os.ErrNotExist)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	all, err := segment.Scan(f, uint64(size)/127*128)
	if errors.Is(err, segment.ErrIndex) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("contents of piece %s: %w", piece, err)
	}
	return all, writeBeside(path, segment.Marshal(all))
}
