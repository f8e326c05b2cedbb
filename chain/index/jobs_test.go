package index

import (
	"context"
	"errors"
	"io"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/perdure/perdure/chain"
)

// running follows a chain until the test ends.
func running(t *testing.T, x *Index, src Source) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx, src) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// finish waits until a job has ended; the test's deadline is the limit.
func finish(t *testing.T, x *Index) Status {
	t.Helper()
	for {
		if s := x.Status(); s.Last != nil && s.Job == "" {
			return s
		}
		runtime.Gosched()
	}
}

// rows are all rows of an index but the tip, as "key=value".
func rows(t *testing.T, x *Index) (out []string) {
	t.Helper()
	must(t, eachRow(x.current().db, nil, func(k, v []byte) error {
		if string(k) != string(tipKey) {
			out = append(out, string(k)+"="+string(v))
		}
		return nil
	}))
	return out
}

// whole checks an index.
func whole(t *testing.T, x *Index, w *world) *Report {
	t.Helper()
	r, err := x.Check(t.Context(), w.store)
	must(t, err)
	if !r.OK() {
		t.Errorf("%d problems:\n%s", uint64(len(r.Problems))+r.More, strings.Join(r.Problems, "\n"))
	}
	return r
}

// TestRebuild rebuilds an index while blocks come and readers read: they never
// find it building, and the new one is the old one, row for row.
func TestRebuild(t *testing.T) {
	w := newWorld(t, 1000)
	for range 60 {
		w.block()
	}
	fs := vfs.NewMem()
	x := open(t, fs, "index-test")
	t.Cleanup(func() { must(t, x.Close()) }) // once nothing follows any more
	running(t, x, w.source())
	for h := chain.Height(0); h < 60; _, h, _ = x.Tip() {
		runtime.Gosched()
	}
	held, err := x.Snapshot() // a reader who is still there when its generation is not
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for last := chain.Height(0); ctx.Err() == nil; {
				s, err := x.Snapshot()
				if err != nil {
					t.Errorf("a reader meets %v", err)
					return
				}
				if s.First != 1 || s.Height < last {
					t.Errorf("history from %d to %d, after %d", s.First, s.Height, last)
				}
				last = s.Height
				must(t, s.Close())
			}
		})
	}
	before := rows(t, x)
	must(t, x.Ask(Rebuilding, w.store.Oldest(), false))
	for range 20 {
		w.block()
	}
	for x.current().number == 1 {
		runtime.Gosched()
	}
	if b, err := held.Block(7); err != nil || b == nil {
		t.Errorf("read from the generation of before: %+v, %v", b, err)
	}
	must(t, held.Close())
	if s := finish(t, x); s.Last.Error != "" || s.Last.Job != Rebuilding {
		t.Fatalf("rebuild: %+v", s.Last)
	}
	cancel()
	readers.Wait()
	x.Wait(t.Context(), 80)
	w.compare(x, 1)
	if r := whole(t, x, w); r.Blocks != 80 || r.Updates != 80 || !r.Compared {
		t.Errorf("report: %+v", r)
	}
	after := strings.Join(rows(t, x), "\n")
	for _, row := range before {
		if k := row[0]; (k == 'b' || k == 'm' || k == 'e' || k == 'E' || k == 'P' || k == 'j') && !strings.Contains(after, row) {
			t.Errorf("row %q is another one", row)
		}
	}
	if names, err := fs.List("index"); err != nil || len(names) != 3 { // the generation, CURRENT-GENERATION, LOCK
		t.Errorf("files: %v, %v", names, err)
	}
}

// TestCarried holds an index that followed, was closed and opened and went on
// against one that was made at once: all rows are the same.
func TestCarried(t *testing.T) {
	w, fs := newWorld(t, 1000), vfs.NewMem()
	for range 5 {
		for range 9 {
			w.block()
		}
		x := open(t, fs, "index-test")
		follow(t, x, w.source())
		whole(t, x, w)
		must(t, x.Close())
	}
	x, y := open(t, fs, "index-test"), open(t, vfs.NewMem(), "index-test")
	defer x.Close()
	defer y.Close()
	follow(t, y, w.source())
	a, b := rows(t, x), rows(t, y)
	if len(a) != len(b) || len(a) < 1000 {
		t.Fatalf("%d rows carried, %d rebuilt", len(a), len(b))
	}
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("carried %q\nrebuilt %q", a[i], b[i])
		}
	}
}

// TestLoss refuses a rebuild that would lose history, unless it is forced.
func TestLoss(t *testing.T) {
	w := newWorld(t, 20)
	x := open(t, vfs.NewMem(), "index-test")
	t.Cleanup(func() { must(t, x.Close()) }) // once nothing follows any more
	for range 50 {
		w.block()
		follow(t, x, w.source())
	}
	var loss *LossError
	if err := x.Ask(Rebuilding, w.store.Oldest(), false); !errors.As(err, &loss) || loss.Have != 1 || loss.Would != w.store.Oldest()+1 {
		t.Fatalf("a rebuild that loses history: %v", err)
	}
	running(t, x, w.source())
	must(t, x.Ask(Rebuilding, w.store.Oldest(), true))
	if s := finish(t, x); s.Last.Error != "" || s.First != w.store.Oldest()+1 || s.Height != 50 {
		t.Errorf("after it: %+v", s)
	}
	w.compare(x, w.store.Oldest()+1)
	whole(t, x, w)
}

// TestCheckFinds breaks an index in many ways, one at a time.
func TestCheckFinds(t *testing.T) {
	w := newWorld(t, 1000)
	x := open(t, vfs.NewMem(), "index-test")
	defer x.Close()
	for range 40 {
		w.block()
	}
	follow(t, x, w.source())
	whole(t, x, w)
	g := x.current()
	first := func(prefix ...byte) []byte {
		var found []byte
		must(t, eachRow(g.db, bounds(prefix, true, nil), func(k, _ []byte) error {
			if found == nil {
				found = append(found, k...)
			}
			return nil
		}))
		if found == nil {
			t.Fatalf("no row %q", prefix)
		}
		return found
	}
	change := func(key []byte, edit func([]byte) []byte) func(*pebble.Batch) {
		return func(b *pebble.Batch) {
			v, err := g.get(key)
			must(t, err)
			set(b, key, edit(v))
		}
	}
	without := func(key []byte) func(*pebble.Batch) { return func(b *pebble.Batch) { remove(b, key) } }
	flip := func(v []byte) []byte { v[len(v)-1] ^= 1; return v }
	for name, harm := range map[string]func(*pebble.Batch){
		"a block is missing":          without(blockKey(7)),
		"the newest block is missing": without(blockKey(40)),
		"a block is of another update": change(blockKey(9), func(v []byte) []byte {
			var b Block
			must(t, parse(v, &b))
			b.Update[0]++
			return w.encode(&b)
		}),
		"messages are missing":        without(chunkKey(messageTable, Place{8, 2})),
		"a message's hash is missing": without(first('h')),
		"events are missing":          without(chunkKey(eventTable, Place{12, 0})),
		"a list names no event": func(b *pebble.Batch) {
			set(b, number(OfDeal(3).prefix, 12), (&mention{events: []uint32{500}}).bytes())
		},
		"a list names no message": func(b *pebble.Batch) {
			set(b, number(OfDeal(3).prefix, 12), (&mention{messages: []uint32{500}}).bytes())
		},
		"a subject of a later block": func(b *pebble.Batch) {
			set(b, number(OfAccount(clientOf(t, 0)).prefix, 41), (&mention{messages: []uint32{0}}).bytes())
		},
		"a list lacks a deal":     without(first('D', 'r')),
		"a list has a deal twice": func(b *pebble.Batch) { set(b, number([]byte{'D', 's', 9}, 3), nil) },
		"a list names no deal":    func(b *pebble.Batch) { set(b, number([]byte{'D', 's', 1}, 4000), nil) },
		"a record is another":     change(recordKey(chain.AccountKey(clientOf(t, 0))), flip),
		"a record is missing":     without(first('R', byte(chain.TableSector))),
		"a record is too many": func(b *pebble.Batch) {
			set(b, recordKey(chain.ServedKey(5)), (&Record{Value: w.encode(&chain.Served{})}).bytes())
		},
		"a record that went stays":           without(first('z')),
		"a window of a later block":          func(b *pebble.Batch) { set(b, number(windowPrefix(1000, 0, 0), 41), make([]byte, windowSize)) },
		"a level of the book without orders": func(b *pebble.Batch) { set(b, depthKey(true, chain.PDR(77)), make([]byte, depthSize)) },
		"a journal of before the start":      func(b *pebble.Batch) { set(b, number([]byte{'j'}, 0), []byte{1, 'a'}) },
	} {
		var undo [][2][]byte
		b := g.db.NewBatch()
		harm(b)
		for r := b.Reader(); ; {
			_, key, _, ok, err := r.Next()
			must(t, err)
			if !ok {
				break
			}
			v, err := g.get(key)
			must(t, err)
			undo = append(undo, [2][]byte{append([]byte(nil), key...), v})
		}
		must(t, b.Commit(pebble.NoSync))
		must(t, g.hide()) // written past the generation
		if r, err := x.Check(t.Context(), w.store); err != nil || r.OK() {
			t.Errorf("%s: nothing is found (%v)", name, err)
		}
		b = g.db.NewBatch()
		for _, u := range undo {
			if u[1] == nil {
				remove(b, u[0])
			} else {
				set(b, u[0], u[1])
			}
		}
		must(t, b.Commit(pebble.NoSync))
		must(t, g.hide())
	}
	whole(t, x, w)
}

// TestHarmed damages a table file of an index: whoever meets it has the index
// made anew, and the damaged one is set aside.
func TestHarmed(t *testing.T) {
	w, fs := newWorld(t, 1000), vfs.NewMem()
	for range 60 {
		w.block()
	}
	x := open(t, fs, "index-test")
	follow(t, x, w.source())
	must(t, x.Compact(t.Context()))
	must(t, x.Close())
	dir := generationDir("index", 1)
	names, err := fs.List(dir)
	must(t, err)
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		f, err := fs.OpenReadWrite(path.Join(dir, name), vfs.WriteCategoryUnspecified)
		must(t, err)
		info, err := f.Stat()
		must(t, err)
		b := make([]byte, info.Size()*2/3) // what is behind it says where all is
		_, err = f.ReadAt(b, 0)
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		for i := range b {
			b[i] ^= 0x55
		}
		_, err = f.WriteAt(b, 0)
		must(t, errors.Join(err, f.Close()))
	}
	x = open(t, fs, "index-test")
	t.Cleanup(func() { must(t, x.Close()) }) // once nothing follows any more
	running(t, x, w.source())
	look(t, x, func(s *Snapshot) {
		if _, err := s.Records(All(chain.TableDeal), Page{Limit: 100}, func(*Record) (bool, error) { return true, nil }); err == nil {
			t.Error("nothing is damaged")
		}
	})
	for x.current().number == 1 {
		runtime.Gosched()
	}
	if s := finish(t, x); s.Last.Error != "" {
		t.Errorf("rebuild: %+v", s.Last)
	}
	w.compare(x, 1)
	whole(t, x, w)
	if _, err := fs.Stat("index.aside-1"); err != nil {
		t.Errorf("the damaged one: %v", err)
	}
}

// TestRebuildFails has the disk refuse to open the generation that a rebuild fills, at
// first and once it has been filled, and then to say for sure that it is the one to be
// read: the rebuild says so and leaves nothing, and the index of before goes on, after
// a restart, too. Its size is asked for all the time.
func TestRebuildFails(t *testing.T) {
	w, mem := newWorld(t, 1000), vfs.NewMem()
	var steps, failing atomic.Int64
	x := open(t, errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		opening := op.Kind == errorfs.OpLock && path.Base(path.Dir(op.Path)) == "000002"
		exchange := false
		if op.Kind == errorfs.OpFileSync && op.Path == "index" {
			number, err := readCurrent(mem, "index")
			exchange = err == nil && number == 2
		}
		if (opening || exchange) && steps.Add(1) == failing.Load() {
			return errorfs.ErrInjected
		}
		return nil
	})), "index-test")
	defer func() { must(t, x.Close()) }()
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	asking.Go(func() {
		for ctx.Err() == nil {
			x.Size()
		}
	})
	for _, step := range []int64{1, 2, 3} {
		w.block()
		follow(t, x, w.source())
		steps.Store(0)
		failing.Store(step)
		if err := x.rebuild(t.Context(), w.source()); !errors.Is(err, errorfs.ErrInjected) {
			t.Errorf("a rebuild whose step %d fails: %v", step, err)
		}
		if names, err := mem.List("index"); err != nil || slices.Contains(names, "000002") {
			t.Errorf("step %d failed, and left %v, %v", step, names, err)
		}
		if number, err := readCurrent(mem, "index"); err != nil || number != 1 {
			t.Errorf("step %d failed, and a restart reads generation %d, %v", step, number, err)
		}
	}
	w.block()
	follow(t, x, w.source())
	failing.Store(0)
	must(t, x.rebuild(t.Context(), w.source()))
	w.compare(x, 1)
	whole(t, x, w)
}

// TestRebuildCrashes cuts off the power in the middle of a rebuild, and right
// after the exchange: first the index of before is there, then the new one, whole,
// and nothing of the other.
func TestRebuildCrashes(t *testing.T) {
	w, fs := newWorld(t, 1000), vfs.NewCrashableMem()
	for range 30 {
		w.block()
	}
	x := open(t, fs, "index-test")
	defer x.Close()
	follow(t, x, w.source())
	crash := func(number uint64, least chain.Height) {
		t.Helper()
		y := open(t, fs.CrashClone(vfs.CrashCloneCfg{}), "index-test")
		defer func() { must(t, y.Close()) }()
		if y.current().number != number {
			t.Errorf("generation %d is read, want %d", y.current().number, number)
		}
		if _, h, _ := y.Tip(); h < least {
			t.Errorf("the index is at height %d, want at least %d", h, least)
		}
		names, err := y.config.FS.List("index")
		if err != nil || len(names) != 3 {
			t.Errorf("files: %v, %v", names, err)
		}
		follow(t, y, w.source())
		w.compare(y, 1)
		whole(t, y, w)
	}
	g := x.generation(2)
	g.loose = true
	must(t, g.open())
	must(t, g.catchUp(t.Context(), w.source()))
	crash(1, 0)
	must(t, g.close())
	must(t, x.rebuild(t.Context(), w.source()))
	crash(2, 30)
}
