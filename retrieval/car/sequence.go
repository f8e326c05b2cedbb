package car

import (
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-varint"
)

// Sequence makes the index of the archive with this root that holds blocks of such
// names and lengths one after the other. Their offsets follow from that; those of
// the entries are not looked at.
func Sequence(root cid.Cid, blocks []Entry) *Index {
	x := newIndex(root)
	for i := range blocks {
		x.add(blocks[i].CID, blocks[i].Length)
	}
	return x
}

// AppendSectionHead appends what stands before the n bytes of a block's data in an
// archive: the length of the section, and the CID.
func AppendSectionHead(dst []byte, c cid.Cid, n int) []byte {
	dst = append(dst, varint.ToUvarint(uint64(c.ByteLen()+n))...)
	return append(dst, c.KeyString()...)
}
