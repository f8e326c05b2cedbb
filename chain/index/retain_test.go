package index

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// keys are those of all rows but the tip.
func keys(t *testing.T, x *Index) map[string]bool {
	t.Helper()
	it, err := x.current().db.NewIter(&pebble.IterOptions{})
	must(t, err)
	defer it.Close()
	out := map[string]bool{}
	for it.First(); it.Valid(); it.Next() {
		if string(it.Key()) != string(tipKey) {
			out[string(it.Key())] = true
		}
	}
	return out
}

// endChannel commits a block that ends a channel.
func (w *world) endChannel(id uint64) {
	w.t.Helper()
	u := w.update(w.store.View().Height() + 1)
	writes(u, chain.ChannelKey(id), nil)
	u.Events = []consensus.Event{{Kind: consensus.EventChannelCollected, Channel: id}}
	_, err := w.store.Stage(u)
	must(w.t, err)
	must(w.t, w.store.Commit())
}

// TestRetention keeps ten heights of history, and fewer later: the rows are
// those of an index that was made where the history starts.
func TestRetention(t *testing.T) {
	w := newWorld(t, 1000)
	x := open(t, vfs.NewMem(), "index-test")
	x.Keep(10)
	compare := func(kept chain.Height) {
		t.Helper()
		follow(t, x, w.source())
		first, tip, _ := x.Tip()
		if tip-first+1 != kept {
			t.Errorf("history from %d to %d, want %d heights", first, tip, kept)
		}
		fresh := open(t, vfs.NewMem(), "index-test")
		tree, err := w.store.Export(first - 1)
		must(t, err)
		must(t, fresh.Scan(t.Context(), tree))
		must(t, tree.Close())
		follow(t, fresh, w.source())
		have, want := keys(t, x), keys(t, fresh)
		for k := range have {
			if !want[k] && !strings.ContainsRune("kvfr", rune(k[0])) { // sums outlive what they sum up
				t.Errorf("row %c %x is left", k[0], k[1:])
			}
		}
		for k := range want {
			if !have[k] {
				t.Errorf("row %c %x is missing", k[0], k[1:])
			}
		}
		must(t, fresh.Close())
	}
	for range 30 {
		w.block()
	}
	compare(10)
	w.compare(x, 21)
	w.endChannel(2)
	for range 3 {
		w.block()
	}
	compare(10)
	for range 9 {
		w.block()
	}
	compare(10)
	x.Keep(4)
	w.block()
	compare(4)
	if x.Size() == 0 {
		t.Error("the index takes no space")
	}
	must(t, x.Compact(t.Context()))
	compare(4)
	must(t, x.Close())
}

// TestRolledBack follows a store that is one block behind: if the block comes
// out the same again, the history stays; if not, the index is made anew.
func TestRolledBack(t *testing.T) {
	for _, same := range []bool{true, false} {
		w := newWorld(t, 1000)
		for range 6 {
			w.block()
		}
		x := open(t, vfs.NewMem(), "index-test")
		follow(t, x, w.source())
		raw, err := w.store.Update(6)
		must(t, err)
		must(t, w.store.Rollback())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- x.Run(ctx, w.source()) }()
		u := new(consensus.Update)
		must(t, chain.Decode(raw, u))
		if !same {
			u.Time++
		}
		_, err = w.store.Stage(u)
		must(t, err)
		must(t, w.store.Commit())
		w.block()
		for {
			if _, h, ok := x.Tip(); ok && h == 7 {
				break
			}
			x.Wait(ctx, 7)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		look(t, x, func(s *Snapshot) {
			b, err := s.Block(6)
			must(t, err)
			if b == nil || b.Time != u.Time {
				t.Errorf("block 6 is %+v, want time %d", b, u.Time)
			}
		})
		must(t, x.Close())
	}
}
