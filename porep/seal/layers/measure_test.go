package layers

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"github.com/perdure/perdure/internal/sha256lanes"
)

// TestMeasure labels some nodes of layer 2 over a layer before that is smaller, stops in the middle
// and goes on: the labels are those that a single run of them gives.
func TestMeasure(t *testing.T) {
	const first, end, small = 40_000, 120_000, 1000
	g := newGraph(t, 1<<17)
	s := newSectors(t, 1)
	before := bytes.Repeat([]byte{1, 2, 3, 5, 7, 11, 13, 17}, small*nodeSize/8)
	before[len(before)-1] = 99
	if err := os.WriteFile(s.path(0, 1), before, 0o644); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Graph: g, Measure: Measure{First: first, End: end, ExpanderNodes: small, Sparse: true}}
	s.stopAfter(t, cfg, 2, 30_000)

	resumed := uint64(0)
	cfg.Progress = func(_ int, n uint64) {
		if resumed == 0 {
			resumed = n
		}
	}
	if err := newEngine(t, cfg).Label(t.Context(), 2, s.lanes(2))[0]; err != nil {
		t.Fatal(err)
	}
	if resumed < 30_000-ringNodes || resumed > end-first {
		t.Errorf("went on after %d nodes", resumed)
	}
	if _, err := os.Stat(s.path(0, 2)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a part stands in the place of a layer: %v", err)
	}
	got, err := os.ReadFile(s.path(0, 2) + partSuffix)
	if err != nil {
		t.Fatal(err)
	}

	want := make([]node, g.Nodes())
	run := sha256lanes.Run{Layer: 2, First: first, Parents: make([][sha256lanes.Parents]uint32, end-first)}
	lane := sha256lanes.Lane{ReplicaID: replicaID(0), Current: want}
	fast := g.Tabulated()
	for i := range run.Parents {
		of := &run.Parents[i]
		fast.Parents(uint32(first+i), of)
		for _, p := range of[sha256lanes.BaseParents:] {
			lane.Expander = append(lane.Expander, sha256lanes.View(before)[p%small])
		}
	}
	sha256lanes.Labels(&run, []sha256lanes.Lane{lane})
	if !bytes.Equal(got, sha256lanes.Bytes(want)) {
		t.Error("labels differ")
	}
}
