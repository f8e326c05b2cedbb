package buyer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/dag"
)

// paper takes the bytes of a file and notes which came twice.
type paper struct {
	mu    sync.Mutex
	bytes []byte
	wrote []bool
	twice int
	fail  error
}

func newPaper(size int) *paper { return &paper{bytes: make([]byte, size), wrote: make([]bool, size)} }

func (p *paper) WriteAt(b []byte, off int64) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return 0, p.fail
	}
	for i := range b {
		if p.wrote[int(off)+i] {
			p.twice++
		}
		p.wrote[int(off)+i] = true
	}
	return copy(p.bytes[off:], b), nil
}

// holds checks that exactly the bytes of a range came, each once.
func (p *paper) holds(t testing.TB, f *file, from, to int) {
	t.Helper()
	if !bytes.Equal(p.bytes[from:to], f.bytes[from:to]) {
		t.Fatalf("bytes %d to %d differ", from, to)
	}
	for i, w := range p.wrote {
		if w != (i >= from && i < to) {
			t.Fatalf("byte %d: written %v in range %d to %d", i, w, from, to)
		}
	}
	if p.twice > 0 {
		t.Fatalf("%d bytes came twice", p.twice)
	}
}

// transfer asks all shops for the parts.
func (w *world) transfer(f *file, parts []archive, shops ...*shop) buyer.TransferRequest {
	r := w.request(f, parts, nil, shops...)
	return buyer.TransferRequest{Root: r.Root, Parts: r.Parts, MaxPrice: r.MaxPrice}
}

// settled checks that what was spent is what the shops earned, and returns how
// much was paid beyond once for each chunk of the file.
func (w *world) settled(st buyer.Stats, shops ...*shop) {
	w.t.Helper()
	var earned []chain.Amount
	var paid, unpaid uint64
	for _, s := range shops {
		earned = append(earned, w.redeem(s))
		paid += s.Stats().Paid
		unpaid += s.Stats().Unpaid
	}
	sum, err := chain.Sum(earned...)
	if err != nil || sum != st.Spent || paid != st.Paid {
		w.t.Errorf("spent %s for %d chunks, earned %s for %d (%v)", st.Spent, st.Paid, sum, paid, err)
	}
	if unpaid != 0 {
		w.t.Errorf("%d chunks came and were not paid", unpaid)
	}
	w.conserved()
}

// TestFetchFile gets files of all shapes, whole and in ranges, from one to four
// sellers: the bytes are right, each is written once, and what was paid is what
// was earned.
func TestFetchFile(t *testing.T) {
	zeros := make([]byte, 40_000)
	half := append(randomBytes(3000, 1), append(make([]byte, 3000), randomBytes(3000, 1)...)...)
	for name, tc := range map[string]struct {
		content     []byte
		leaf, width int
		cut         []int
	}{
		"empty":       {nil, 100, 10, nil},
		"one leaf":    {randomBytes(99, 1), 100, 10, nil},
		"two leaves":  {randomBytes(101, 2), 100, 10, nil},
		"flat":        {randomBytes(990, 3), 100, 10, nil},
		"deep":        {randomBytes(20_000, 4), 100, 3, nil},
		"wide":        {randomBytes(60_000, 5), 100, 174, nil},
		"zeros":       {zeros, 100, 5, nil},
		"repeats":     {half, 100, 4, nil},
		"parts":       {randomBytes(20_000, 6), 100, 6, []int{40, 3, 90}},
		"narrow part": {randomBytes(5_000, 7), 100, 2, []int{1, 1, 1, 30}},
	} {
		for _, sellers := range []int{1, 4} {
			t.Run(fmt.Sprintf("%s/%d", name, sellers), func(t *testing.T) {
				w := newWorld(t)
				f := treeOf(t, tc.content, tc.leaf, tc.width)
				parts := f.cut(t, tc.cut...)
				var shops []*shop
				for i := range sellers {
					shops = append(shops, w.open(byte(10+i), 7, nil, parts...))
				}
				all := len(tc.content)
				for _, r := range [][2]int{{0, all}, {0, min(all, 150)}, {all / 3, all / 2}, {max(all, 1) - 1, all}} {
					to := newPaper(all)
					file := buyer.File{Root: f.root, Offset: uint64(r[0]), Length: uint64(r[1] - r[0]), To: to}
					if r[1] == all {
						file.Length = 0
					}
					before := w.stats(shops...)
					st, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, shops...), file)
					if err != nil {
						t.Fatalf("range %v: %v", r, err)
					}
					to.holds(t, f, min(r[0], r[1]), r[1])
					w.serving.Wait()
					if after := w.stats(shops...); after-before != st.Paid {
						t.Errorf("range %v: %d chunks paid, the sellers count %d", r, st.Paid, after-before)
					}
				}
				w.conserved()
			})
		}
	}
}

// stats is how many chunks the shops were paid for.
func (w *world) stats(shops ...*shop) (paid uint64) {
	for _, s := range shops {
		paid += s.Stats().Paid
	}
	return paid
}

// TestFetchFileOnce: with one seller nothing is fetched twice, and no more than
// the range needs.
func TestFetchFileOnce(t *testing.T) {
	w := newWorld(t)
	f := treeOf(t, randomBytes(50_000, 8), 100, 10) // 500 leaves under 50, 5 and 1
	parts := f.cut(t)
	s := w.open(10, 7, nil, parts...)
	for _, tc := range []struct{ offset, length, blocks uint64 }{
		{0, 0, 556}, {0, 1, 4}, {25_000, 1_000, 1 + 1 + 1 + 10}, {24_950, 100, 1 + 1 + 2 + 2}, {49_999, 1 << 40, 4}, {1 << 40, 5, 1},
	} {
		to := newPaper(len(f.bytes))
		st, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, s), buyer.File{Root: f.root, Offset: tc.offset, Length: tc.length, To: to})
		if err != nil || st.Blocks != tc.blocks {
			t.Errorf("range %d+%d: %d blocks, want %d (%v)", tc.offset, tc.length, st.Blocks, tc.blocks, err)
		}
	}
	zeros := treeOf(t, make([]byte, 50_000), 100, 10)
	z := w.open(11, 7, nil, zeros.cut(t)...)
	to := newPaper(50_000)
	st, err := w.buyer.FetchFile(ctx, w.transfer(zeros, zeros.cut(t), z), buyer.File{Root: zeros.root, To: to})
	if err != nil || st.Blocks != 4 {
		t.Errorf("500 equal leaves: %d blocks, want 4 (%v)", st.Blocks, err)
	}
	to.holds(t, zeros, 0, 50_000)
	w.serving.Wait()
}

// TestFetchFileInOrder hands a file on in order and never asks far ahead.
func TestFetchFileInOrder(t *testing.T) {
	for name, content := range map[string][]byte{"random": randomBytes(30_000, 9), "zeros": make([]byte, 30_000)} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			f := treeOf(t, content, 100, 7)
			parts := f.cut(t)
			shops := []*shop{w.open(10, 7, nil, parts...), w.open(11, 7, nil, parts...), w.open(12, 7, nil, parts...)}
			var out bytes.Buffer
			watch := &watched{ordered: newOrdered(&out, 1234), out: &out, first: 1234}
			st, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, shops...), buyer.File{Root: f.root, Offset: 1234, To: watch, Ahead: 2000})
			if err != nil || !bytes.Equal(out.Bytes(), content[1234:]) {
				t.Fatalf("%d bytes of %d: %v", out.Len(), len(content), err)
			}
			if watch.most > 2100 { // and the rest of a leaf
				t.Errorf("asked %d bytes ahead", watch.most)
			}
			w.settled(st, shops...)
		})
	}
}

// ordered is a File's To for a writer that takes bytes in their order, such as a
// pipe. What comes too early waits in memory.
type ordered struct {
	w io.Writer

	mu    sync.Mutex
	next  int64
	early map[int64][]byte
	err   error
}

// newOrdered begins at an offset of the file.
func newOrdered(w io.Writer, offset int64) *ordered {
	return &ordered{w: w, next: offset, early: map[int64][]byte{}}
}

// WriteAt writes p on if its turn is now, and what waited for it, or keeps a
// copy.
func (o *ordered) WriteAt(p []byte, off int64) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return 0, o.err
	}
	if off != o.next {
		o.early[off] = bytes.Clone(p)
		return len(p), nil
	}
	for q := p; q != nil; q = o.early[o.next] {
		delete(o.early, o.next)
		n, err := o.w.Write(q)
		o.next += int64(n)
		if err != nil {
			o.err = fmt.Errorf("write on: %w", err)
			return 0, o.err
		}
		if len(q) == 0 {
			break
		}
	}
	return len(p), nil
}

// watched notes how far ahead of what was written on bytes come.
type watched struct {
	*ordered
	mu    sync.Mutex
	out   *bytes.Buffer
	first int64
	most  int64
}

func (w *watched) WriteAt(p []byte, off int64) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.most = max(w.most, off-w.first-int64(w.out.Len()))
	return w.ordered.WriteAt(p, off)
}

// TestFetchFileResumed: what is there is neither fetched nor written again.
func TestFetchFileResumed(t *testing.T) {
	w := newWorld(t)
	f := treeOf(t, randomBytes(30_000, 10), 100, 7)
	parts := f.cut(t)
	s := w.open(10, 7, nil, parts...)
	nodes := map[cid.Cid][]byte{}
	var mu sync.Mutex
	file := buyer.File{Root: f.root, To: newPaper(len(f.bytes)), Node: func(c cid.Cid, b []byte) error {
		mu.Lock()
		defer mu.Unlock()
		nodes[c] = bytes.Clone(b)
		return nil
	}}
	file.Has = func(off, n uint64) bool { return off+n <= 14_000 || off >= 20_000 }
	st, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, s), file)
	if err != nil {
		t.Fatal(err)
	}
	file.To.(*paper).holds(t, f, 14_000, 20_000)
	leaves := st.Blocks - uint64(len(nodes))
	if leaves != 60 || len(nodes) > 14 {
		t.Errorf("%d leaves and %d nodes", leaves, len(nodes))
	}
	file.Nodes = func(_ context.Context, c cid.Cid) ([]byte, error) {
		if b, ok := nodes[c]; ok {
			return b, nil
		}
		return nil, errors.New("not here")
	}
	file.To = newPaper(len(f.bytes))
	if st, err = w.buyer.FetchFile(ctx, w.transfer(f, parts, s), file); err != nil || st.Blocks != leaves {
		t.Errorf("with the nodes there: %d blocks, want %d (%v)", st.Blocks, leaves, err)
	}
	file.To = newPaper(len(f.bytes))
	file.Has = func(uint64, uint64) bool { return true }
	if st, err = w.buyer.FetchFile(ctx, w.transfer(f, parts, s), file); err != nil || st.Chunks != 0 {
		t.Errorf("with all there: %d chunks (%v)", st.Chunks, err)
	}
	w.serving.Wait()
}

// TestTransferMany gets blocks and files at one time over the same sessions.
func TestTransferMany(t *testing.T) {
	w := newWorld(t)
	f := smallFiles(t, 300)
	parts := f.cut(t, 100)
	shops := []*shop{w.open(10, 7, nil, parts...), w.open(11, 7, nil, parts...)}
	tr := w.buyer.NewTransfer(ctx, w.transfer(f, parts, shops...))
	entries, err := dag.List(ctx, tr.Get, f.root)
	if err != nil || len(entries) != 300 {
		t.Fatalf("%d entries: %v", len(entries), err)
	}
	var all sync.WaitGroup
	for _, e := range entries {
		all.Add(1)
		go func() {
			defer all.Done()
			to := newPaper(10)
			size, err := tr.File(ctx, buyer.File{Root: e.CID, To: to})
			if err != nil || size != 10 || !bytes.Equal(to.bytes, f.blocks[e.CID]) {
				t.Errorf("%s: %d bytes, %v", e.Name, size, err)
			}
		}()
	}
	all.Wait()
	if _, err := tr.File(ctx, buyer.File{Root: f.root, To: newPaper(10)}); !errors.Is(err, dag.ErrMalformed) || strings.Count(err.Error(), f.root.String()) != 1 {
		t.Errorf("a directory as a file: %v", err)
	}
	if _, err := tr.Get(ctx, cidOf(cid.Raw, []byte("elsewhere"))); !errors.Is(err, buyer.ErrNoSeller) {
		t.Errorf("a block of another payload: %v", err)
	}
	st := tr.Close()
	if st.Blocks != 302 {
		t.Errorf("%d blocks", st.Blocks)
	}
	if shops[0].dials+shops[1].dials > 60 { // of two parts by turns
		t.Errorf("%d sessions", shops[0].dials+shops[1].dials)
	}
	if _, err := tr.Get(ctx, f.root); err == nil {
		t.Error("got after Close")
	}
	w.settled(st, shops...)
}

// TestFetchFileBudget: sellers beside each other cannot overrun the budget.
func TestFetchFileBudget(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 20*leaf, 11) // a root and 20 leaves: 21 chunks
	parts := f.cut(t)
	shops := []*shop{w.open(10, 7, nil, parts...), w.open(11, 7, nil, parts...), w.open(12, 7, nil, parts...)}
	r := w.transfer(f, parts, shops...)
	r.Budget = buyer.NewBudget(chain.Atto(7*12 + 3))
	st, err := w.buyer.FetchFile(ctx, r, buyer.File{Root: f.root, To: newPaper(len(f.bytes))})
	if !errors.Is(err, buyer.ErrBudget) || st.Spent.IsZero() || chain.Atto(7*12).Less(st.Spent) || st.Spent != r.Budget.Spent() {
		t.Fatalf("spent %s: %v", st.Spent, err)
	}
	w.settled(st, shops...)
	r.Budget = buyer.NewBudget(chain.Atto(7 * 21))
	to := newPaper(len(f.bytes))
	more, err := w.buyer.FetchFile(ctx, r, buyer.File{Root: f.root, To: to})
	if err != nil {
		t.Fatalf("with just enough: %v %+v", err, more)
	}
	to.holds(t, f, 0, len(f.bytes))
	if more.Spent != chain.Atto(7*21) {
		t.Errorf("spent %s", more.Spent)
	}
	w.serving.Wait()
}

// TestFetchFilePrices: a seller that costs much more than another is asked only
// when that one is gone.
func TestFetchFilePrices(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 60*leaf, 12)
	parts := f.cut(t)
	cheap, dear := w.open(10, 7, nil, parts...), w.open(11, 70, nil, parts...)
	w.onStream(cheap, -1, func(f *framed) {
		n := 0
		f.toBuyer = func(_ int, frame []byte) ([]byte, error) {
			if frame[0] == byte(retrieval.KindChunk) {
				if n++; n > 10 {
					return flip(frame), nil
				}
			}
			return frame, nil
		}
	})
	to := newPaper(len(f.bytes))
	st, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, cheap, dear), buyer.File{Root: f.root, To: to})
	if err != nil {
		t.Fatal(err)
	}
	to.holds(t, f, 0, len(f.bytes))
	if cheap.Stats().Paid != 10 || !w.buyer.Dropped(string(cheap.peer.ID)) {
		t.Errorf("the cheap one was paid %d chunks: %+v", cheap.Stats().Paid, st.Sellers)
	}
	w.redeem(cheap)
	w.redeem(dear)
	w.conserved()
}

// TestFetchFileBadSellers has each kind of bad seller beside a good one.
func TestFetchFileBadSellers(t *testing.T) {
	stranger := makeFile(t, 100, 99)
	chunks := func(do func(n int, frame []byte) ([]byte, error)) func(*framed) {
		return func(f *framed) {
			n := 0
			f.toBuyer = func(_ int, frame []byte) ([]byte, error) {
				if frame[0] != byte(retrieval.KindChunk) {
					return frame, nil
				}
				n++
				return do(n, frame)
			}
		}
	}
	for name, tc := range map[string]struct {
		hooks func(*framed)
		dials int // after which it is dropped
	}{
		"lies": {chunks(func(n int, frame []byte) ([]byte, error) {
			if n == 4 {
				return flip(frame), nil
			}
			return frame, nil
		}), 1},
		"another block": {chunks(func(n int, frame []byte) ([]byte, error) {
			m, err := retrieval.Decode(frame)
			if err != nil {
				return nil, err
			}
			return retrieval.Encode(&retrieval.Chunk{Want: m.(*retrieval.Chunk).Want, Blocks: []retrieval.Block{{CID: stranger.root, Data: stranger.bytes}}})
		}), 1},
		"breaks off each time": {chunks(func(n int, frame []byte) ([]byte, error) {
			if n == 3 {
				return nil, errCut
			}
			return frame, nil
		}), 4},
		"garbage": {func(f *framed) {
			f.toBuyer = func(i int, frame []byte) ([]byte, error) {
				if i == 3 {
					return []byte{77, 1, 2}, nil
				}
				return frame, nil
			}
		}, 1},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			w := newWorld(t)
			f := makeFile(t, 120*leaf, 13)
			parts := f.cut(t)
			bad, good := w.open(10, 7, nil, parts...), w.open(11, 7, nil, parts...)
			w.onStream(bad, -1, tc.hooks)
			to := newPaper(len(f.bytes))
			st, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, bad, good), buyer.File{Root: f.root, To: to})
			if err != nil {
				t.Fatal(err)
			}
			to.holds(t, f, 0, len(f.bytes))
			earned, err := w.redeem(bad).Add(w.redeem(good))
			if err != nil || st.Spent.Less(earned) {
				t.Errorf("spent %s, earned %s", st.Spent, earned)
			}
			if good.Stats().Unpaid > 0 {
				t.Errorf("the good seller was not paid %d chunks", good.Stats().Unpaid)
			}
			if bad.dials >= tc.dials && !w.buyer.Dropped(string(bad.peer.ID)) {
				t.Errorf("not dropped after %d dials: %+v", bad.dials, st.Sellers)
			}
			w.conserved()
		})
	}
}

// TestFetchFileElsewhere: a seller that does not hold what it offers costs a few
// questions, and is no liar.
func TestFetchFileElsewhere(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 30*leaf, 17)
	parts := f.cut(t)
	other := makeFile(t, leaf, 18).cut(t)
	other[0].piece = parts[0].piece
	empty, good := w.open(10, 7, nil, other...), w.open(11, 7, nil, parts...)
	to := newPaper(len(f.bytes))
	st, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, empty, good), buyer.File{Root: f.root, To: to})
	if err != nil {
		t.Fatal(err)
	}
	to.holds(t, f, 0, len(f.bytes))
	w.settled(st, empty, good)
	if _, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, empty), buyer.File{Root: f.root, To: to}); !errors.Is(err, buyer.ErrNoSeller) {
		t.Errorf("nobody holds it: %v", err)
	}
	w.serving.Wait()
}

// TestOvertake has one of two sellers fall silent in the middle of a unit: the
// other brings it, long before the silence is a fault.
func TestOvertake(t *testing.T) {
	w := newWorld(t)
	w.config.StallTimeout = time.Minute
	w.remake()
	f := makeFile(t, 120*leaf, 14)
	parts := f.cut(t)
	stuck, good := w.open(10, 7, nil, parts...), w.open(11, 7, nil, parts...)
	release := make(chan struct{})
	w.onStream(stuck, -1, func(f *framed) {
		n := 0
		f.toBuyer = func(_ int, frame []byte) ([]byte, error) {
			if frame[0] == byte(retrieval.KindChunk) {
				if n++; n == 4 {
					<-release
				}
			}
			return frame, nil
		}
	})
	to := newPaper(len(f.bytes))
	tr := w.buyer.NewTransfer(ctx, w.transfer(f, parts, stuck, good))
	if _, err := tr.File(ctx, buyer.File{Root: f.root, To: to}); err != nil {
		t.Fatal(err)
	}
	close(release)
	st := tr.Close()
	to.holds(t, f, 0, len(f.bytes))
	if over := st.Chunks - 121; over > 2*retrieval.MaxCredit*2 {
		t.Errorf("%d chunks came twice", over)
	}
	w.settled(st, stuck, good)
}

// TestTransferStops ends a file by its context, by its writer and by Close.
func TestTransferStops(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 40*leaf, 15)
	parts := f.cut(t)
	shops := []*shop{w.open(10, 7, nil, parts...), w.open(11, 7, nil, parts...)}
	full := newPaper(len(f.bytes))
	full.fail = errors.New("disk full")
	st, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, shops...), buyer.File{Root: f.root, To: full})
	if !errors.Is(err, full.fail) {
		t.Fatal(err)
	}
	spent := st.Spent
	w.settled(st, shops...)
	for name, stop := range map[string]func(*buyer.Transfer, context.CancelFunc){
		"cancel": func(_ *buyer.Transfer, cancel context.CancelFunc) { cancel() },
		"close":  func(tr *buyer.Transfer, _ context.CancelFunc) { go tr.Close() },
	} {
		ctx, cancel := context.WithCancel(ctx)
		tr := w.buyer.NewTransfer(context.Background(), w.transfer(f, parts, shops...))
		to := &trigger{paper: newPaper(len(f.bytes)), at: 5, do: func() { stop(tr, cancel) }}
		if _, err := tr.File(ctx, buyer.File{Root: f.root, To: to}); err == nil {
			t.Errorf("%s: all came", name)
		}
		st := tr.Close()
		if spent, err = spent.Add(st.Spent); err != nil {
			t.Fatal(err)
		}
		st.Spent, st.Paid = spent, w.stats(shops...)
		w.serving.Wait()
		st.Paid = w.stats(shops...)
		w.settled(st, shops...)
		cancel()
	}
}

// trigger does something at a call of WriteAt.
type trigger struct {
	*paper
	at   int64
	do   func()
	seen atomic.Int64
}

func (g *trigger) WriteAt(p []byte, off int64) (int, error) {
	n, err := g.paper.WriteAt(p, off)
	if g.seen.Add(1) == g.at {
		g.do()
	}
	return n, err
}
