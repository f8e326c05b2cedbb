package car

import (
	"fmt"
	"io"

	"github.com/ipfs/go-cid"
)

// Entry is the place of one block in an archive.
type Entry struct {
	// CID names the block.
	CID cid.Cid
	// Offset is where the data of the block begins, in bytes from the start
	// of the archive.
	Offset uint64
	// Length is the number of bytes of data.
	Length uint32
}

// Index says where the blocks of an archive with one root are. Ordinals count
// the sections from 0. An Index that no Writer extends may be used by many
// readers at once. It takes about 150 bytes a block in memory.
type Index struct {
	root    cid.Cid
	entries []Entry
	byCID   map[cid.Cid]uint32
	size    uint64
	form    form
}

// form is what the offsets of an index follow from.
type form byte

const (
	formCAR    form = iota // the lengths and CIDs of the sections before
	formPlaced             // nothing: they are as given
	formFlat               // the lengths of the blocks before
)

func newIndex(root cid.Cid) *Index {
	return &Index{root: root, byCID: map[cid.Cid]uint32{}, size: HeaderSize(root)}
}

func (x *Index) add(c cid.Cid, length uint32) {
	x.size += SectionSize(c, int(length))
	if first, ok := x.byCID[c]; ok {
		c = x.entries[first].CID
	} else {
		x.byCID[c] = uint32(len(x.entries))
	}
	x.entries = append(x.entries, Entry{CID: c, Offset: x.size - uint64(length), Length: length})
}

// BuildIndex reads a whole archive with one root and returns its index.
func BuildIndex(src io.Reader, opts Options) (*Index, error) {
	opts.AnyRoots = false
	r, err := NewReader(src, opts)
	if err != nil {
		return nil, fmt.Errorf("index archive: %w", err)
	}
	x := newIndex(r.Roots()[0])
	for {
		block, err := r.Next()
		if err == io.EOF {
			return x, nil
		}
		if err != nil {
			return nil, fmt.Errorf("index archive: %w", err)
		}
		x.add(block.CID, uint32(len(block.Data)))
	}
}

// Root is the root that the archive's header names.
func (x *Index) Root() cid.Cid { return x.root }

// Len is the number of blocks.
func (x *Index) Len() int { return len(x.entries) }

// Size is the number of bytes of the archive, without padding.
func (x *Index) Size() uint64 { return x.size }

// At returns the block with the ordinal i; ok is false if there is none.
func (x *Index) At(i int) (entry Entry, ok bool) {
	if i < 0 || i >= len(x.entries) {
		return Entry{}, false
	}
	return x.entries[i], true
}

// Find returns the ordinal of the first block with this CID.
func (x *Index) Find(c cid.Cid) (ordinal int, ok bool) {
	i, ok := x.byCID[c]
	return int(i), ok
}

// Sizes returns the data length of every block, by ordinal, in bytes.
func (x *Index) Sizes() []uint32 {
	out := make([]uint32, len(x.entries))
	for i, e := range x.entries {
		out[i] = e.Length
	}
	return out
}

// ReadBlock reads the data of block i from the archive that the index
// describes and checks it against the CID.
func (x *Index) ReadBlock(src io.ReaderAt, i int) ([]byte, error) {
	e, ok := x.At(i)
	if !ok {
		return nil, fmt.Errorf("read block %d: the archive has %d blocks", i, x.Len())
	}
	data := make([]byte, e.Length)
	if n, err := src.ReadAt(data, int64(e.Offset)); n < len(data) {
		return nil, fmt.Errorf("read block %d (%s) at %d: %w", i, e.CID, e.Offset, noEOF(err))
	}
	if err := Verify(e.CID, data); err != nil {
		return nil, fmt.Errorf("read block %d at %d: %w", i, e.Offset, err)
	}
	return data, nil
}
