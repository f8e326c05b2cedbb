package buyer_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/buyer"
)

// atChunk does something to the n-th chunk of every stream.
func atChunk(n int, do func(f *framed, frame []byte) ([]byte, error)) func(*framed) {
	return func(f *framed) {
		seen := 0
		f.toBuyer = func(_ int, frame []byte) ([]byte, error) {
			if frame[0] == byte(retrieval.KindChunk) {
				if seen++; seen == n {
					return do(f, frame)
				}
			}
			return frame, nil
		}
	}
}

// TestBadSellersLosses states what each misdeed of a seller costs either side. A
// good seller of the same price stands beside it and brings the file; what the
// bad one spoiled is its own loss, never the buyer's.
func TestBadSellersLosses(t *testing.T) {
	stranger := makeFile(t, leaf, 99)
	replaced := func(t *testing.T, frame []byte, b retrieval.Block) []byte {
		m := decode(t, frame).(*retrieval.Chunk)
		return encode(t, &retrieval.Chunk{Want: m.Want, Blocks: []retrieval.Block{b}})
	}
	for name, tc := range map[string]struct {
		bad     func(t *testing.T, f *file) func(*framed)
		most    loss
		dropped bool
	}{
		"wrong chunk": {func(*testing.T, *file) func(*framed) {
			return atChunk(3, func(_ *framed, frame []byte) ([]byte, error) { return flip(frame), nil })
		}, chunksLost(0, retrieval.MaxCredit), true},
		"right chunk of another file": {func(t *testing.T, _ *file) func(*framed) {
			return atChunk(3, func(_ *framed, frame []byte) ([]byte, error) {
				return replaced(t, frame, retrieval.Block{CID: stranger.root, Data: stranger.bytes}), nil
			})
		}, chunksLost(0, retrieval.MaxCredit), true},
		"right name and another's bytes": {func(t *testing.T, _ *file) func(*framed) {
			return atChunk(3, func(_ *framed, frame []byte) ([]byte, error) {
				m := decode(t, frame).(*retrieval.Chunk)
				return replaced(t, frame, retrieval.Block{CID: m.Blocks[0].CID, Data: stranger.bytes}), nil
			})
		}, chunksLost(0, retrieval.MaxCredit), true},
		"half a block": {func(t *testing.T, _ *file) func(*framed) {
			return atChunk(3, func(_ *framed, frame []byte) ([]byte, error) {
				b := decode(t, frame).(*retrieval.Chunk).Blocks[0]
				return replaced(t, frame, retrieval.Block{CID: b.CID, Data: b.Data[:len(b.Data)/2]}), nil
			})
		}, chunksLost(0, retrieval.MaxCredit), true},
		"half a frame": {func(*testing.T, *file) func(*framed) {
			return atChunk(3, func(f *framed, frame []byte) ([]byte, error) {
				f.in = withLength(frame)[:len(frame)/2]
				f.Close()
				return nil, nil
			})
		}, chunksLost(retrieval.MaxCredit, retrieval.MaxCredit), false},
		"a parent where its child is due": {func(t *testing.T, f *file) func(*framed) {
			return atChunk(3, func(_ *framed, frame []byte) ([]byte, error) {
				return replaced(t, frame, retrieval.Block{CID: f.root, Data: f.blocks[f.root]}), nil
			})
		}, chunksLost(0, retrieval.MaxCredit), true},
		"a child that is its parent": {func(t *testing.T, f *file) func(*framed) {
			return atChunk(3, func(_ *framed, frame []byte) ([]byte, error) {
				m := decode(t, frame).(*retrieval.Chunk)
				return replaced(t, frame, retrieval.Block{CID: m.Blocks[0].CID, Data: f.blocks[f.root]}), nil
			})
		}, chunksLost(0, retrieval.MaxCredit), true},
		"the same chunk twice": {func(*testing.T, *file) func(*framed) {
			return atChunk(3, func(f *framed, frame []byte) ([]byte, error) {
				f.in = append(withLength(frame), withLength(frame)...)
				return nil, nil
			})
		}, chunksLost(0, retrieval.MaxCredit), true},
		"without end": {func(t *testing.T, _ *file) func(*framed) {
			return func(f *framed) {
				f.toBuyer = func(_ int, frame []byte) ([]byte, error) {
					if m, ok := decode(t, frame).(*retrieval.End); ok {
						return encode(t, &retrieval.Chunk{Want: m.Want, Blocks: []retrieval.Block{{CID: stranger.root, Data: stranger.bytes}}}), nil
					}
					return frame, nil
				}
			}
		}, chunksLost(0, retrieval.MaxCredit), true},
		"speaks of payment for ever": {func(*testing.T, *file) func(*framed) { return standingsOf }, chunksLost(0, retrieval.MaxCredit), true},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			w := newWorld(t)
			f := makeFile(t, 60*leaf, 80)
			parts := f.cut(t)
			bad := w.open(10, price, nil, parts...)
			alone := newPaper(len(f.bytes))
			w.onStream(bad, -1, tc.bad(t, f))
			first, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, bad), buyer.File{Root: f.root, To: alone})
			if !errors.Is(err, buyer.ErrNoSeller) {
				t.Fatalf("from the bad one alone: %v", err)
			}
			if w.buyer.Dropped(string(bad.peer.ID)) != tc.dropped {
				t.Errorf("dropped: %v", !tc.dropped)
			}
			if l := w.lost(first.Blocks, bad); !l.within(tc.most) {
				t.Errorf("alone: %s; want at most: %s", l, tc.most)
			}
			good := w.open(11, price, nil, parts...)
			to := newPaper(len(f.bytes))
			second, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, bad, good), buyer.File{Root: f.root, To: to})
			if err != nil {
				t.Fatal(err)
			}
			to.holds(t, f, 0, len(f.bytes))
			most := tc.most
			if !tc.dropped { // it is asked again, pays for what was cut off once more, and two units may be asked of both
				most = chunksLost(2*retrieval.MaxCredit+2*2*retrieval.MaxCredit, retrieval.MaxCredit)
			}
			if l := w.lost(first.Blocks+second.Blocks, bad, good); !l.within(most) {
				t.Errorf("beside a good one: %s; want at most: %s", l, most)
			}
		})
	}
}

// TestShortChunkLoss: chunks that are cut in two cost the buyer the one short
// chunk that it paid before it saw the next.
func TestShortChunkLoss(t *testing.T) {
	w := newWorld(t)
	f := smallFiles(t, 6)
	parts := f.cut(t)
	s := w.open(10, price, nil, parts...)
	w.onStream(s, -1, func(f *framed) {
		f.toBuyer = func(_ int, frame []byte) ([]byte, error) {
			m, ok := decode(t, frame).(*retrieval.Chunk)
			if !ok || len(m.Blocks) < 3 {
				return frame, nil
			}
			for _, half := range [][]retrieval.Block{m.Blocks[:2], m.Blocks[2:]} {
				f.in = append(f.in, withLength(encode(t, &retrieval.Chunk{Want: m.Want, Blocks: half}))...)
			}
			return nil, nil
		}
	})
	if _, err := w.buyer.Fetch(ctx, w.request(f, parts, new(basket), s)); err == nil {
		t.Fatal("taken")
	}
	if l := w.lost(0, s); !l.within(chunksLost(1, 0)) { // it keeps two blocks of seven, less than a chunk
		t.Error(l)
	}
}

// TestLateChunkLoss has a right chunk come when another seller has brought it:
// both are paid for what both sent, the sellers lose nothing.
func TestLateChunkLoss(t *testing.T) {
	w := newWorld(t)
	w.config.StallTimeout = time.Minute
	w.remake()
	f := makeFile(t, 60*leaf, 81)
	parts := f.cut(t)
	late, good := w.open(10, price, nil, parts...), w.open(11, price, nil, parts...)
	release := make(chan struct{})
	w.onStream(late, -1, atChunk(3, func(_ *framed, frame []byte) ([]byte, error) {
		<-release
		return frame, nil
	}))
	to := newPaper(len(f.bytes))
	tr := w.buyer.NewTransfer(ctx, w.transfer(f, parts, late, good))
	_, err := tr.File(ctx, buyer.File{Root: f.root, To: to})
	close(release)
	st := tr.Close()
	if err != nil {
		t.Fatal(err)
	}
	to.holds(t, f, 0, len(f.bytes))
	if l := w.lost(st.Blocks, late, good); !l.within(chunksLost(2*2*retrieval.MaxCredit, 0)) { // two units were on their way
		t.Error(l)
	}
}

// TestTricklingSeller gives a chunk byte by byte: to the buyer that is silence.
// The seller loses the window that was on its way.
func TestTricklingSeller(t *testing.T) { synctest.Test(t, tricklingSeller) }

func tricklingSeller(t *testing.T) {
	w := newWorld(t)
	w.config.StallTimeout = 200 * time.Millisecond
	w.remake()
	f := makeFile(t, 20*leaf, 82)
	parts := f.cut(t)
	s := w.open(10, price, nil, parts...)
	w.onStream(s, -1, atChunk(3, func(f *framed, frame []byte) ([]byte, error) {
		f.in = withLength(frame)
		f.slow = 10 * time.Millisecond
		return nil, nil
	}))
	st, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, s), buyer.File{Root: f.root, To: newPaper(len(f.bytes))})
	if !errors.Is(err, buyer.ErrNoSeller) || !w.buyer.Dropped(string(s.peer.ID)) {
		t.Errorf("%d chunks of a trickle: %v", st.Chunks, err)
	}
	if l := w.lost(st.Blocks, s); !l.within(chunksLost(0, retrieval.MaxCredit)) {
		t.Error(l)
	}
}

// TestLiarIsTheLastResort: a seller that lied in an earlier fetch is not asked
// while another one serves, and is when nobody else is left: it may have been its
// disk. What it lies about then is not paid either.
func TestLiarIsTheLastResort(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 30*leaf, 83)
	parts := f.cut(t, 12)
	liar, good := w.open(10, price, nil, parts...), w.open(11, price, nil, parts...)
	w.onStream(liar, -1, atChunk(3, func(_ *framed, frame []byte) ([]byte, error) { return flip(frame), nil }))
	fetch := func(shops ...*shop) (buyer.Stats, error) {
		to := newPaper(len(f.bytes))
		st, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, shops...), buyer.File{Root: f.root, To: to})
		if err == nil {
			to.holds(t, f, 0, len(f.bytes))
		}
		return st, err
	}
	kept := uint64(0)
	if st, err := fetch(liar); err == nil || liar.dials != 1 {
		t.Fatalf("%d sessions with a liar alone: %v", liar.dials, err)
	} else {
		kept += st.Blocks
	}
	if st, err := fetch(liar, good); err != nil || liar.dials != 1 {
		t.Fatalf("%d sessions with a liar beside a good one: %v", liar.dials, err)
	} else {
		kept += st.Blocks
	}
	w.wrap = nil // it lies no more
	if st, err := fetch(liar); err != nil {
		t.Fatalf("from a liar that nobody can replace: %v", err)
	} else {
		kept += st.Blocks
	}
	// What was on its way when it lied is paid for when the buyer comes back.
	if l := w.lost(kept, liar, good); !l.within(chunksLost(retrieval.MaxCredit, retrieval.MaxCredit)) {
		t.Error(l)
	}
}

// TestNobodyHoldsIt ends a fetch whose last seller does not hold what another one
// left undone, and turns to a seller that is dear where the cheap one does not hold
// what waits.
func TestNobodyHoldsIt(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 30*leaf, 84)
	parts := f.cut(t)
	other := makeFile(t, leaf, 85).cut(t)
	other[0].piece = parts[0].piece
	empty, broken := w.open(10, price, nil, other...), w.open(11, price, nil, parts...)
	w.onStream(broken, -1, atChunk(3, func(*framed, []byte) ([]byte, error) { return nil, errCut }))
	st, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, empty, broken), buyer.File{Root: f.root, To: newPaper(len(f.bytes))})
	if !errors.Is(err, buyer.ErrNoSeller) {
		t.Fatalf("%d blocks: %v", st.Blocks, err)
	}
	dear := w.open(12, 10*price, nil, parts...)
	to := newPaper(len(f.bytes))
	if _, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, empty, dear), buyer.File{Root: f.root, To: to}); err != nil {
		t.Fatal(err)
	}
	to.holds(t, f, 0, len(f.bytes))
	w.serving.Wait()
	w.conserved()
}
