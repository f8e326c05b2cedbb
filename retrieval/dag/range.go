package dag

import (
	"fmt"

	"github.com/ipfs/go-cid"
)

// Range finds the blocks that a byte range of a file needs, level by level:
// Need names the blocks of one level, Accept takes them in any order, and when
// all are there Need names those of the next level. Blocks that the caller has
// already are given to Accept like those that come over a wire. When Done, a
// File over the same blocks can read the range.
type Range struct {
	level map[blockKey]claims
	order []cid.Cid
	below map[blockKey]claims
	queue []cid.Cid
	depth int
	from  uint64
	to    uint64
	size  uint64
	known bool
}

// claim is what one place in the file says about a block: how many bytes of
// the file hang below it and which of them are needed.
type claim struct{ size, from, to uint64 }

// claims are those of all places that name a block. Equal ones fall together,
// so a file that repeats one block a million times needs it once.
type claims map[claim]struct{}

// NewRange starts at the root of a file for length bytes from offset on. A
// range that goes beyond the end is cut there, as with an HTTP range. The root
// is always needed.
func NewRange(root cid.Cid, offset, length uint64) (*Range, error) {
	if err := Check(root); err != nil {
		return nil, fmt.Errorf("range of %s: %w", root, err)
	}
	end := offset + length
	if end < offset {
		end = ^uint64(0)
	}
	return &Range{
		order: []cid.Cid{root},
		level: map[blockKey]claims{keyOf(root): {}},
		below: map[blockKey]claims{},
		from:  offset, to: end,
	}, nil
}

// Need returns the blocks of the present level that are still missing, each
// once, in the order in which their parents came. It is empty when the range
// is complete.
func (r *Range) Need() []cid.Cid {
	out := make([]cid.Cid, 0, len(r.level))
	for _, c := range r.order {
		if _, missing := r.level[keyOf(c)]; missing {
			out = append(out, c)
		}
	}
	return out
}

// Done says whether all blocks of the range were accepted.
func (r *Range) Done() bool { return len(r.level) == 0 }

// Size is the number of bytes of the whole file; ok is false until the root
// was accepted.
func (r *Range) Size() (size uint64, ok bool) { return r.size, r.known }

// Accept takes one block that Need names. A block that is refused changes
// nothing.
func (r *Range) Accept(c cid.Cid, block []byte) error {
	if err := verify(c, block); err != nil {
		return fmt.Errorf("range: %w", err)
	}
	want, ok := r.level[keyOf(c)]
	if !ok {
		return fmt.Errorf("range: block %s is not needed now: %w", c, ErrMalformed)
	}
	node, err := Decode(c, block)
	if err != nil {
		return fmt.Errorf("range: %w", err)
	}
	if err := r.check(c, node, want); err != nil {
		return fmt.Errorf("range: block %s: %w", c, err)
	}
	if !r.known {
		r.size, r.known = node.FileSize, true
		want = claims{{r.size, r.from, min(r.to, r.size)}: {}}
	}
	r.descend(node, want)
	delete(r.level, keyOf(c))
	if len(r.level) == 0 {
		r.level, r.order = r.below, r.queue
		r.below, r.queue = map[blockKey]claims{}, nil
		r.depth++
	}
	return nil
}

func (r *Range) check(c cid.Cid, node *Node, want claims) error {
	if node.Kind != KindFile {
		return fmt.Errorf("%w: a %s, not part of a file", ErrMalformed, node.Kind)
	}
	if len(node.Links) > 0 && r.depth == MaxDepth {
		return fmt.Errorf("%w: deeper than %d levels", ErrTooLarge, MaxDepth)
	}
	for w := range want {
		if w.size != node.FileSize {
			return fmt.Errorf("%w: it has %d bytes, its parent says %d", ErrMalformed, node.FileSize, w.size)
		}
	}
	for i, link := range node.Links {
		if err := Check(link.CID); err != nil {
			return fmt.Errorf("link %d: %w", i, err)
		}
	}
	return nil
}

// descend puts the children that the claims touch on the next level.
func (r *Range) descend(node *Node, want claims) {
	at := uint64(len(node.Data))
	for i, link := range node.Links {
		size := node.Sizes[i]
		for w := range want {
			from, to := max(w.from, at), min(w.to, at+size)
			if from >= to {
				continue
			}
			key := keyOf(link.CID)
			if r.below[key] == nil {
				r.below[key] = claims{}
				r.queue = append(r.queue, link.CID)
			}
			r.below[key][claim{size, from - at, to - at}] = struct{}{}
		}
		at += size
	}
}
