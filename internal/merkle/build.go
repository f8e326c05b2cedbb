package merkle

import (
	"fmt"
	"io"
	"sync"

	"github.com/perdure/perdure/internal/sha256lanes"
)

// Leaves fills out with the leaves first, first+1, ... of a tree that is being built.
type Leaves func(first uint64, out []Node) error

// LeavesOf takes leaves from memory.
func LeavesOf(nodes []Node) Leaves {
	return func(first uint64, out []Node) error {
		if first > uint64(len(nodes)) || uint64(len(out)) > uint64(len(nodes))-first {
			return fmt.Errorf("leaves %d to %d of %d", first, first+uint64(len(out)), len(nodes))
		}
		copy(out, nodes[first:])
		return nil
	}
}

// LeavesAt takes leaves from the bytes of r, from its start.
func LeavesAt(r io.ReaderAt) Leaves {
	return func(first uint64, out []Node) error {
		buf := sha256lanes.Bytes(out)
		n, err := r.ReadAt(buf, int64(first*NodeSize))
		if n < len(buf) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("read leaves from %d: %w", first, err)
		}
		return nil
	}
}

// Runner runs job(0) to job(n-1), in any order and on as many cores as it likes, waits for those
// that it started and returns an error of one of them, or another reason why not all were run.
type Runner func(n int, job func(i int) error) error

// InOrder is the Runner that runs one job after the other and stops at the first error.
func InOrder(n int, job func(i int) error) error {
	for i := range n {
		if err := job(i); err != nil {
			return err
		}
	}
	return nil
}

// segmentNodes bounds the leaves of one job of Build: enough to make a job worth starting, few
// enough that its working set stays in a core's cache.
const segmentNodes = 1 << 12

// segments are the nodes of jobs of Build that ended, for those that start.
var segments = sync.Pool{New: func() any { return new([segmentNodes]Node) }}

// Build computes a tree over leaves and returns its root. Every leaf is asked for once, every row,
// leaves included, is handed to write in pieces, and nothing is read back; write may be nil. Work
// is cut into segments that hang under one inner node each; run runs the segments, so leaves and
// write are called concurrently if run is concurrent. Memory is one segment a running job and one
// node for each segment.
func Build[H Hasher](h H, s Shape, leaves uint64, from Leaves, write RowWriter, run Runner) (Node, error) {
	arities, err := s.Arities(leaves)
	if err != nil {
		return Node{}, err
	}
	if write == nil {
		write = func(int, uint64, []Node) error { return nil }
	}
	for row, width := 0, leaves; ; {
		levels, span := segment(arities[row:])
		tops := make([]Node, width/span)
		first := row == 0
		err := run(len(tops), func(i int) error {
			buf := segments.Get().(*[segmentNodes]Node)
			defer segments.Put(buf)
			nodes := buf[:span]
			if err := from(uint64(i)*span, nodes); err != nil {
				return fmt.Errorf("build tree: %w", err)
			}
			if first {
				if err := write(0, uint64(i)*span, nodes); err != nil {
					return fmt.Errorf("build tree: %w", err)
				}
			}
			top, err := buildSegment(h, arities[row:row+levels], row, uint64(i), nodes, write)
			tops[i] = top
			return err
		})
		if err != nil {
			return Node{}, err
		}
		row, width, from = row+levels, uint64(len(tops)), LeavesOf(tops)
		if width == 1 {
			return tops[0], nil
		}
	}
}

// segment says how many of the levels a job covers, and the nodes at its foot.
func segment(arities []int) (levels int, span uint64) {
	span = 1
	for _, a := range arities {
		if levels > 0 && span*uint64(a) > segmentNodes {
			break
		}
		span *= uint64(a)
		levels++
	}
	return levels, span
}

// buildSegment hashes the nodes of a segment up to its one top node, writing each row above them.
// The segment is the index-th of its row.
func buildSegment[H Hasher](h H, arities []int, row int, index uint64, nodes []Node, write RowWriter) (Node, error) {
	for level, arity := range arities {
		var err error
		if nodes, err = hashRow(h, arity, nodes); err != nil {
			return Node{}, fmt.Errorf("build tree: hash row %d of segment %d: %w", row+level+1, index, err)
		}
		if err := write(row+level+1, index*uint64(len(nodes)), nodes); err != nil {
			return Node{}, fmt.Errorf("build tree: %w", err)
		}
	}
	return nodes[0], nil
}
