package merkle

import "fmt"

// MaxArity is the largest arity that a level may have.
const MaxArity = 64

// Shape gives the arities of a tree's levels. Base is the arity of the lowest levels, however many
// there are; Sub and Top, if not zero, are the arities of one further level each above them, Sub
// below Top. An octree is {8, 0, 0}, a binary tree {2, 0, 0}; sectors of 32 GiB have {8, 8, 0} and
// sectors of 64 GiB {8, 8, 2}.
type Shape struct{ Base, Sub, Top int }

// Binary is the shape of trees over data, Octree the simplest shape of trees over sealed sectors.
var (
	Binary = Shape{Base: 2}
	Octree = Shape{Base: 8}
)

// Arities returns the arity of each level of a tree with that many leaves, leaves upward: the
// entry i is the number of children that a node of row i+1 has. It fails unless the leaves fill
// such a tree exactly with at least one base level.
func (s Shape) Arities(leaves uint64) ([]int, error) {
	if s.Base < 2 || s.Base > MaxArity || bad(s.Sub) || bad(s.Top) || (s.Sub == 0 && s.Top != 0) {
		return nil, fmt.Errorf("tree shape %v: not an arity from 2 to %d for each level", s, MaxArity)
	}
	var upper []int
	segment := leaves
	for _, a := range []int{s.Sub, s.Top} {
		if a == 0 {
			continue
		}
		if segment%uint64(a) != 0 {
			return nil, s.misfit(leaves)
		}
		segment /= uint64(a)
		upper = append(upper, a)
	}
	var all []int
	for ; segment > 1; segment /= uint64(s.Base) {
		if segment%uint64(s.Base) != 0 {
			return nil, s.misfit(leaves)
		}
		all = append(all, s.Base)
	}
	if segment == 0 || len(all) == 0 {
		return nil, s.misfit(leaves)
	}
	return append(all, upper...), nil
}

// bad says that an optional level's arity is neither absent nor usable.
func bad(arity int) bool { return arity != 0 && (arity < 2 || arity > MaxArity) }

func (s Shape) misfit(leaves uint64) error {
	return fmt.Errorf("tree shape %v: %d leaves do not fill it", s, leaves)
}

// Rows returns the number of nodes in each row, leaves first; the last is 1, the root.
func (s Shape) Rows(leaves uint64) ([]uint64, error) {
	arities, err := s.Arities(leaves)
	if err != nil {
		return nil, err
	}
	rows := make([]uint64, 1, len(arities)+1)
	rows[0] = leaves
	for _, a := range arities {
		leaves /= uint64(a)
		rows = append(rows, leaves)
	}
	return rows, nil
}

// StoredSize returns the bytes that the rows from firstRow up to the root take when stored.
func (s Shape) StoredSize(leaves uint64, firstRow int) (uint64, error) {
	rows, err := s.Rows(leaves)
	if err != nil {
		return 0, err
	}
	if firstRow < 0 || firstRow >= len(rows) {
		return 0, fmt.Errorf("stored rows: first row %d of a tree with rows 0 to %d", firstRow, len(rows)-1)
	}
	var nodes uint64
	for _, n := range rows[firstRow:] {
		nodes += n
	}
	return nodes * NodeSize, nil
}

// pathNodes is the number of siblings on a path through levels of these arities.
func pathNodes(arities []int) int {
	n := 0
	for _, a := range arities {
		n += a - 1
	}
	return n
}
