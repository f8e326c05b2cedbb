package car

import (
	"fmt"
	"io"

	"github.com/ipfs/go-cid"
)

// Writer writes an archive with one root and keeps the index of what it wrote.
// The blocks stand in the order of the calls; the Writer neither hashes them
// nor looks for repetitions.
type Writer struct {
	dst   io.Writer
	index *Index
	head  []byte
	err   error
}

// NewWriter writes the header for root to dst.
func NewWriter(dst io.Writer, root cid.Cid) (*Writer, error) {
	if !root.Defined() || root.ByteLen() > maxCIDSize {
		return nil, fmt.Errorf("write archive: root %q is no usable CID", root)
	}
	if _, err := dst.Write(appendHeader(nil, []cid.Cid{root})); err != nil {
		return nil, fmt.Errorf("write archive header: %w", err)
	}
	return &Writer{dst: dst, index: newIndex(root)}, nil
}

// Put appends one block. After an error of the destination the archive is torn
// and every later call returns that error.
func (w *Writer) Put(c cid.Cid, data []byte) error {
	if w.err != nil {
		return w.err
	}
	if !c.Defined() || c.ByteLen() > maxCIDSize {
		return fmt.Errorf("write block %d: %q is no usable CID", w.index.Len(), c)
	}
	if len(data) > MaxBlockSize {
		return Named("write block", c, fmt.Errorf("%d bytes: %w", len(data), ErrTooLarge))
	}
	w.head = AppendSectionHead(w.head[:0], c, len(data))
	if _, err := w.dst.Write(w.head); err != nil {
		w.err = Named("write block", c, err)
		return w.err
	}
	if _, err := w.dst.Write(data); err != nil {
		w.err = Named("write block", c, err)
		return w.err
	}
	w.index.add(c, uint32(len(data)))
	return nil
}

// Size is the number of bytes written.
func (w *Writer) Size() uint64 { return w.index.Size() }

// Index describes the blocks written. It grows with later calls of Put.
func (w *Writer) Index() *Index { return w.index }
