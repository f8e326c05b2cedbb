package state

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// world makes the same blocks every time: a list of Updates from genesis on.
func world(t *testing.T, heights int) []*consensus.Update {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 7))
	now := records{}
	updates := []*consensus.Update{update(t, records{}, now, 0)}
	for h := 1; h <= heights; h++ {
		next := maps.Clone(now)
		for range 20 {
			k := chain.SectorKey(1000+rng.Uint64N(3), rng.Uint64N(200))
			if next[k] != nil && rng.IntN(3) == 0 {
				delete(next, k)
			} else {
				next[k] = []byte{0x82, byte(rng.IntN(20)), 0x01}
			}
		}
		updates = append(updates, update(t, now, next, chain.Height(h)))
		now = next
	}
	return updates
}

// TestCrashAnywhere takes a crash image before every sync, directory sync and
// write of a run, with none, some or all of the unsynced data, and goes on from it: the
// state must be that of a commit that returned, or of the one under way, and
// the rest of the blocks must lead to the same app hashes.
func TestCrashAnywhere(t *testing.T) {
	const heights = 8
	updates := world(t, heights)
	hashes := reference(t, updates)

	mem := vfs.NewCrashableMem()
	type image struct {
		fs   *vfs.MemFS
		done int // heights whose Commit had returned
	}
	var mu sync.Mutex
	var images []image
	done, opened := -1, false
	rng := rand.New(rand.NewPCG(3, 4))
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo, errorfs.OpFileWrite, errorfs.OpRename:
		default:
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if !opened {
			return nil // a database that was never open once is made anew
		}
		shares := []int{0, 50, 100}
		if op.Kind == errorfs.OpFileWrite {
			shares = []int{50}
		}
		for _, percent := range shares {
			images = append(images, image{mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}), done})
		}
		return nil
	}))
	s := openMem(t, fs, 3)
	mu.Lock()
	opened = true
	mu.Unlock()
	for h, u := range updates {
		step(t, s, u, hashes[h])
		mu.Lock()
		done = h
		mu.Unlock()
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d crash images", len(images))
	if len(images) < 3*heights {
		t.Fatalf("only %d crash images were taken", len(images))
	}
	for _, im := range images {
		s := openMem(t, im.fs, 3)
		at := -1
		if v := s.View(); v != nil {
			at = int(v.Height())
			if !bytes.Equal(v.AppHash(), hashes[at]) {
				t.Fatalf("height %d after a crash has app hash %x, want %x", at, v.AppHash(), hashes[at])
			}
		}
		if at != im.done && at != im.done+1 {
			t.Fatalf("height %d after a crash, %d was committed", at, im.done)
		}
		for h := at + 1; h < len(updates); h++ {
			step(t, s, updates[h], hashes[h])
		}
		if have, want := stored(t, s), reached(t, s); !maps.Equal(have, want) {
			t.Fatalf("%d blocks are stored after a crash, %d are reached", len(have), len(want))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// reference computes the app hashes of a run without trouble.
func reference(t *testing.T, updates []*consensus.Update) [][]byte {
	t.Helper()
	s := openMem(t, vfs.NewMem(), 3)
	defer s.Close()
	var hashes [][]byte
	for _, u := range updates {
		if u.Height == 0 {
			hash, err := s.Genesis(u)
			if err != nil {
				t.Fatal(err)
			}
			hashes = append(hashes, hash)
			continue
		}
		hashes = append(hashes, apply(t, s, u))
	}
	return hashes
}

// step stages, forgets, stages again and commits: what a node does that stops
// between FinalizeBlock and Commit.
func step(t *testing.T, s *Store, u *consensus.Update, want []byte) {
	t.Helper()
	if u.Height == 0 {
		if _, err := s.Genesis(u); err != nil {
			t.Fatal(err)
		}
		return
	}
	for range 2 {
		if hash, err := s.Stage(u); err != nil || !bytes.Equal(hash, want) {
			t.Fatalf("stage height %d: %x, %v; want %x", u.Height, hash, err, want)
		}
	}
	if err := s.Commit(); err != nil {
		t.Fatal(err)
	}
}

// fatalEnv marks the child process that TestFailedWrites runs in.
const fatalEnv = "PERDURE_TEST_FATAL"

// TestFailedWrites fails every write and sync from some point on: the store
// answers with errors, never ends the process, and opens again where it was.
func TestFailedWrites(t *testing.T) {
	if os.Getenv(fatalEnv) == "" {
		child := exec.Command(os.Args[0], "-test.run", "^TestFailedWrites$", "-test.v")
		child.Env = append(os.Environ(), fatalEnv+"=1")
		out, err := child.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: TestFailedWrites")) {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	const heights = 6
	updates := world(t, heights)
	hashes := reference(t, updates)
	for after := range 40 {
		mem := vfs.NewCrashableMem()
		var mu sync.Mutex
		left := after
		on := false
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			mu.Lock()
			defer mu.Unlock()
			if !on || op.Kind.ReadOrWrite() != errorfs.OpIsWrite || strings.Contains(op.Path, "LOCK") {
				return nil
			}
			if left--; left < 0 {
				return errorfs.ErrInjected
			}
			return nil
		}))
		s := openMem(t, fs, 3)
		if _, err := s.Genesis(updates[0]); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		on = true
		mu.Unlock()
		at, failed := 0, false
		for h := 1; h <= heights; h++ {
			if _, err := s.Stage(updates[h]); err != nil {
				t.Fatalf("reads were not failed, but stage says: %v", err)
			}
			if err := s.Commit(); err != nil {
				failed = true
				break
			}
			at = h
		}
		if after == 0 && !failed {
			t.Fatal("no write failed")
		}
		s.Close() // its error is the injected one

		again := openMem(t, mem.CrashClone(vfs.CrashCloneCfg{}), 3)
		got := int(again.View().Height())
		if got != at && got != at+1 || !bytes.Equal(again.View().AppHash(), hashes[got]) {
			t.Fatalf("after %d writes: height %d, %d was committed", after, got, at)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
