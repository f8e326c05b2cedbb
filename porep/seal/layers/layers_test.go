package layers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/graph"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var porepID = porep.ID(8)

func newGraph(t testing.TB, nodes uint64) *graph.Graph {
	t.Helper()
	g, err := graph.New(porepID, nodes)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func replicaID(i int) [32]byte { return sha256.Sum256([]byte{byte(i)}) }

// plain computes layers as SPEC.md has it, one label after the other.
func plain(g *graph.Graph, replicaID [32]byte, layers int) [][]byte {
	g = g.Tabulated()
	labeler := porep.NewLabeler(replicaID)
	all := make([][]node, layers)
	out := make([][]byte, layers)
	for layer := range all {
		all[layer] = make([]node, g.Nodes())
		for v := range g.Nodes() {
			var of [graph.Degree]uint32
			var labels []node
			if g.Parents(uint32(v), &of); v > 0 {
				for _, p := range of[:graph.BaseDegree] {
					labels = append(labels, all[layer][p])
				}
				if layer > 0 {
					for _, p := range of[graph.BaseDegree:] {
						labels = append(labels, all[layer-1][p])
					}
				}
			}
			all[layer][v] = labeler.Label(uint32(layer+1), v, labels...)
			out[layer] = append(out[layer], all[layer][v][:]...)
		}
	}
	return out
}

func newEngine(t testing.TB, cfg Config) *Engine {
	t.Helper()
	e, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// sectors are directories of sectors to be labelled.
type sectors []string

func newSectors(t testing.TB, n int) sectors {
	dirs := make(sectors, n)
	for i := range dirs {
		dirs[i] = t.TempDir()
	}
	return dirs
}

func (s sectors) path(i, layer int) string {
	return filepath.Join(s[i], fmt.Sprintf("layer-%d", layer))
}

func (s sectors) lanes(layer int) []Lane {
	lanes := make([]Lane, len(s))
	for i := range lanes {
		lanes[i] = Lane{ReplicaID: replicaID(i), Path: s.path(i, layer), Previous: s.path(i, layer-1)}
	}
	return lanes
}

// label labels layers and fails the test if a sector does.
func (s sectors) label(t testing.TB, e *Engine, layers ...int) {
	t.Helper()
	for _, layer := range layers {
		for i, err := range e.Label(t.Context(), layer, s.lanes(layer)) {
			if err != nil {
				t.Fatalf("sector %d: %v", i, err)
			}
		}
	}
}

// check compares a layer's file, and that nothing else was left beside it.
func (s sectors) check(t testing.TB, i, layer int, want []byte) {
	t.Helper()
	got, err := os.ReadFile(s.path(i, layer))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("sector %d, layer %d: labels differ", i, layer)
	}
	left, err := filepath.Glob(s.path(i, layer) + ".*")
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestTogether labels some sectors in step: each gets the labels that it has alone.
func TestTogether(t *testing.T) {
	g := newGraph(t, 3001) // the last batch is not full
	const most = 16
	var want [most][][]byte
	for i := range want {
		want[i] = plain(g, replicaID(i), 2)
	}
	for _, n := range []int{1, 2, 4, 5, 7, most} {
		for _, workers := range []int{1, 2, 16} {
			for inMemory := range 3 {
				t.Run(fmt.Sprintf("sectors=%d/workers=%d/in-memory=%d", n, workers, inMemory), func(t *testing.T) {
					e := newEngine(t, Config{Graph: g, Workers: workers, Options: Options{LayersInMemory: inMemory}})
					s := newSectors(t, n)
					s.label(t, e, 1, 2)
					for i := range s {
						s.check(t, i, 1, want[i][0])
						s.check(t, i, 2, want[i][1])
					}
				})
			}
		}
	}
}

// TestOneProcessor: helpers must not starve those who label where there is one processor for all.
func TestOneProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	g := newGraph(t, 1<<13)
	s := newSectors(t, 16)
	s.label(t, newEngine(t, Config{Graph: g}), 1, 2)
	for _, i := range []int{0, 15} {
		for layer, want := range plain(g, replicaID(i), 2) {
			s.check(t, i, layer+1, want)
		}
	}
}

// TestFinish: the caller is told the digest of what stands in its place; what it could not note is
// not labelled again.
func TestFinish(t *testing.T) {
	g := newGraph(t, 1<<16) // two chunks of the digest
	var nodes uint64
	refuse := true
	s := newSectors(t, 1)
	e := newEngine(t, Config{Graph: g, Progress: func(_ int, n uint64) { nodes += n }})
	lanes := s.lanes(1)
	errNote := errors.New("cannot be noted")
	var noted [32]byte
	lanes[0].Finish = func(digest [32]byte) error {
		if refuse {
			return errNote
		}
		noted = digest
		return nil
	}
	if err := e.Label(t.Context(), 1, lanes)[0]; !errors.Is(err, errNote) {
		t.Errorf("error is %v", err)
	}
	if nodes != g.Nodes() {
		t.Errorf("progress of %d nodes, want %d", nodes, g.Nodes())
	}
	refuse = false
	if err := e.Label(t.Context(), 1, lanes)[0]; err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(lanes[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	var sums []byte
	for chunk := range slices.Chunk(content, 1<<20) {
		sum := sha256.Sum256(chunk)
		sums = append(sums, sum[:]...)
	}
	if want := sha256.Sum256(sums); noted != want {
		t.Errorf("digest is %x, want %x", noted, want)
	}
	s.check(t, 0, 1, plain(g, replicaID(0), 1)[0])
}

// stopAfter labels a layer until so many nodes of all lanes are done.
func (s sectors) stopAfter(t *testing.T, cfg Config, layer int, nodes uint64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan uint64, 1)
	done <- 0
	cfg.Progress = func(_ int, n uint64) {
		n += <-done
		if n >= nodes {
			cancel()
		}
		done <- n
	}
	for i, err := range newEngine(t, cfg).Label(ctx, layer, s.lanes(layer)) {
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("sector %d: %v", i, err)
		}
	}
}

// TestResume cancels a layer in the middle and does to the files what may happen to them: the next
// run goes on from where they are right, and the layer is the same.
func TestResume(t *testing.T) {
	g := newGraph(t, 1<<17)
	want := [][][]byte{plain(g, replicaID(0), 2), plain(g, replicaID(1), 2)}
	harm := func(f func(path string) error) func(sectors, int) error {
		return func(s sectors, layer int) error { return f(s.path(0, layer)) }
	}
	for _, c := range []struct {
		name  string
		harm  func(sectors, int) error
		least uint64 // of all nodes of sector 0 that need not be labelled again
	}{
		{"whole", harm(func(string) error { return nil }), 20_000},
		{"flipped", harm(func(path string) error { return flip(path+partSuffix, 5000) }), 0},
		{"short", harm(func(path string) error { return os.Truncate(path+partSuffix, 100) }), 0},
		{"no file", harm(func(path string) error { return os.Remove(path + partSuffix) }), 0},
		{"no marks", harm(func(path string) error { return os.Remove(path + marksSuffix) }), 0},
		{"torn marks", harm(func(path string) error { return os.Truncate(path+marksSuffix, 30) }), 0},
		{"another sector's", func(s sectors, layer int) error {
			for _, suffix := range []string{partSuffix, marksSuffix} {
				if err := copyFile(s.path(1, layer)+suffix, s.path(0, layer)+suffix); err != nil {
					return err
				}
			}
			return nil
		}, 0},
	} {
		for _, inMemory := range []int{0, 2} {
			t.Run(fmt.Sprintf("%s/in-memory=%d", c.name, inMemory), func(t *testing.T) {
				cfg := Config{Graph: g, Options: Options{LayersInMemory: inMemory}}
				s := newSectors(t, 2)
				for layer := 1; layer <= 2; layer++ {
					s.stopAfter(t, cfg, layer, 50_000)
					if err := c.harm(s, layer); err != nil {
						t.Fatal(err)
					}
					first := uint64(0) // what is known at once
					resumed := cfg
					resumed.Progress = func(lane int, n uint64) {
						if lane == 0 && first == 0 {
							first = n
						}
					}
					s.label(t, newEngine(t, resumed), layer)
					if first < c.least || c.least == 0 && first >= 20_000 {
						t.Errorf("layer %d: went on from node %d", layer, first)
					}
					s.check(t, 0, layer, want[0][layer-1])
					s.check(t, 1, layer, want[1][layer-1])
				}
			})
		}
	}
}

func flip(path string, at int64) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	var b [1]byte
	if _, err := file.ReadAt(b[:], at); err != nil {
		return err
	}
	b[0] ^= 1
	_, err = file.WriteAt(b[:], at)
	return err
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o644)
}

// TestCheckpoint: the labels since the last checkpoint are lost when what came after it is torn, and
// no more.
func TestCheckpoint(t *testing.T) {
	g := newGraph(t, 1<<19)
	cfg := Config{Graph: g, Options: Options{Checkpoint: time.Nanosecond}}
	s := newSectors(t, 1)
	s.stopAfter(t, cfg, 1, 300_000)
	noted, err := loadMarks(s.path(0, 1), marks{Version: marksVersion, ReplicaID: fmt.Sprintf("%x", replicaID(0)), Layer: 1})
	if err != nil || len(noted) != 2 || noted[0].Nodes < chunkNodes {
		t.Fatalf("marks %v, %v", noted, err)
	}
	if err := flip(s.path(0, 1)+partSuffix, int64(noted[1].Nodes*nodeSize)-1); err != nil {
		t.Fatal(err)
	}
	var first uint64
	cfg.Progress = func(_ int, n uint64) {
		if first == 0 {
			first = n
		}
	}
	s.label(t, newEngine(t, cfg), 1)
	if first != noted[0].Nodes {
		t.Errorf("went on from node %d, want %d", first, noted[0].Nodes)
	}
	s.check(t, 0, 1, plain(g, replicaID(0), 1)[0])
}

// TestMemory labels sectors of which little is kept mapped, in each of the ways there are.
func TestMemory(t *testing.T) {
	const nodes = 1 << 13
	g := newGraph(t, nodes)
	want := [][][]byte{plain(g, replicaID(0), 2), plain(g, replicaID(1), 2)}
	for name, before := range map[string]place{"layer before mapped": mapped, "layer before read": onDisk} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, Config{Graph: g, tune: func(p *plan) {
				p.window, p.batch, p.ring, p.previous = 64<<10, 32, 4, before
			}})
			s := newSectors(t, 2)
			s.label(t, e, 1, 2)
			for i := range s {
				s.check(t, i, 1, want[i][0])
				s.check(t, i, 2, want[i][1])
			}
		})
	}
}

// TestPlan chooses for sectors of 32 GiB: what is mapped grows with the memory allowed, and too
// little is refused with the least that does.
func TestPlan(t *testing.T) {
	if !canMap {
		t.Skip("layers are not mapped here")
	}
	const gib = 1 << 30
	for _, c := range []struct {
		options  Options
		sectors  int
		previous place
		window   bool
		refused  bool
	}{
		{Options{Memory: 65 * gib}, 1, held, false, false},
		{Options{Memory: 33 * gib}, 1, mapped, true, false},
		{Options{Memory: 16 * gib}, 1, onDisk, true, false},
		{Options{Memory: 48 * gib}, 2, onDisk, true, false},
		{Options{Memory: 65 * gib, LayersInMemory: 2}, 1, held, false, false},
		{Options{Memory: 33 * gib, LayersInMemory: 1}, 1, held, true, false},
		{Options{Memory: 33 * gib, LayersInMemory: 2}, 1, held, false, true},
		{Options{Memory: 1 << 20}, 1, mapped, false, true},
	} {
		cfg := Config{Options: c.options, Workers: 2}
		least := Least(c.sectors, 32*gib, c.options.LayersInMemory)
		p, err := cfg.plan(c.sectors, 32*gib, 32*gib)
		switch {
		case c.refused && (!errors.Is(err, ErrMemory) || !strings.Contains(err.Error(), fmt.Sprint(least))):
			t.Errorf("%+v, %d sectors: %v, want that %d bytes are needed", c.options, c.sectors, err, least)
		case !c.refused && (err != nil || p.previous != c.previous || p.window > 0 != c.window):
			t.Errorf("%+v, %d sectors: plan %+v: %v", c.options, c.sectors, p, err)
		}
		cfg.Memory = least
		if _, err := cfg.plan(c.sectors, 32*gib, 32*gib); err != nil {
			t.Errorf("%+v: the least does not suffice: %v", c.options, err)
		}
	}
	if _, err := New(t.Context(), Config{Options: Options{LayersInMemory: 3}}); err == nil {
		t.Error("three layers in memory accepted")
	}
}

// TestFailAlone: a sector whose disk is full, whose layer before is gone or has another size, fails
// and names the file; the others go on.
func TestFailAlone(t *testing.T) {
	g := newGraph(t, 1<<12)
	want := plain(g, replicaID(1), 2)
	s := newSectors(t, 2)
	e := newEngine(t, Config{Graph: g})
	errFull := errors.New("disk is full")
	e.reserve = func(file *os.File, size uint64) error {
		if strings.HasPrefix(file.Name(), s[0]) {
			return fmt.Errorf("%s: %w", file.Name(), errFull)
		}
		return reserve(file, size)
	}
	errs := e.Label(t.Context(), 1, s.lanes(1))
	if !errors.Is(errs[0], errFull) || !strings.Contains(errs[0].Error(), s[0]) || errs[1] != nil {
		t.Errorf("errors %v", errs)
	}
	s.check(t, 1, 1, want[0])
	e.reserve = reserve
	errs = e.Label(t.Context(), 2, s.lanes(2))
	if !errors.Is(errs[0], os.ErrNotExist) || errs[1] != nil {
		t.Errorf("errors %v", errs)
	}
	s.check(t, 1, 2, want[1])

	if err := os.WriteFile(s.path(0, 1), []byte("short"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := e.Label(t.Context(), 2, s.lanes(2)[:1])[0]
	if err == nil || !strings.Contains(err.Error(), s.path(0, 1)) || !strings.Contains(err.Error(), "5 bytes, want 131072") {
		t.Errorf("layer before is short: %v", err)
	}
}
