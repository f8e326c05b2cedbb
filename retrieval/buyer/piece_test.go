package buyer_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/car"
)

// forged is an archive that goes by another's name and root, begins as that
// one does, and has others' blocks from then on, each right by itself.
func forged(t *testing.T, as archive, f, of *file) archive {
	t.Helper()
	var buf bytes.Buffer
	w, err := car.NewWriter(&buf, as.index.Root())
	if err != nil {
		t.Fatal(err)
	}
	for i := range as.index.Len() {
		c, blocks := of.order[i], of.blocks
		if i == 0 {
			e, _ := as.index.At(0)
			c, blocks = e.CID, f.blocks
		}
		if err := w.Put(c, blocks[c]); err != nil {
			t.Fatal(err)
		}
	}
	return archive{as.piece, w.Index(), buf.Bytes()}
}

// buy fetches a whole archive into a file, taking up what it holds.
func (w *world) buy(path string, f *file, a archive, budget uint64, walk bool, shops ...*shop) (buyer.Stats, error) {
	w.t.Helper()
	out, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	defer out.Close()
	to, err := buyer.OpenArchive(out, f.root)
	if err != nil {
		w.t.Fatal(err)
	}
	r := buyer.PieceRequest{Piece: a.piece, Root: f.root, From: to.Blocks(), Size: to.Size(), MaxSize: a.index.Size() + 1000,
		Budget: chain.Atto(budget), Sink: to}
	if walk {
		r.Have = to.Get(out)
	}
	for _, s := range shops {
		r.Peers = append(r.Peers, s.peer)
	}
	st, err := w.buyer.FetchPiece(ctx, r)
	w.serving.Wait()
	return st, err
}

// TestBuyPiece buys a whole payload's piece from strangers: the cheap one lies,
// and is paid for what was right before; who asks too much for all of it gets
// nothing.
func TestBuyPiece(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 9*leaf, 30)
	a := f.cut(t)[0]
	chunks := uint64(len(f.order)) // leaves fill chunks of their own, the root is one
	liar := w.open(10, 3, nil, forged(t, a, f, makeFile(t, 20*leaf, 31)))
	dear, honest := w.open(11, 9, nil, a), w.open(12, 5, nil, a)
	path := filepath.Join(t.TempDir(), "piece.car")

	if st, err := w.buy(path, f, a, 3*chunks-1, true, honest, dear); err == nil || st.Chunks != 0 || w.chain.opened != 0 {
		t.Fatalf("over the budget: %+v, %v, %d channels", st, err, w.chain.opened)
	}
	st, err := w.buy(path, f, a, 5*chunks, true, liar, dear, honest)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, a.bytes) {
		t.Fatalf("another archive: %d bytes of %d, %v", len(got), len(a.bytes), err)
	}
	if st.Paid != chunks || honest.Stats().Paid+liar.Stats().Paid != chunks || dear.Stats().Chunks != 0 || liar.Stats().Paid > 1 || !w.buyer.Dropped(string(liar.peer.ID)) {
		t.Errorf("paid %d chunks, want %d; the dear one served %+v, the liar %+v", st.Paid, chunks, dear.Stats(), liar.Stats())
	}
	w.redeem(honest)
	w.conserved()
}

// TestBuyPart buys a part from which the payload's blocks cannot be foretold: a
// liar is paid once, is blamed for it, and the next fetch is another's.
func TestBuyPart(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 9*leaf, 40)
	a := f.cut(t, 4)[1]
	liar := w.open(10, 3, nil, forged(t, a, f, makeFile(t, 20*leaf, 41)))
	honest := w.open(11, 5, nil, a)
	path := filepath.Join(t.TempDir(), "piece.car")
	st, err := w.buy(path, f, a, 1000, false, honest, liar)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || bytes.Equal(got, a.bytes) || liar.Stats().Paid == 0 {
		t.Fatalf("the liar sold the right archive: %d chunks, %v", liar.Stats().Paid, err)
	}
	w.buyer.Blame(st)
	if !w.buyer.Dropped(string(liar.peer.ID)) || w.buyer.Dropped(string(honest.peer.ID)) {
		t.Error("blamed is another than who served")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if st, err = w.buy(path, f, a, 1000, false, honest, liar); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, a.bytes) {
		t.Fatalf("another archive: %d bytes of %d, %v", len(got), len(a.bytes), err)
	}
	w.balanced(st, 5, honest)
}

// TestBuyOn takes up a piece that was bought in part: nothing is paid twice.
func TestBuyOn(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 9*leaf, 50)
	a := f.cut(t)[0]
	s := w.open(10, 5, nil, a)
	path := filepath.Join(t.TempDir(), "piece.car")
	half, ok := a.index.At(4)
	if !ok {
		t.Fatal("the archive has no fifth block")
	}
	if err := os.WriteFile(path, a.bytes[:half.Offset+10], 0o600); err != nil {
		t.Fatal(err)
	}
	st, err := w.buy(path, f, a, 1000, true, s)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, a.bytes) || st.Paid != uint64(len(f.order))-4 {
		t.Fatalf("%d chunks bought of %d, %d bytes, %v", st.Paid, len(f.order), len(got), err)
	}
	w.balanced(st, 5, s)
}
