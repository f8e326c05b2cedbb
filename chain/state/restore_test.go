package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// exported is the snapshot of a height.
func exported(t interface{ Fatal(...any) }, s *Store, h chain.Height) []byte {
	e, err := s.Export(h)
	if err != nil {
		t.Fatal(err)
	}
	var car bytes.Buffer
	if err := errors.Join(e.Write(context.Background(), &car), e.Close()); err != nil {
		t.Fatal(err)
	}
	return car.Bytes()
}

// restored puts a snapshot into a new store, some bytes at a time.
func restored(t interface{ Fatal(...any) }, car []byte, h chain.Height, appHash []byte, retention, step int) *Store {
	s, err := Open(Config{Dir: "db", Params: testParams(uint64(retention)), FS: vfs.NewMem(), Cache: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Restore(h, appHash)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{r}, struct{ io.Reader }{bytes.NewReader(car)}, make([]byte, step)); err != nil {
		t.Fatal(err)
	}
	if err := r.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := r.Abort(); err != nil { // too late: nothing happens
		t.Fatal(err)
	}
	return s
}

// TestRestore takes snapshots of random states: the copy has the same app
// hash, records and book, goes on with the same blocks to the same app hashes,
// and counts references right: nothing is lost or left while heights are pruned.
func TestRestore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const retention = 3
		s, err := Open(Config{Dir: "db", Params: testParams(retention), FS: vfs.NewMem(), Cache: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		history := []records{{}}
		updates := []*consensus.Update{update(t, records{}, history[0], 0)}
		if _, err := s.Genesis(updates[0]); err != nil {
			t.Fatal(err)
		}
		grow := func() {
			h := len(history)
			next := maps.Clone(history[h-1])
			for range rapid.IntRange(0, 12).Draw(t, "changes") {
				k := drawKey(t)
				if next[k] != nil && rapid.Bool().Draw(t, "delete") {
					delete(next, k)
				} else {
					next[k] = drawValue(t)
				}
			}
			u := update(t, history[h-1], next, chain.Height(h))
			u.Receipts = []consensus.Receipt{{Hash: [32]byte{byte(h)}, Error: "for people"}}
			u.Events = []consensus.Event{{Reason: "for people"}}
			updates = append(updates, u)
			history = append(history, next)
			apply(t, s, u)
		}
		for range rapid.IntRange(1, 6).Draw(t, "before") {
			grow()
		}
		at := chain.Height(rapid.IntRange(int(s.Oldest()), len(history)-1).Draw(t, "at"))
		tree, err := s.At(at)
		if err != nil {
			t.Fatal(err)
		}
		car := exported(t, s, at)
		c := restored(t, car, at, tree.AppHash(), retention, rapid.IntRange(1, 4096).Draw(t, "step"))
		defer c.Close()
		if !bytes.Equal(c.View().AppHash(), tree.AppHash()) || c.View().Height() != at || c.Oldest() != at {
			t.Fatal(fmt.Sprintf("copy is at height %d, oldest %d, app hash %x", c.View().Height(), c.Oldest(), c.View().AppHash()))
		}
		check(t, &c.View().Tree, history[at])
		if !bytes.Equal(exported(t, c, at), car) {
			t.Fatal("the copy's snapshot is another one")
		}
		if at > 0 {
			if where, ok, err := c.Locate(chain.Hash{byte(at)}); err != nil || !ok || where.Height != at {
				t.Fatal(fmt.Sprintf("receipt of the snapshot's height: %v, %v, %v", where, ok, err))
			}
		}
		for range rapid.IntRange(0, 6).Draw(t, "after") {
			grow()
		}
		for h := int(at) + 1; h < len(history); h++ {
			hash := apply(t, c, updates[h])
			if tree, err := s.At(chain.Height(h)); err == nil && !bytes.Equal(tree.AppHash(), hash) {
				t.Fatal(fmt.Sprintf("height %d of the copy has another app hash", h))
			}
			if have, want := stored(t, c), reached(t, c); !maps.Equal(have, want) {
				t.Fatal(fmt.Sprintf("%d blocks are stored, %d are reached", len(have), len(want)))
			}
		}
		check(t, &c.View().Tree, history[len(history)-1])
	})
}

// TestExportOfPrunedHeight takes a snapshot while its height is pruned.
func TestExportOfPrunedHeight(t *testing.T) {
	updates := world(t, 12)
	s := openMem(t, vfs.NewMem(), 3)
	defer s.Close()
	for _, u := range updates[:5] {
		if u.Height == 0 {
			if _, err := s.Genesis(u); err != nil {
				t.Fatal(err)
			}
			continue
		}
		apply(t, s, u)
	}
	hash, want := s.View().AppHash(), exported(t, s, 4)
	e, err := s.Export(4)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range updates[5:] {
		apply(t, s, u)
	}
	if _, err := s.At(4); !errors.Is(err, ErrPruned) {
		t.Fatalf("height 4 is not pruned: %v", err)
	}
	var car bytes.Buffer
	if err := errors.Join(e.Write(t.Context(), &car), e.Close()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(car.Bytes(), want) || !bytes.Equal(e.AppHash, hash) {
		t.Error("the snapshot of a pruned height is another one")
	}
	if _, err := s.Export(4); !errors.Is(err, ErrPruned) {
		t.Errorf("export of a pruned height: %v", err)
	}
}

// empty fails if a database holds anything.
func empty(t *testing.T, s *Store) {
	t.Helper()
	it, err := s.db.NewIter(&pebble.IterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	if it.First() {
		t.Fatalf("key %x is left", it.Key())
	}
	if s.View() != nil {
		t.Fatal("there is a state")
	}
}

// TestRestoreRefuses changes a snapshot: it is refused, and nothing of it stays.
func TestRestoreRefuses(t *testing.T) {
	updates := world(t, 2)
	s := openMem(t, vfs.NewMem(), 3)
	defer s.Close()
	if _, err := s.Genesis(updates[0]); err != nil {
		t.Fatal(err)
	}
	apply(t, s, updates[1])
	hash, good := s.View().AppHash(), exported(t, s, 1)
	c := openMem(t, vfs.NewMem(), 3)
	defer c.Close()
	refused := 0
	refuse := func(what string, h chain.Height, hash, car []byte) {
		t.Helper()
		// Each refusal leaves two removals of everything in the memtable, and each look
		// at the store goes through them all: without this most of the time went there.
		if refused++; refused%20 == 0 {
			if err := c.db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		r, err := c.Restore(h, hash)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = r.Write(car); err == nil {
			err = r.Finish()
		}
		if !errors.Is(err, ErrSnapshot) {
			t.Fatalf("%s: %v", what, err)
		}
		if err := r.Abort(); err != nil {
			t.Fatal(err)
		}
		empty(t, c)
	}
	for i := 0; i < len(good); i += max(1, len(good)/500) {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		refuse(fmt.Sprintf("byte %d of %d changed", i, len(good)), 1, hash, bad)
		refuse(fmt.Sprintf("cut at byte %d", i), 1, hash, good[:i])
	}
	refuse("more than the tree", 1, hash, append(bytes.Clone(good), good[len(good)-60:]...))
	refuse("another height", 2, hash, good)
	other := bytes.Clone(hash)
	other[20]++
	refuse("another app hash", 1, other, good)
	if _, err := c.Restore(1, []byte("short")); err == nil {
		t.Error("restored to no app hash")
	}
}

// TestRestoreOfOtherParams refuses the state of a network with other parameters.
func TestRestoreOfOtherParams(t *testing.T) {
	updates := world(t, 1)
	s := openMem(t, vfs.NewMem(), 3)
	defer s.Close()
	if _, err := s.Genesis(updates[0]); err != nil {
		t.Fatal(err)
	}
	other := testParams(3)
	other.Window++
	c, err := Open(Config{Dir: "db", Params: other, FS: vfs.NewMem(), Cache: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := c.Restore(0, s.View().AppHash())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Write(exported(t, s, 0)); !errors.Is(err, ErrSnapshot) || !strings.Contains(err.Error(), "other parameters: window is 20, not 21") {
		t.Errorf("restored with %v", err)
	}
}

// TestRestoreBrokenOff closes a store in the middle of a restore, which began
// over another state: it opens empty, and can be restored.
func TestRestoreBrokenOff(t *testing.T) {
	updates := world(t, 3)
	fs := vfs.NewMem()
	s := openMem(t, fs, 3)
	if _, err := s.Genesis(updates[0]); err != nil {
		t.Fatal(err)
	}
	apply(t, s, updates[1])
	hash, car := s.View().AppHash(), exported(t, s, 1)
	r, err := s.Restore(1, hash)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Write(car[:len(car)/2]); err != nil {
		t.Fatal(err)
	}
	if err := r.flush(); err != nil {
		t.Fatal(err)
	}
	if len(stored(t, s)) == 0 {
		t.Fatal("nothing was written yet")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openMem(t, fs, 3)
	empty(t, s)
	if r, err = s.Restore(1, hash); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Write(car); err != nil {
		t.Fatal(err)
	}
	if err := r.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openMem(t, fs, 3)
	defer s.Close()
	if !bytes.Equal(s.View().AppHash(), hash) || s.Oldest() != 1 {
		t.Error("the restored state did not last")
	}
}

// TestRollback goes back up to two heights at random moments and on with the
// same or with other blocks: every kept height stays right, and once all that
// was rolled back is out of the retention nothing else is stored.
func TestRollback(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const retention = 4
		s, err := Open(Config{Dir: "db", Params: testParams(retention), FS: vfs.NewMem(), Cache: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		history, hashes := []records{{}}, [][]byte{nil}
		if hashes[0], err = s.Genesis(update(t, records{}, history[0], 0)); err != nil {
			t.Fatal(err)
		}
		block := func() {
			h := len(history)
			next := maps.Clone(history[h-1])
			for range rapid.IntRange(0, 8).Draw(t, "changes") {
				k := drawKey(t)
				if next[k] != nil && rapid.Bool().Draw(t, "delete") {
					delete(next, k)
				} else {
					next[k] = drawValue(t)
				}
			}
			u := update(t, history[h-1], next, chain.Height(h))
			u.Receipts = []consensus.Receipt{{Hash: [32]byte{byte(h), byte(len(u.Changes))}}}
			hash := apply(t, s, u)
			if rapid.IntRange(0, 2).Draw(t, "again") == 0 {
				if err := s.Rollback(); err != nil {
					t.Fatal(err)
				}
				if _, ok, err := s.Locate(u.Receipts[0].Hash); err != nil || ok {
					t.Fatal(fmt.Sprintf("receipt of a rolled back height: %v, %v", ok, err))
				}
				if again := apply(t, s, u); !bytes.Equal(again, hash) {
					t.Fatal(fmt.Sprintf("height %d executed again has app hash %x, had %x", h, again, hash))
				}
			}
			history, hashes = append(history, next), append(hashes, hash)
		}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			back := 0
			if len(history) > 3 {
				back = rapid.IntRange(0, 2).Draw(t, "back")
			}
			for range back {
				if uint64(s.View().Height()) <= uint64(s.Oldest()) {
					break
				}
				if err := s.Rollback(); err != nil {
					t.Fatal(err)
				}
				history, hashes = history[:len(history)-1], hashes[:len(hashes)-1]
				if !bytes.Equal(s.View().AppHash(), hashes[len(hashes)-1]) {
					t.Fatal("rolled back to another app hash")
				}
			}
			block()
			for h := s.Oldest(); h <= s.View().Height(); h++ {
				tree, err := s.At(h)
				if err != nil {
					t.Fatal(err)
				}
				check(t, tree, history[h])
			}
		}
		for range retention + 2 {
			block()
		}
		for range retention + 1 { // no more rolling back: all that was is forgotten
			h := len(history)
			next := maps.Clone(history[h-1])
			apply(t, s, update(t, history[h-1], next, chain.Height(h)))
			history = append(history, next)
		}
		if have, want := stored(t, s), reached(t, s); !maps.Equal(have, want) {
			t.Fatal(fmt.Sprintf("%d blocks are stored, %d are reached", len(have), len(want)))
		}
	})
}

// TestRollbackRefusals covers heights that cannot be rolled back.
func TestRollbackRefusals(t *testing.T) {
	s := openMem(t, vfs.NewMem(), 2)
	defer s.Close()
	if err := s.Rollback(); !errors.Is(err, ErrNoGenesis) {
		t.Errorf("before genesis: %v", err)
	}
	updates := world(t, 6)
	if _, err := s.Genesis(updates[0]); err != nil {
		t.Fatal(err)
	}
	if err := s.Rollback(); err == nil {
		t.Error("genesis was rolled back")
	}
	for _, u := range updates[1:] {
		apply(t, s, u)
	}
	for range 2 {
		if err := s.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Rollback(); !errors.Is(err, ErrPruned) {
		t.Errorf("beyond the retention: %v", err)
	}
}
