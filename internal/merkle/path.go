package merkle

import "fmt"

// Path is the opening of one leaf without the leaf: for each level, bottom up, the siblings of the
// node on the way to the root, in order, the node's own place left out: arity-1 nodes a level.
type Path = [][]Node

// Root computes the root that a leaf at an index implies by its path, hashing every level again.
// The path must have exactly the levels and siblings that the shape asks for. The caller compares
// the result with the root that it trusts.
func Root[H Hasher](h H, s Shape, leaves, index uint64, leaf Node, path Path) (Node, error) {
	arities, err := s.Arities(leaves)
	if err != nil {
		return Node{}, err
	}
	if err := checkPath(arities, leaves, index, path); err != nil {
		return Node{}, err
	}
	children := make([]Node, 0, MaxArity)
	node := leaf
	for level, arity := range arities {
		place := index % uint64(arity)
		children = append(children[:0], path[level][:place]...)
		children = append(children, node)
		children = append(children, path[level][place:]...)
		if node, err = h.Hash(children); err != nil {
			return Node{}, fmt.Errorf("tree path: hash level %d: %w", level, err)
		}
		index /= uint64(arity)
	}
	return node, nil
}

// checkPath checks the form of a path: a leaf of the tree, as many levels, and at each the siblings
// that its arity asks for.
func checkPath(arities []int, leaves, index uint64, path Path) error {
	if index >= leaves {
		return fmt.Errorf("tree path: leaf %d of %d", index, leaves)
	}
	if len(path) != len(arities) {
		return fmt.Errorf("tree path: %d levels, want %d", len(path), len(arities))
	}
	for level, arity := range arities {
		if len(path[level]) != arity-1 {
			return fmt.Errorf("tree path: %d siblings at level %d, want %d", len(path[level]), level, arity-1)
		}
	}
	return nil
}

// Open reads the leaf at an index and its path.
func Open(s Shape, leaves, index uint64, read RowReader) (Node, Path, error) {
	arities, err := s.Arities(leaves)
	if err != nil {
		return Node{}, nil, err
	}
	if index >= leaves {
		return Node{}, nil, fmt.Errorf("open tree: leaf %d of %d", index, leaves)
	}
	var leaf Node
	path := make(Path, len(arities))
	group := make([]Node, MaxArity)
	for row, arity := range arities {
		place := index % uint64(arity)
		if err := read(row, index-place, group[:arity]); err != nil {
			return Node{}, nil, fmt.Errorf("open tree: leaf %d: %w", index, err)
		}
		if row == 0 {
			leaf = group[place]
		}
		siblings := make([]Node, 0, arity-1)
		siblings = append(siblings, group[:place]...)
		path[row] = append(siblings, group[place+1:arity]...)
		index /= uint64(arity)
	}
	return leaf, path, nil
}
