package merkle

import (
	"errors"
	"io"
	"testing"

	"pgregory.net/rapid"
)

// takeFrom hands out nodes in turn and counts what is left.
func takeFrom(nodes *[]Node) func(n int) ([]Node, error) {
	return func(n int) ([]Node, error) {
		if len(*nodes) < n {
			return nil, io.ErrUnexpectedEOF
		}
		out := (*nodes)[:n]
		*nodes = (*nodes)[n:]
		return out, nil
	}
}

func rowsReader(rows [][]Node) RowReader {
	return func(row int, first uint64, out []Node) error {
		copy(out, rows[row][first:])
		return nil
	}
}

var trailShapes = []struct {
	shape  Shape
	leaves uint64
}{
	{Binary, 64}, {Octree, 8}, {Octree, 64}, {Octree, 512},
	{Shape{8, 2, 0}, 128}, {Shape{8, 8, 0}, 512}, {Shape{8, 8, 2}, 1024},
}

// TestTrail opens random leaves, with repetitions, and flips every sent node in
// turn: the opening that sent it must be the first that fails.
func TestTrail(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tree := rapid.SampledFrom(trailShapes).Draw(rt, "tree")
		leaves := testLeaves(tree.leaves)
		rows := naiveRows(t, tree.shape, leaves)
		root := rows[len(rows)-1][0]
		indices := rapid.SliceOfN(rapid.Uint64Range(0, tree.leaves-1), 1, 12).Draw(rt, "indices")

		w, err := NewTrailWriter(tree.shape, tree.leaves)
		if err != nil {
			rt.Fatal(err)
		}
		var sent []Node
		ends := make([]int, len(indices))
		for i, index := range indices {
			nodes, err := w.Open(index, rowsReader(rows))
			if err != nil {
				rt.Fatal(err)
			}
			if !w.Known(index) {
				rt.Fatalf("leaf %d is not known after its opening", index)
			}
			sent = append(sent, nodes...)
			ends[i] = len(sent)
		}
		seen := make(map[Node]bool)
		for _, n := range sent {
			if seen[n] {
				rt.Fatal("a node was sent twice")
			}
			seen[n] = true
		}

		if failed, left := readTrail(rt, tree.shape, root, leaves, indices, sent); failed >= 0 || left != 0 {
			rt.Fatalf("opening %d failed, %d nodes left", failed, left)
		}
		flip := rapid.IntRange(0, len(sent)-1).Draw(rt, "flip")
		bad := append([]Node(nil), sent...)
		bad[flip][flip%NodeSize] ^= 1 << (flip % 8)
		owner := 0
		for ends[owner] <= flip {
			owner++
		}
		if failed, _ := readTrail(rt, tree.shape, root, leaves, indices, bad); failed != owner {
			rt.Fatalf("node %d belongs to opening %d, failed at %d", flip, owner, failed)
		}
		if failed, _ := readTrail(rt, tree.shape, root, leaves, indices, sent[:flip]); failed != owner {
			rt.Fatalf("cut at node %d of opening %d, failed at %d", flip, owner, failed)
		}
	})
}

// readTrail returns the first opening that fails, or -1, and the nodes left.
func readTrail(t *rapid.T, s Shape, root Node, leaves []Node, indices []uint64, sent []Node) (failed, left int) {
	r, err := NewTrailReader(sum{}, s, uint64(len(leaves)), root)
	if err != nil {
		t.Fatal(err)
	}
	for i, index := range indices {
		if err := r.Check(index, leaves[index], takeFrom(&sent)); err != nil {
			if !errors.Is(err, ErrOpening) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatal(err)
			}
			return i, len(sent)
		}
		if leaf, ok := r.Known(index); !ok || leaf != leaves[index] {
			t.Fatalf("leaf %d is not known after its opening", index)
		}
	}
	return -1, len(sent)
}

func TestTrailRefuses(t *testing.T) {
	leaves := testLeaves(64)
	rows := naiveRows(t, Octree, leaves)
	root := rows[len(rows)-1][0]
	if _, err := NewTrailReader(sum{}, Octree, 63, root); err == nil {
		t.Error("reader of a tree that cannot be")
	}
	if _, err := NewTrailWriter(Octree, 63); err == nil {
		t.Error("writer of a tree that cannot be")
	}
	w, _ := NewTrailWriter(Octree, 64)
	if _, err := w.Open(64, rowsReader(rows)); err == nil {
		t.Error("leaf out of range written")
	}
	sent, err := w.Open(5, rowsReader(rows))
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewTrailReader(sum{}, Octree, 64, root)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Check(64, leaves[5], takeFrom(&sent)); err == nil {
		t.Error("leaf out of range accepted")
	}
	// A wrong leaf fails, leaves nothing known, and the right one still passes.
	again := append([]Node(nil), sent...)
	if err := r.Check(5, leaves[6], takeFrom(&again)); !errors.Is(err, ErrOpening) {
		t.Errorf("wrong leaf: %v", err)
	}
	if _, ok := r.Known(4); ok {
		t.Error("a failed opening taught its siblings")
	}
	if err := r.Check(5, leaves[5], takeFrom(&sent)); err != nil {
		t.Error(err)
	}
	// Its sibling is known now: right without any node, wrong at once.
	var none []Node
	if err := r.Check(6, leaves[6], takeFrom(&none)); err != nil {
		t.Error(err)
	}
	if err := r.Check(7, leaves[6], takeFrom(&none)); !errors.Is(err, ErrOpening) {
		t.Errorf("wrong known leaf: %v", err)
	}
	if err := r.Check(9, poison, takeFrom(&none)); err == nil {
		t.Error("opening without nodes accepted")
	}
	bad := make([]Node, 14)
	if err := r.Check(9, poison, takeFrom(&bad)); !errors.Is(err, errPoison) {
		t.Errorf("poisoned leaf: %v", err)
	}
}

// FuzzTrail feeds a trail with arbitrary nodes: none may crash the reader, and an opening that it
// accepts shows the true leaf and takes exactly the nodes that the writer sends.
func FuzzTrail(f *testing.F) {
	leaves := testLeaves(64)
	rows := naiveRows(f, Octree, leaves)
	f.Add([]byte{3, 1, 9, 40}, flat(rows))
	f.Add([]byte{5}, AppendNodes(AppendNodes(nil, leaves[5:6]), append(append(leaves[:5:5], leaves[6:8]...), rows[1][1:]...)))
	f.Fuzz(func(t *testing.T, picks, data []byte) {
		nodes, _, err := ParseNodes(data, len(data)/NodeSize)
		if err != nil {
			t.Fatal(err)
		}
		r, err := NewTrailReader(sum{}, Octree, 64, rows[2][0])
		if err != nil {
			t.Fatal(err)
		}
		w, err := NewTrailWriter(Octree, 64)
		if err != nil {
			t.Fatal(err)
		}
		for _, pick := range picks {
			if len(nodes) == 0 {
				return
			}
			leaf := nodes[0]
			nodes = nodes[1:]
			before := nodes
			if r.Check(uint64(pick), leaf, takeFrom(&nodes)) != nil {
				return
			}
			if leaf != leaves[pick] {
				t.Fatalf("a false leaf %d shown", pick)
			}
			sent, err := w.Open(uint64(pick), rowsReader(rows))
			if err != nil {
				t.Fatal(err)
			}
			if taken := len(before) - len(nodes); taken != len(sent) {
				t.Fatalf("leaf %d: %d nodes taken, %d sent", pick, taken, len(sent))
			}
			for i := range sent {
				if sent[i] != before[i] {
					t.Fatalf("leaf %d: node %d is not what is sent", pick, i)
				}
			}
		}
	})
}
