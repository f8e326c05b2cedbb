package merkle

import "fmt"

// Position is the place of a node in a tree.
type Position struct {
	Row   int    // 0 for the leaves
	Index uint64 // place in the row
}

// Shared lists the nodes that openings of several leaves of one tree need besides the leaves, each
// once: the siblings on any of the paths that cannot be computed from the opened leaves. The
// indices must be strictly ascending. The order is row by row, leaves first, ascending in a row.
// There are at most len(indices) x sum(arity-1) of them.
func (s Shape) Shared(leaves uint64, indices []uint64) ([]Position, error) {
	arities, err := s.Arities(leaves)
	if err != nil {
		return nil, err
	}
	if err := ascending(leaves, indices); err != nil {
		return nil, err
	}
	var need []Position
	known := append([]uint64(nil), indices...)
	for row, arity := range arities {
		var parents []uint64
		for i := 0; i < len(known); {
			parent := known[i] / uint64(arity)
			for child := parent * uint64(arity); child < (parent+1)*uint64(arity); child++ {
				if i < len(known) && known[i] == child {
					i++
					continue
				}
				need = append(need, Position{row, child})
			}
			parents = append(parents, parent)
		}
		known = parents
	}
	return need, nil
}

func ascending(leaves uint64, indices []uint64) error {
	if len(indices) == 0 {
		return fmt.Errorf("shared openings: no leaf")
	}
	for i, index := range indices {
		if index >= leaves {
			return fmt.Errorf("shared openings: leaf %d of %d", index, leaves)
		}
		if i > 0 && index <= indices[i-1] {
			return fmt.Errorf("shared openings: leaf %d after leaf %d, want strictly ascending", index, indices[i-1])
		}
	}
	return nil
}

// Compress takes the plain paths of the leaves at strictly ascending indices of one tree and
// returns the nodes that [Shape.Shared] lists, in its order. The paths must have the exact form;
// that they belong to the same tree is the caller's promise.
func Compress(s Shape, leaves uint64, indices []uint64, paths []Path) ([]Node, error) {
	need, err := s.Shared(leaves, indices)
	if err != nil {
		return nil, err
	}
	if len(paths) != len(indices) {
		return nil, fmt.Errorf("shared openings: %d paths for %d leaves", len(paths), len(indices))
	}
	at := make(map[Position]Node)
	arities, err := s.Arities(leaves)
	if err != nil {
		return nil, err
	}
	for i, path := range paths {
		if err := placeSiblings(at, arities, indices[i], path); err != nil {
			return nil, fmt.Errorf("shared openings: leaf %d: %w", indices[i], err)
		}
	}
	shared := make([]Node, len(need))
	for i, p := range need {
		shared[i] = at[p]
	}
	return shared, nil
}

// placeSiblings notes where in the tree each sibling of a path stands.
func placeSiblings(at map[Position]Node, arities []int, index uint64, path Path) error {
	if len(path) != len(arities) {
		return fmt.Errorf("%d levels, want %d", len(path), len(arities))
	}
	for row, arity := range arities {
		if len(path[row]) != arity-1 {
			return fmt.Errorf("%d siblings at level %d, want %d", len(path[row]), row, arity-1)
		}
		place := index % uint64(arity)
		sibling := index - place
		for _, node := range path[row] {
			if sibling == index {
				sibling++
			}
			at[Position{row, sibling}] = node
			sibling++
		}
		index /= uint64(arity)
	}
	return nil
}

// Expand is the reverse of [Compress]: from the opened leaves at strictly ascending indices and
// the shared nodes, of which it takes exactly those that [Shape.Shared] lists, it computes the
// plain path of each leaf. Inner nodes that were left out are hashed from the opened leaves, so a
// wrong leaf also spoils the paths that run beside it; each path is then checked by [Root] against
// the trusted root. The order of the results is that of the indices.
func Expand[H Hasher](h H, s Shape, leaves uint64, indices []uint64, opened, shared []Node) ([]Path, error) {
	at, arities, err := fill(h, s, leaves, indices, opened, shared)
	if err != nil {
		return nil, err
	}
	paths := make([]Path, len(indices))
	for i, index := range indices {
		paths[i] = make(Path, len(arities))
		for row, arity := range arities {
			place := index % uint64(arity)
			siblings := make([]Node, 0, arity-1)
			for child := index - place; child < index-place+uint64(arity); child++ {
				if child != index {
					siblings = append(siblings, at[Position{row, child}])
				}
			}
			paths[i][row] = siblings
			index /= uint64(arity)
		}
	}
	return paths, nil
}

// MultiRoot computes the root that the opened leaves at strictly ascending indices and the shared
// nodes imply together, hashing each inner node once.
func MultiRoot[H Hasher](h H, s Shape, leaves uint64, indices []uint64, opened, shared []Node) (Node, error) {
	at, arities, err := fill(h, s, leaves, indices, opened, shared)
	if err != nil {
		return Node{}, err
	}
	return at[Position{len(arities), 0}], nil
}

// fill places the opened leaves and shared nodes and hashes every node on the way to the root.
func fill[H Hasher](h H, s Shape, leaves uint64, indices []uint64, opened, shared []Node) (map[Position]Node, []int, error) {
	need, err := s.Shared(leaves, indices)
	if err != nil {
		return nil, nil, err
	}
	if len(opened) != len(indices) {
		return nil, nil, fmt.Errorf("shared openings: %d leaves for %d indices", len(opened), len(indices))
	}
	if len(shared) != len(need) {
		return nil, nil, fmt.Errorf("shared openings: %d shared nodes, want %d", len(shared), len(need))
	}
	arities, err := s.Arities(leaves)
	if err != nil {
		return nil, nil, err
	}
	at := make(map[Position]Node, len(need)+len(indices)*(len(arities)+1))
	for i, p := range need {
		at[p] = shared[i]
	}
	for i, index := range indices {
		at[Position{0, index}] = opened[i]
	}
	children := make([]Node, MaxArity)
	known := indices
	for row, arity := range arities {
		var parents []uint64
		for _, index := range known {
			parent := index / uint64(arity)
			if n := len(parents); n > 0 && parents[n-1] == parent {
				continue
			}
			for i := range arity {
				children[i] = at[Position{row, parent*uint64(arity) + uint64(i)}]
			}
			node, err := h.Hash(children[:arity])
			if err != nil {
				return nil, nil, fmt.Errorf("shared openings: hash node %d of row %d: %w", parent, row+1, err)
			}
			at[Position{row + 1, parent}] = node
			parents = append(parents, parent)
		}
		known = parents
	}
	return at, arities, nil
}

// Memo is a hasher that remembers what it computed, so that checking many plain paths of one tree
// costs each distinct node once. It is not safe for concurrent use.
type Memo[H Hasher] struct {
	hasher H
	known  map[string]Node
}

// NewMemo returns an empty memory in front of a hasher.
func NewMemo[H Hasher](h H) *Memo[H] { return &Memo[H]{hasher: h, known: make(map[string]Node)} }

// Hash returns the parent of the children; see [Hasher].
func (m *Memo[H]) Hash(children []Node) (Node, error) {
	var buf [MaxArity * NodeSize]byte
	key := AppendNodes(buf[:0], children)
	if node, ok := m.known[string(key)]; ok {
		return node, nil
	}
	node, err := m.hasher.Hash(children)
	if err == nil {
		m.known[string(key)] = node
	}
	return node, err
}
