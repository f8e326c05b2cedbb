package index

import (
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/perdure/perdure/chain"
)

// TestView has readers share the view of one height, with its iterators, while
// those of the height before keep theirs.
func TestView(t *testing.T) {
	w := newWorld(t, 1000)
	for range 20 {
		w.block()
	}
	x := open(t, vfs.NewMem(), "index-test")
	follow(t, x, w.source())
	take := func() *Snapshot {
		t.Helper()
		s, err := x.Snapshot()
		must(t, err)
		return s
	}
	before := take()
	same := take()
	if before.view != same.view {
		t.Error("two snapshots of one height have a view each")
	}
	blocks := func(s *Snapshot) (n int) {
		_, err := s.Blocks(Page{Limit: maxVisits}, func(*Block) (bool, error) { n++; return true, nil })
		if err != nil {
			t.Error(err)
		}
		return n
	}
	was := blocks(before)
	if n := len(before.idle); n != 1 {
		t.Errorf("after a list %d iterators wait, want 1", n)
	}
	var all sync.WaitGroup
	for range 2 * maxIdle {
		all.Go(func() {
			if n := blocks(same); n != was {
				t.Errorf("a reader among many sees %d blocks, want %d", n, was)
			}
		})
	}
	all.Wait()
	if n := len(before.idle); n == 0 || n > maxIdle {
		t.Errorf("%d iterators wait, want 1 to %d", n, maxIdle)
	}
	must(t, same.Close())

	w.block()
	follow(t, x, w.source())
	after := take()
	if n := blocks(after); n != was+1 {
		t.Errorf("after another block a reader sees %d blocks, want %d", n, was+1)
	}
	if n := blocks(before); n != was {
		t.Errorf("who came before sees %d blocks, want %d", n, was)
	}
	if n := len(before.idle); n != 0 {
		t.Errorf("%d iterators of the past wait", n)
	}
	var g *chain.Global
	for s, want := range map[*Snapshot]chain.Height{before: before.Height, after: before.Height + 1} {
		var err error
		if g, err = s.Global(); err != nil || g.Height != want {
			t.Errorf("the global record is of height %d, want %d (%v)", g.Height, want, err)
		}
	}
	must(t, before.Close())
	if before.users != 0 {
		t.Errorf("%d users of a view that all have closed", before.users)
	}
	must(t, after.Close())
	must(t, x.Close()) // waits for whoever still has a view
}
