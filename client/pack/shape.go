package pack

import (
	"fmt"

	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	mh "github.com/multiformats/go-multihash"
)

// shape is a file's graph as its size alone determines it: how the nodes hang
// together and how long their blocks are, which does not depend on what the CIDs
// in them are.
type shape struct {
	length int      // of the block in bytes; 0: the file is one leaf
	leaves int      // below the node itself
	nodes  []*shape // below it, if there are no leaves
}

// The names of blocks whose bytes are not known yet, as long as every name.
var (
	someLeaf = cid.NewCidV1(cid.Raw, someHash)
	someNode = cid.NewCidV1(cid.DagProtobuf, someHash)
	someHash = append(mh.Multihash{mh.SHA2_256, 32}, make([]byte, 32)...)
)

// shapeOf returns the shape of a file of size bytes, by building one of nothing.
func shapeOf(size uint64) (*shape, error) {
	s := new(sketch)
	b := newFileBuilder(s)
	for left := size; left > 0; {
		n := min(left, chunkSize)
		left -= n
		if err := b.add(0, ref{cid: someLeaf, file: n, total: n}); err != nil {
			return nil, err
		}
	}
	if err := b.Close(); err != nil {
		return nil, err
	}
	if len(s.open) == 0 {
		return &shape{leaves: 1}, nil
	}
	return s.open[0], nil
}

// sketch is a keeper that remembers the shape of what it is given.
type sketch struct {
	open []*shape // nodes that have no parent yet, from left to right
}

func (s *sketch) leaf([]byte) (cid.Cid, error) { return someLeaf, nil }

func (s *sketch) node(n ipld.Node, file uint64) (ref, error) {
	total, err := n.Size()
	if err != nil {
		return ref{}, fmt.Errorf("size of a file node: %w", err)
	}
	made, links := &shape{length: len(n.RawData())}, n.Links()
	if links[0].Cid.Equals(someLeaf) {
		made.leaves = len(links)
	} else {
		from := len(s.open) - len(links)
		made.nodes = append([]*shape(nil), s.open[from:]...)
		s.open = s.open[:from]
	}
	s.open = append(s.open, made)
	return ref{cid: someNode, file: file, total: total}, nil
}
