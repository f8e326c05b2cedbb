package merkle

import (
	"errors"
	"fmt"
	"testing"
)

// TestRebuiltReadsOnce opens leaves of a tree without two rows: each segment is read once and each
// of its nodes hashed once, however many of its leaves are opened.
func TestRebuiltReadsOnce(t *testing.T) {
	shape, leaves := Octree, uint64(1<<15)
	rows := naiveRows(t, shape, testLeaves(leaves))
	full := rowsReader(rows)
	reads := make(map[string]int)
	leafRow := func(row int, first uint64, out []Node) error {
		reads[fmt.Sprintf("%d+%d", first, len(out))]++
		return full(row, first, out)
	}
	hashes := 0
	read, err := Rebuilt(counting{&hashes}, shape, leaves, 2, leafRow, full)
	if err != nil {
		t.Fatal(err)
	}
	trail, err := NewTrailWriter(shape, leaves)
	if err != nil {
		t.Fatal(err)
	}
	indices := []uint64{700, 5, 1023, 701, 9000, 0, 512}
	o := openTrail(t, shape, rows, indices)
	var sent []Node
	for _, index := range indices {
		nodes, err := trail.OpenLeaf(index, read)
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, nodes...)
	}
	if fmt.Sprint(sent) != fmt.Sprint(o.sent) {
		t.Error("the trail differs from that of the whole tree")
	}
	if len(reads) != 3 || reads["512+512"] != 1 || reads["0+512"] != 1 || reads["8704+512"] != 1 {
		t.Errorf("segments read: %v", reads)
	}
	if hashes != 3*(64+8) {
		t.Errorf("%d hashes for three segments, want %d", hashes, 3*(64+8))
	}
}

// TestRebuiltCrosses reads runs that begin and end within segments, more than are kept.
func TestRebuiltCrosses(t *testing.T) {
	shape, leaves := Octree, uint64(1<<15)
	rows := naiveRows(t, shape, testLeaves(leaves))
	read, err := Rebuilt(sum{}, shape, leaves, 1, rowsReader(rows), rowsReader(rows))
	if err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		for row, want := range rows {
			first := uint64(len(want) / 3)
			out := make([]Node, len(want)-int(first))
			if err := read(row, first, out); err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(out) != fmt.Sprint(want[first:]) {
				t.Errorf("round %d: row %d from %d differs", round, row, first)
			}
		}
	}
	for row := range 2 {
		if err := read(row, uint64(len(rows[row])), make([]Node, 1)); err == nil {
			t.Errorf("row %d read beyond its end", row)
		}
	}
}

// TestRebuiltErrors: a failed read is not remembered, and says where it was.
func TestRebuiltErrors(t *testing.T) {
	leaves := testLeaves(512)
	rows := naiveRows(t, Octree, leaves)
	broken := errors.New("disk")
	fail := true
	read, err := Rebuilt(sum{}, Octree, 512, 1, func(row int, first uint64, out []Node) error {
		if fail {
			return broken
		}
		return rowsReader(rows)(row, first, out)
	}, rowsReader(rows))
	if err != nil {
		t.Fatal(err)
	}
	var out [1]Node
	if err := read(1, 9, out[:]); !errors.Is(err, broken) {
		t.Errorf("broken store: %v", err)
	}
	fail = false
	if err := read(1, 9, out[:]); err != nil || out[0] != rows[1][9] {
		t.Errorf("mended store: %x, %v", out[0], err)
	}
	rows[0][200] = poison
	if err := read(1, 25, out[:]); !errors.Is(err, errPoison) {
		t.Errorf("poisoned leaf: %v", err)
	}
}
