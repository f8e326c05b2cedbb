package merkle

import (
	"errors"
	"fmt"
	"slices"
)

// ErrOpening says that a leaf and its siblings do not lead to the trusted root.
var ErrOpening = errors.New("opening does not lead to the root")

// A trail is a sequence of openings of one tree in which no node is sent twice. An opening sends
// the siblings of its leaf, then those of the parent, and so on, and ends at the first node that is
// known already: the root, or a node that an earlier opening of the trail sent or computed. What
// must be sent follows from the shape and the indices alone, so a trail has one encoding and an
// exact length; and since each opening ends at a node that is known to be right, a wrong node is
// found at the very opening that sent it. (Leaving out also what later openings let one compute
// would save a little more, and blame the wrong opening.)

// Position is the place of a node in a tree.
type Position struct {
	Row   int    // 0 for the leaves
	Index uint64 // place in the row
}

// TrailWriter finds the nodes that each opening of a trail sends.
type TrailWriter struct {
	arities []int
	leaves  uint64
	// known holds the groups of siblings that were sent, by the place of their parent: a node is
	// known with all its siblings or not at all.
	known map[Position]struct{}
}

// NewTrailWriter starts a trail over a tree of that shape and number of leaves.
func NewTrailWriter(s Shape, leaves uint64) (*TrailWriter, error) {
	arities, err := s.Arities(leaves)
	if err != nil {
		return nil, err
	}
	return &TrailWriter{arities: arities, leaves: leaves, known: make(map[Position]struct{})}, nil
}

// Known reports whether the leaf at an index is known to the reader of the trail so far.
func (t *TrailWriter) Known(index uint64) bool {
	_, ok := t.known[Position{1, index / uint64(t.arities[0])}]
	return ok
}

// Open returns the nodes that opening the leaf at an index sends, bottom up. It reads whole groups
// of siblings, each once in the life of the trail.
func (t *TrailWriter) Open(index uint64, read RowReader) ([]Node, error) {
	_, sent, err := t.open(index, read)
	return sent, err
}

// OpenLeaf returns the leaf at an index, followed by what [TrailWriter.Open] returns for it, or
// nothing if the leaf is known.
func (t *TrailWriter) OpenLeaf(index uint64, read RowReader) ([]Node, error) {
	leaf, sent, err := t.open(index, read)
	if err != nil || len(sent) == 0 {
		return nil, err
	}
	return slices.Insert(sent, 0, leaf), nil
}

// open returns the leaf and its siblings; neither, if the leaf is known.
func (t *TrailWriter) open(index uint64, read RowReader) (leaf Node, sent []Node, err error) {
	if index >= t.leaves {
		return leaf, nil, fmt.Errorf("open tree: leaf %d of %d", index, t.leaves)
	}
	at := index
	for row, arity := range t.arities {
		place := int(at % uint64(arity))
		above := Position{row + 1, at / uint64(arity)}
		if _, ok := t.known[above]; ok {
			break
		}
		had := len(sent)
		// Room for the whole path at once, this node beside its siblings, and the leaf before all.
		sent = slices.Grow(sent, pathNodes(t.arities[row:])+2)[:had+arity]
		group := sent[had:]
		if err := read(row, at-uint64(place), group); err != nil {
			return leaf, nil, fmt.Errorf("open tree: leaf %d: %w", index, err)
		}
		if row == 0 {
			leaf = group[place]
		}
		sent = slices.Delete(sent, had+place, had+place+1)
		t.known[above] = struct{}{}
		at = above.Index
	}
	return leaf, sent, nil
}

// TrailReader checks the openings of a trail, each on its own.
type TrailReader[H Hasher] struct {
	hasher  H
	arities []int
	leaves  uint64
	known   map[Position]Node // nodes that hash up to the root
}

// NewTrailReader starts reading a trail over a tree of that shape, number of leaves and root.
func NewTrailReader[H Hasher](h H, s Shape, leaves uint64, root Node) (*TrailReader[H], error) {
	arities, err := s.Arities(leaves)
	if err != nil {
		return nil, err
	}
	known := map[Position]Node{{Row: len(arities)}: root}
	return &TrailReader[H]{hasher: h, arities: arities, leaves: leaves, known: known}, nil
}

// Known returns the leaf at an index if an earlier opening has shown it.
func (t *TrailReader[H]) Known(index uint64) (Node, bool) {
	node, ok := t.known[Position{0, index}]
	return node, ok
}

// Check opens the leaf at an index, taking the nodes that the opening sends from take, some at a
// time. It fails with [ErrOpening] if the leaf is not the tree's, and with the error of take or of
// the hasher; after a failure nothing of this opening counts as known.
func (t *TrailReader[H]) Check(index uint64, leaf Node, take func(n int) ([]Node, error)) error {
	if index >= t.leaves {
		return fmt.Errorf("tree path: leaf %d of %d", index, t.leaves)
	}
	groups := make([][]Node, 0, len(t.arities))
	node, at := leaf, index
	for row := 0; ; row++ {
		if want, ok := t.known[Position{row, at}]; ok {
			if node != want {
				return fmt.Errorf("tree path: leaf %d: node %d of row %d differs: %w", index, at, row, ErrOpening)
			}
			break
		}
		arity := uint64(t.arities[row])
		siblings, err := take(int(arity) - 1)
		if err != nil {
			return fmt.Errorf("tree path: leaf %d: row %d: %w", index, row, err)
		}
		place := at % arity
		group := make([]Node, 0, arity)
		group = append(append(append(group, siblings[:place]...), node), siblings[place:]...)
		if node, err = t.hasher.Hash(group); err != nil {
			return fmt.Errorf("tree path: leaf %d: hash row %d: %w", index, row, err)
		}
		groups = append(groups, group)
		at /= arity
	}
	t.learn(index, groups)
	return nil
}

// learn notes the sibling groups of an opening that held.
func (t *TrailReader[H]) learn(index uint64, groups [][]Node) {
	for row, group := range groups {
		first := index - index%uint64(len(group))
		for i, node := range group {
			t.known[Position{row, first + uint64(i)}] = node
		}
		index /= uint64(len(group))
	}
}
