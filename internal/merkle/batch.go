package merkle

import (
	"fmt"
	"slices"
)

// A Batch checks the openings of many leaves, of one or several trees, as [TrailReader] and [Root]
// do one after the other, but hashes those together that do not wait for one another. That works
// because the nodes that an opening sends follow from the indices alone: all openings are taken
// apart first, then hashed, and at last every node that was shown or computed more than once is
// compared. Its verdict is that of the openings one by one; it does not say which of them is wrong.
type Batch[H Hasher] struct {
	hasher H
	climbs []*climb
	equal  [][2]*Node // nodes that must be the same
}

// climb is the way from a leaf to the first node above it that is known without it.
type climb struct {
	at       uint64
	arities  []int  // of the levels to go
	siblings []Node // of all levels to go, bottom up
	nodes    []Node // the leaf, then the nodes that were computed
}

// NewBatch returns an empty batch.
func NewBatch[H Hasher](h H) *Batch[H] { return &Batch[H]{hasher: h} }

// BatchTree is one tree of a batch, with the openings that belong to it.
type BatchTree[H Hasher] struct {
	batch   *Batch[H]
	arities []int
	leaves  uint64
	root    *Node
	known   []families // of each row
}

// families are the groups of siblings of a row that openings have shown. They are so few that
// looking through them is faster than hashing a key.
type families []family

// family is a group of siblings: one that was computed, at a place among those that were sent.
type family struct {
	parent uint64 // place in the row above
	own    *Node
	place  int
	sent   []Node
}

// of returns the group with that parent, or nil.
func (f families) of(parent uint64) *family {
	for i := range f {
		if f[i].parent == parent {
			return &f[i]
		}
	}
	return nil
}

// child returns the node at a place in the group.
func (f *family) child(place int) *Node {
	switch {
	case place < f.place:
		return &f.sent[place]
	case place > f.place:
		return &f.sent[place-1]
	}
	return f.own
}

// Tree adds a tree of that shape, number of leaves and root.
func (b *Batch[H]) Tree(s Shape, leaves uint64, root Node) (*BatchTree[H], error) {
	arities, err := s.Arities(leaves)
	if err != nil {
		return nil, err
	}
	return &BatchTree[H]{batch: b, arities: arities, leaves: leaves, root: &root, known: make([]families, len(arities))}, nil
}

// Known returns the leaf at an index if an earlier opening has shown it. A leaf that is still to be
// filled in is not to be read before it is.
func (t *BatchTree[H]) Known(index uint64) (*Node, bool) {
	if index >= t.leaves {
		return nil, false
	}
	return t.node(0, index)
}

// node returns a node that is known: the root, or one of a group that an opening has shown.
func (t *BatchTree[H]) node(row int, at uint64) (*Node, bool) {
	if row == len(t.arities) {
		return t.root, true
	}
	arity := uint64(t.arities[row])
	group := t.known[row].of(at / arity)
	if group == nil {
		return nil, false
	}
	return group.child(int(at % arity)), true
}

// Open adds the opening of the leaf at an index as a trail sends it, taking its siblings from take,
// all at a time. The leaf is to be filled in where the result points, before [Batch.Check].
func (t *BatchTree[H]) Open(index uint64, take func(n int) ([]Node, error)) (*Node, error) {
	if index >= t.leaves {
		return nil, fmt.Errorf("tree path: leaf %d of %d", index, t.leaves)
	}
	levels, top := t.unknown(index)
	arities := t.arities[:levels]
	siblings, err := take(pathNodes(arities))
	if err != nil {
		return nil, fmt.Errorf("tree path: leaf %d: %w", index, err)
	}
	c := t.climb(index, arities, siblings)
	t.batch.equal = append(t.batch.equal, [2]*Node{&c.nodes[levels], top})
	return &c.nodes[0], nil
}

// OpenPath adds the opening of the leaf at an index by its whole path, in the form that [Root]
// asks for. Where the path shows nodes that others have shown it is compared with them, which
// gives the same verdict as hashing them again.
func (t *BatchTree[H]) OpenPath(index uint64, leaf Node, path Path) error {
	if err := checkPath(t.arities, t.leaves, index, path); err != nil {
		return err
	}
	levels, top := t.unknown(index)
	siblings := make([]Node, 0, pathNodes(t.arities[:levels]))
	for _, level := range path[:levels] {
		siblings = append(siblings, level...)
	}
	c := t.climb(index, t.arities[:levels], siblings)
	c.nodes[0] = leaf
	t.batch.equal = append(t.batch.equal, [2]*Node{&c.nodes[levels], top})
	at := index / product(t.arities[:levels])
	for row := levels; row < len(path); row++ {
		arity := uint64(t.arities[row])
		group := t.known[row].of(at / arity)
		for i := range path[row] {
			place := i
			if place >= int(at%arity) {
				place++
			}
			t.batch.equal = append(t.batch.equal, [2]*Node{&path[row][i], group.child(place)})
		}
		at /= arity
	}
	return nil
}

// unknown returns how many levels lead from a leaf to the first node that is known, and that node.
func (t *BatchTree[H]) unknown(index uint64) (levels int, top *Node) {
	for row, at := 0, index; ; row++ {
		if node, ok := t.node(row, at); ok {
			return row, node
		}
		at /= uint64(t.arities[row])
	}
}

// climb adds a way up from a leaf and makes the groups on it known.
func (t *BatchTree[H]) climb(index uint64, arities []int, siblings []Node) *climb {
	c := &climb{at: index, arities: arities, siblings: siblings, nodes: make([]Node, len(arities)+1)}
	t.batch.climbs = append(t.batch.climbs, c)
	for row, arity := range arities {
		place := int(index % uint64(arity))
		index /= uint64(arity)
		if t.known[row] == nil {
			t.known[row] = make(families, 0, lanes)
		}
		t.known[row] = append(t.known[row], family{parent: index, own: &c.nodes[row], place: place, sent: siblings[:arity-1]})
		siblings = siblings[arity-1:]
	}
	return c
}

const (
	// lanes is the number of hashes that hashers do best together, or a multiple of it.
	lanes = 8
	// waveClimbs bounds the hashes of one call.
	waveClimbs = 8 * lanes
)

// Check hashes all openings and reports whether every one leads to its root. It fails with
// [ErrOpening] if one does not, and with the error of the hasher if one has a node that is none.
// A batch is checked once.
func (b *Batch[H]) Check() error {
	// Those with the most levels to go are hashed first, which keeps the lanes full to the end.
	var waiting [][]*climb
	for _, c := range b.climbs {
		for len(waiting) <= len(c.arities) {
			waiting = append(waiting, nil)
		}
		waiting[len(c.arities)] = append(waiting[len(c.arities)], c)
	}
	var children []Node
	parents := make([]Node, min(waveClimbs, len(b.climbs)))
	for wave := nextWave(waiting); len(wave) > 0; wave = nextWave(waiting) {
		arity := wave[0].arities[0]
		children = slices.Grow(children[:0], len(wave)*arity)[:len(wave)*arity]
		for i, c := range wave {
			c.gather(children[i*arity : (i+1)*arity])
		}
		if err := b.hasher.HashRow(arity, children, parents[:len(wave)]); err != nil {
			return fmt.Errorf("tree paths: %w", err)
		}
		for i, c := range wave {
			c.rise(parents[i])
			waiting[len(c.arities)] = append(waiting[len(c.arities)], c)
		}
	}
	for _, pair := range b.equal {
		if *pair[0] != *pair[1] {
			return fmt.Errorf("tree paths: %w", ErrOpening)
		}
	}
	return nil
}

// nextWave takes climbs whose next levels have the same arity out of those that wait, which are
// sorted by the number of levels to go: as many as go as far as any, and if these do not fill the
// lanes then others as well.
func nextWave(waiting [][]*climb) []*climb {
	var wave []*climb
	for togo := len(waiting) - 1; togo > 0 && len(wave) < lanes; togo-- {
		room := waveClimbs
		if len(wave) > 0 {
			room = lanes - len(wave)
		} else if n := len(waiting[togo]); n >= lanes {
			room = min(room, n-n%lanes)
		}
		left := waiting[togo][:0]
		for _, c := range waiting[togo] {
			if room > 0 && (len(wave) == 0 || c.arities[0] == wave[0].arities[0]) {
				wave = append(wave, c)
				room--
			} else {
				left = append(left, c)
			}
		}
		waiting[togo] = left
	}
	return wave
}

// own is the node that the climb has come to.
func (c *climb) own() *Node { return &c.nodes[len(c.nodes)-1-len(c.arities)] }

// gather fills group with the children of the next node on the climb.
func (c *climb) gather(group []Node) {
	place := int(c.at % uint64(len(group)))
	copy(group, c.siblings[:place])
	group[place] = *c.own()
	copy(group[place+1:], c.siblings[place:])
}

// rise notes the next node.
func (c *climb) rise(parent Node) {
	arity := c.arities[0]
	c.at /= uint64(arity)
	c.siblings, c.arities = c.siblings[arity-1:], c.arities[1:]
	*c.own() = parent
}
