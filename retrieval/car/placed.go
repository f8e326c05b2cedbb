package car

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
	"github.com/multiformats/go-varint"
)

// FlatLeaf is the number of bytes of a leaf of a flat archive; the last leaf may
// be shorter.
const FlatLeaf = 256 << 10

// Place makes the index of one payload whose blocks stand in a larger file, with
// offsets from its start. Size is that of an archive of their own. It has no
// stored form.
func Place(root cid.Cid, entries []Entry) *Index {
	x := newIndex(root)
	x.form = formPlaced
	for _, e := range entries {
		x.size += SectionSize(e.CID, int(e.Length))
		if _, ok := x.byCID[e.CID]; !ok {
			x.byCID[e.CID] = uint32(len(x.entries))
		}
		x.entries = append(x.entries, e)
	}
	return x
}

// Flat makes the index of a file of size bytes as raw leaves of FlatLeaf bytes
// with these SHA-256 digests, in order. root is that of the UnixFS file which they
// make.
func Flat(root cid.Cid, digests [][32]byte, size uint64) (*Index, error) {
	if want := (size + FlatLeaf - 1) / FlatLeaf; want != uint64(len(digests)) {
		return nil, fmt.Errorf("flat index: %d leaves for %d bytes, want %d", len(digests), size, want)
	}
	x := &Index{root: root, byCID: make(map[cid.Cid]uint32, len(digests)), form: formFlat, entries: make([]Entry, 0, len(digests))}
	for i := range digests {
		c := LeafCID(digests[i])
		length := min(FlatLeaf, size-x.size)
		if first, ok := x.byCID[c]; ok {
			c = x.entries[first].CID
		} else {
			x.byCID[c] = uint32(i)
		}
		x.entries = append(x.entries, Entry{CID: c, Offset: x.size, Length: uint32(length)})
		x.size += length
	}
	return x, nil
}

// BuildFlat reads a file to its end and returns its index as a flat archive.
func BuildFlat(src io.Reader, root cid.Cid) (*Index, error) {
	var digests [][sha256.Size]byte
	leaf := make([]byte, FlatLeaf)
	size := uint64(0)
	for {
		n, err := io.ReadFull(src, leaf)
		if n > 0 {
			digests, size = append(digests, sha256.Sum256(leaf[:n])), size+uint64(n)
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return Flat(root, digests, size)
		default:
			return nil, fmt.Errorf("index flat archive: after %d bytes: %w", size, err)
		}
	}
}

// LeafCID is the CID of a raw block with this SHA-256 digest.
func LeafCID(digest [32]byte) cid.Cid {
	return cid.NewCidV1(cid.Raw, append(mh.Multihash{mh.SHA2_256, 32}, digest[:]...))
}

// IsFlat reports whether the index describes a flat archive: the data of the blocks
// and nothing between.
func (x *Index) IsFlat() bool { return x.form == formFlat }

// The stored form of a flat index, version 1:
//
//	"PFIX" || 0x01 || uvarint(len(root)) || root || uvarint(size) || digests of the leaves
//	u32be CRC-32C of all bytes before it
const (
	flatMagic   = "PFIX"
	flatVersion = 1
)

func (x *Index) marshalFlat() []byte {
	out := make([]byte, 0, 64+32*len(x.entries))
	out = append(append(out, flatMagic...), flatVersion)
	out = appendCID(out, x.root)
	out = append(out, varint.ToUvarint(x.size)...)
	for _, e := range x.entries {
		out = append(out, e.CID.Hash()[2:]...)
	}
	return binary.BigEndian.AppendUint32(out, crc32.Checksum(out, castagnoli))
}

// unmarshalFlat reads the stored form of a flat index, whose magic was seen.
func unmarshalFlat(raw []byte) (*Index, error) {
	body := len(raw) - 4
	if body < len(flatMagic)+1 || raw[len(flatMagic)] != flatVersion {
		return nil, fmt.Errorf("read flat index: %w: want version %d", ErrMalformed, flatVersion)
	}
	if crc32.Checksum(raw[:body], castagnoli) != binary.BigEndian.Uint32(raw[body:]) {
		return nil, fmt.Errorf("read flat index: %w: checksum differs", ErrMalformed)
	}
	p := indexParser{rest: raw[len(flatMagic)+1 : body]}
	root, size := p.fullCID(), p.uvarint()
	if p.err == nil && len(p.rest)%32 != 0 {
		p.err = fmt.Errorf("%d bytes of digests", len(p.rest))
	}
	if p.err != nil {
		return nil, fmt.Errorf("read flat index: %w: %w", ErrMalformed, p.err)
	}
	digests := make([][32]byte, 0, len(p.rest)/32)
	for d := range slices.Chunk(p.rest, 32) {
		digests = append(digests, [32]byte(d))
	}
	x, err := Flat(root, digests, size)
	if err != nil {
		return nil, fmt.Errorf("read flat index: %w: %w", ErrMalformed, err)
	}
	return x, nil
}
