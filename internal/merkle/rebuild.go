package merkle

import "fmt"

// keptSegments is how many segments a reader of [Rebuilt] keeps: those of the challenges of one
// sector, at some 20 kB each in an octree without two rows.
const keptSegments = 16

// Rebuilt completes a tree of which the rows 1 to discard were dropped: row 0 comes from leafRow,
// rows above discard from upper, and the dropped rows are hashed again. That is done by segments,
// the leaves under one node of row discard+1: a segment is read at once, hashed row by row as far
// as it is asked for, and kept for what is asked next, so that opening a leaf costs one read and
// hashes each node of the segment once. The reader is for one goroutine; making one costs nothing.
func Rebuilt[H Hasher](h H, s Shape, leaves uint64, discard int, leafRow, upper RowReader) (RowReader, error) {
	arities, err := s.Arities(leaves)
	if err != nil {
		return nil, err
	}
	if discard < 0 || discard >= len(arities) {
		return nil, fmt.Errorf("rebuild tree: %d rows discarded of a tree with rows 0 to %d", discard, len(arities))
	}
	rows, err := s.Rows(leaves)
	if err != nil {
		return nil, err
	}
	b := &rebuilder[H]{hasher: h, arities: arities[:discard+1], rows: rows, leafRow: leafRow}
	return func(row int, first uint64, out []Node) error {
		if row < 0 || row > discard {
			return upper(row, first, out)
		}
		return b.read(row, first, out)
	}, nil
}

// rebuilder reads the rows that are not stored.
type rebuilder[H Hasher] struct {
	hasher  H
	arities []int    // of the levels in a segment
	rows    []uint64 // nodes of each row of the tree
	leafRow RowReader
	kept    [keptSegments]segmentRows
	next    int // in kept, the place to use next
}

// segmentRows are the rows of a segment that are known, leaves first; none in an unused place.
type segmentRows struct {
	index uint64
	rows  [][]Node
}

// read fills out from as many segments as it touches.
func (b *rebuilder[H]) read(row int, first uint64, out []Node) error {
	if err := within(b.rows, 0, row, first, len(out)); err != nil {
		return fmt.Errorf("read tree: %w", err)
	}
	width := product(b.arities[row:])
	for len(out) > 0 {
		segment, err := b.segment(first/width, row)
		if err != nil {
			return err
		}
		n := copy(out, segment.rows[row][first%width:])
		first, out = first+uint64(n), out[n:]
	}
	return nil
}

// segment returns a segment, its rows known up to row.
func (b *rebuilder[H]) segment(index uint64, row int) (*segmentRows, error) {
	segment, err := b.leaves(index)
	if err != nil {
		return nil, err
	}
	for level := len(segment.rows) - 1; level < row; level++ {
		below, arity := segment.rows[level], b.arities[level]
		parents := make([]Node, len(below)/arity)
		if err := b.hasher.HashRow(arity, below, parents); err != nil {
			return nil, fmt.Errorf("rebuild row %d: segment %d: %w", level+1, index, err)
		}
		segment.rows = append(segment.rows, parents)
	}
	return segment, nil
}

// leaves returns a segment of which at least the leaves are known, reading them if it is not kept.
func (b *rebuilder[H]) leaves(index uint64) (*segmentRows, error) {
	for i := range b.kept {
		if b.kept[i].rows != nil && b.kept[i].index == index {
			return &b.kept[i], nil
		}
	}
	span := product(b.arities)
	leaves := make([]Node, span)
	if err := b.leafRow(0, index*span, leaves); err != nil {
		return nil, fmt.Errorf("read segment %d: %w", index, err)
	}
	segment := &b.kept[b.next]
	b.next = (b.next + 1) % keptSegments
	*segment = segmentRows{index: index, rows: append(make([][]Node, 0, len(b.arities)), leaves)}
	return segment, nil
}

// product is the number of nodes under one node that lies above levels of these arities.
func product(arities []int) uint64 {
	n := uint64(1)
	for _, a := range arities {
		n *= uint64(a)
	}
	return n
}
