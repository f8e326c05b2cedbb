package state

import (
	"bytes"
	"fmt"
	"maps"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// TestViewsRemember reads random keys, there or not, through the Views of
// several heights in turn: what one View made the store remember must not show
// in another.
func TestViewsRemember(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := Open(Config{Dir: "db", Params: testParams(20), FS: vfs.NewMem(), Cache: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		history := []records{{}}
		if _, err := s.Genesis(update(t, records{}, history[0], 0)); err != nil {
			t.Fatal(err)
		}
		views := []*View{s.View()}
		for h := 1; h <= 8; h++ {
			next := maps.Clone(history[h-1])
			for range rapid.IntRange(0, 6).Draw(t, "changes") {
				k := drawKey(t)
				if next[k] != nil {
					delete(next, k)
				} else {
					next[k] = drawValue(t)
				}
			}
			u := update(t, history[h-1], next, chain.Height(h))
			if _, err := s.Stage(u); err != nil {
				t.Fatal(err)
			}
			history = append(history, next)
			for range 12 {
				at, k := rapid.IntRange(0, h-1).Draw(t, "view"), drawKey(t)
				got, err := views[at].Record(k)
				if want := history[at][k]; err != nil || !bytes.Equal(got, want) || (got == nil) != (want == nil) {
					t.Fatalf("after height %d: %s %x of height %d is %x (%v), want %x", h-1, k.Table, k.ID, at, got, err, want)
				}
			}
			if err := s.Commit(); err != nil {
				t.Fatal(err)
			}
			if rapid.Bool().Draw(t, "visit") {
				views = append(views, s.Visit())
			} else {
				views = append(views, s.View())
			}
		}
	})
}

// TestVisits reads a thousand accounts as a visitor: they are all there, and
// what the store remembers for the next block is as it was.
func TestVisits(t *testing.T) {
	const accounts = 1000
	s, err := Open(Config{Dir: "db", Params: testParams(20), FS: vfs.NewMem(), Cache: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all := records{}
	key := func(i int) chain.Key {
		return chain.Key{Table: chain.TableAccount, ID: fmt.Sprintf("account %d", i)}
	}
	for i := range accounts {
		all[key(i)] = []byte{0x42, byte(i >> 8), byte(i)}
	}
	if _, err := s.Genesis(update(t, records{}, all, 0)); err != nil {
		t.Fatal(err)
	}
	s.recent, s.blocks = recent{height: s.recent.height}, blockCache{}
	if _, err := s.View().Record(key(0)); err != nil {
		t.Fatal(err)
	}
	records, blocks := s.recent.size, s.blocks.size
	for i := range accounts {
		if got, err := s.Visit().Record(key(i)); err != nil || !bytes.Equal(got, all[key(i)]) {
			t.Fatalf("account %d is %x (%v), want %x", i, got, err, all[key(i)])
		}
	}
	if s.recent.size != records || s.blocks.size != blocks {
		t.Errorf("after the visits the store remembers %d bytes of records and %d of blocks, before them %d and %d",
			s.recent.size, s.blocks.size, records, blocks)
	}
	if s.visited.size == 0 {
		t.Error("nothing of what visitors read is remembered for them")
	}
}

// TestRecentForgets fills the memory beyond its bound: what is asked for stays,
// the rest goes, and nothing old comes back.
func TestRecentForgets(t *testing.T) {
	var r recent
	big, k := make([]byte, recentBytes/4), chain.DealKey(1)
	r.learn(k, []byte{1}, 0)
	for i := range uint64(40) {
		h, want := chain.Height(0), byte(1)
		if i >= 20 {
			h, want = 1, 2
		}
		if i == 20 {
			r.advance([]consensus.Change{{Table: k.Table, ID: []byte(k.ID), Value: []byte{2}}}, 1)
		}
		r.learn(chain.DealKey(100+i), big, h)
		if got, known := r.find(k, h); !known || got[0] != want {
			t.Fatalf("after %d large records: %x, %v", i+1, got, known)
		}
	}
	if _, known := r.find(k, 0); known {
		t.Error("a changed record is known to the height before")
	}
	if n := len(r.now) + len(r.old); n > 12 {
		t.Errorf("%d large records stay", n)
	}
}
