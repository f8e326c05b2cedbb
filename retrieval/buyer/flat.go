package buyer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/retrieval/car"
)

// Flat is a Sink that writes the bytes of a flat piece, leaf after leaf, and
// takes them up again where an earlier one stopped. A second file beside it
// keeps the leaves' digests, 32 bytes each: by them the leaves that are whole and
// right are told from a torn end.
type Flat struct {
	data, sums ArchiveFile
	digests    [][sha256.Size]byte
	size       uint64
}

var errLeaf = errors.New("no leaf of a flat piece is due")

// OpenFlat reads what the files hold of a flat piece, cuts both behind the last
// leaf that is whole and right, and goes on from there.
func OpenFlat(data, sums ArchiveFile) (*Flat, error) {
	f := &Flat{data: data, sums: sums}
	if err := f.recover(); err != nil {
		return nil, fmt.Errorf("open flat piece: %w", err)
	}
	return f, nil
}

func (f *Flat) recover() error {
	for _, file := range []ArchiveFile{f.data, f.sums} {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	leaf := make([]byte, car.FlatLeaf)
	for {
		var want [sha256.Size]byte
		if _, err := io.ReadFull(f.sums, want[:]); err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		} else if err != nil {
			return err
		}
		// A shorter last leaf is fetched again: whether it was whole cannot be told.
		if _, err := io.ReadFull(f.data, leaf); err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		} else if err != nil {
			return err
		}
		if sha256.Sum256(leaf) != want {
			break
		}
		f.digests, f.size = append(f.digests, want), f.size+car.FlatLeaf
	}
	for _, cut := range []struct {
		file ArchiveFile
		size int64
	}{{f.data, int64(f.size)}, {f.sums, int64(len(f.digests)) * sha256.Size}} {
		if err := cut.file.Truncate(cut.size); err != nil {
			return err
		}
		if _, err := cut.file.Seek(cut.size, io.SeekStart); err != nil {
			return err
		}
	}
	return nil
}

// Put appends a leaf: a raw block of car.FlatLeaf bytes, or of fewer as the last one.
func (f *Flat) Put(_ context.Context, c cid.Cid, data []byte) error {
	digest := sha256.Sum256(data)
	if f.size%car.FlatLeaf != 0 || len(data) == 0 || len(data) > car.FlatLeaf || !c.Equals(car.LeafCID(digest)) {
		return fmt.Errorf("block %s of %d bytes at %d: %w", c, len(data), f.size, errLeaf)
	}
	if _, err := f.data.Write(data); err != nil {
		return err
	}
	if _, err := f.sums.Write(digest[:]); err != nil {
		return err
	}
	f.digests, f.size = append(f.digests, digest), f.size+uint64(len(data))
	return nil
}

// Blocks is the number of leaves: the From of a PieceRequest.
func (f *Flat) Blocks() uint64 { return uint64(len(f.digests)) }

// Size is the number of bytes so far.
func (f *Flat) Size() uint64 { return f.size }

// Index describes the leaves so far, under the root that the piece is to have.
func (f *Flat) Index(root cid.Cid) (*car.Index, error) { return car.Flat(root, f.digests, f.size) }
