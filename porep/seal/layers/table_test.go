package layers

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/perdure/perdure/internal/sha256lanes"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/graph"
)

// TestTable: the table has the parents that are computed, and those of registered proofs have the
// published digests, or it could not be opened.
func TestTable(t *testing.T) {
	for name, g := range map[string]*graph.Graph{"2KiB": registered(t, 2<<10), "8MiB": registered(t, 8<<20), "odd": newGraph(t, 40_001)} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			table, err := OpenTable(t.Context(), dir, g, 3, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer table.Close()
			if _, ok := published[keyOf(g)]; ok != (name != "odd") {
				t.Errorf("a digest is published: %v", ok)
			}
			const run = 100
			got, want := make([][sha256lanes.Parents]uint32, run), make([][sha256lanes.Parents]uint32, run)
			for first := uint64(0); first < g.Nodes(); first += 50 * run {
				n := min(run, g.Nodes()-first)
				if err := errors.Join(table.fill(first, 2, got[:n]), computed{g.Tabulated()}.fill(first, 2, want[:n])); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got[:n], want[:n]) {
					t.Fatalf("parents of nodes from %d differ", first)
				}
			}
		})
	}
}

func registered(t *testing.T, size uint64) *graph.Graph {
	t.Helper()
	proof, err := porep.ProofOfSize(size)
	if err != nil {
		t.Fatal(err)
	}
	g, err := graph.New(porep.ID(proof), size/nodeSize)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestLabelWithTable labels along the table of a directory that two engines share.
func TestLabelWithTable(t *testing.T) {
	g := newGraph(t, 3001)
	dir := filepath.Join(t.TempDir(), "parents")
	var built uint64
	for range 2 {
		built = 0
		e := newEngine(t, Config{Graph: g, Workers: 1, Options: Options{Parents: dir}, Building: func(n uint64) { built += n }})
		s := newSectors(t, 2)
		s.label(t, e, 1, 2)
		s.check(t, 1, 2, plain(g, replicaID(1), 2)[1])
	}
	if built != 0 {
		t.Error("the table was made twice")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("in the directory: %v, %v", entries, err)
	}
}

// TestBadTable: a table that does not hold what it should is refused with what was found, and left.
func TestBadTable(t *testing.T) {
	g := newGraph(t, 3001)
	for name, c := range map[string]struct {
		harm func(path string) error
		want error
		says string
	}{
		"flipped": {func(path string) error { return flip(path, 777) }, ErrTable, "SHA-256 is "},
		"short":   {func(path string) error { return os.Truncate(path, 100) }, ErrTable, "100 bytes, want 168056"},
		"no note": {func(path string) error { return os.Remove(path + ".json") }, os.ErrNotExist, "no digest is known"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, TableName(g))
			table, err := OpenTable(t.Context(), dir, g, 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(table.Close(), c.harm(path)); err != nil {
				t.Fatal(err)
			}
			checked.Delete(path) // as in another process
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = OpenTable(t.Context(), dir, g, 1, nil)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("error is %v", err)
			}
			if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
				t.Errorf("the table was changed: %v", err)
			}
		})
	}
}
