package dag

import (
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/retrieval/car"
)

// UnknownSize is the Size of a Span whose block has not been seen and that no
// parent speaks of.
const UnknownSize = ^uint64(0)

// Span is a block of a file with what hangs below it: Size bytes of the file
// from Offset on. A file is taken apart by expanding its root and then, in any
// order and by any number of readers, the spans that come of it.
type Span struct {
	CID    cid.Cid
	Offset uint64
	Size   uint64
	depth  int
}

// FileSpan is the whole of the file with this root.
func FileSpan(root cid.Cid) (Span, error) {
	if err := Check(root); err != nil {
		return Span{}, car.Named("file", root, err)
	}
	return Span{CID: root, Size: UnknownSize}, nil
}

// Leaf reports whether the span is one raw block, whose Size is that of its data.
func (s Span) Leaf() bool { return s.CID.Prefix().Codec == cid.Raw }

// Verify reports whether block is the one that the span names.
func (s Span) Verify(block []byte) error { return verify(s.CID, block) }

// Expand takes the block of the span apart, which Verify found right: into the
// bytes of the file that it holds itself, which stand at the span's Offset, and
// the spans of its children in their order. The size is that of all together.
func (s Span) Expand(block []byte) (data []byte, children []Span, size uint64, err error) {
	node, err := Decode(s.CID, block)
	if err != nil {
		return nil, nil, 0, err
	}
	switch {
	case node.Kind != KindFile:
		return nil, nil, 0, malformed(s.CID, "a %s, not part of a file", node.Kind)
	case s.Size != UnknownSize && s.Size != node.FileSize:
		return nil, nil, 0, malformed(s.CID, "it has %d bytes, its parent says %d", node.FileSize, s.Size)
	case len(node.Links) > 0 && s.depth == MaxDepth:
		return nil, nil, 0, car.Named("block", s.CID, fmt.Errorf("%w: deeper than %d levels", ErrTooLarge, MaxDepth))
	}
	at := s.Offset + uint64(len(node.Data))
	for i, link := range node.Links {
		if err := Check(link.CID); err != nil {
			return nil, nil, 0, car.Named("block", s.CID, fmt.Errorf("link %d: %w", i, err))
		}
		children = append(children, Span{CID: link.CID, Offset: at, Size: node.Sizes[i], depth: s.depth + 1})
		at += node.Sizes[i]
	}
	return node.Data, children, node.FileSize, nil
}
