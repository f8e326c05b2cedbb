package buyer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/dag"
)

// ArchiveFile is what an Archive is written to; an *os.File is one.
type ArchiveFile interface {
	io.ReadWriteSeeker
	Truncate(size int64) error
}

// Archive is a Sink that writes the archive of a piece, and takes it up again
// where an earlier one stopped.
type Archive struct {
	to *redirect
	w  *car.Writer
}

// redirect is a writer whose target can be changed.
type redirect struct{ io.Writer }

// OpenArchive reads what the file holds of an archive with this root, cuts it
// behind the last block that is whole and right, and goes on from there. An
// empty file, or one that is no such archive, is begun anew.
func OpenArchive(f ArchiveFile, root cid.Cid) (*Archive, error) {
	a, err := openArchive(f, root)
	if err != nil {
		return nil, fmt.Errorf("open archive of %s: %w", root, err)
	}
	return a, nil
}

func openArchive(f ArchiveFile, root cid.Cid) (*Archive, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	a := &Archive{to: &redirect{io.Discard}}
	head := new(bytes.Buffer)
	a.to.Writer = head
	var err error
	if a.w, err = car.NewWriter(a.to, root); err != nil {
		return nil, err
	}
	a.to.Writer = io.Discard
	size := int64(0)
	if r, err := car.NewReader(f, car.Options{Root: root}); err == nil {
		for {
			block, err := r.Next()
			if err != nil {
				if torn(err) {
					break
				}
				return nil, err
			}
			if err := a.w.Put(block.CID, block.Data); err != nil {
				return nil, err
			}
		}
		size = int64(a.w.Size())
	} else if !torn(err) {
		return nil, err
	}
	if err := f.Truncate(size); err != nil {
		return nil, err
	}
	if _, err := f.Seek(size, io.SeekStart); err != nil {
		return nil, err
	}
	a.to.Writer = f
	if size == 0 {
		if _, err := f.Write(head.Bytes()); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// torn reports whether an archive ends here, whole or not, rather than that the
// disk could not be read.
func torn(err error) bool {
	for _, t := range []error{io.EOF, io.ErrUnexpectedEOF, car.ErrMalformed, car.ErrTooLarge, car.ErrMismatch, car.ErrHash} {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}

// Put appends a block.
func (a *Archive) Put(_ context.Context, c cid.Cid, data []byte) error { return a.w.Put(c, data) }

// Blocks is the number of blocks in the archive: the From of a PieceRequest.
func (a *Archive) Blocks() uint64 { return uint64(a.w.Index().Len()) }

// Size is the number of bytes of the archive.
func (a *Archive) Size() uint64 { return a.w.Size() }

// Index describes the blocks so far.
func (a *Archive) Index() *car.Index { return a.w.Index() }

// Get reads blocks of the archive from the file it is written to.
func (a *Archive) Get(f io.ReaderAt) dag.Get {
	return func(_ context.Context, c cid.Cid) ([]byte, error) {
		at, ok := a.w.Index().Find(c)
		if !ok {
			return nil, fmt.Errorf("block %s is not in the archive", c)
		}
		return a.w.Index().ReadBlock(f, at)
	}
}
