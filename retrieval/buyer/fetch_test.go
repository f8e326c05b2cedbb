package buyer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/seller"
)

var ctx = context.Background()

func TestFetchSizes(t *testing.T) {
	for _, tc := range []struct{ size, chunks int }{
		{0, 1}, {1, 1}, {leaf, 1}, {leaf + 1, 3}, {1 << 20, 5}, {1<<20 + 1, 6}, {9*leaf + 100, 11},
	} {
		t.Run(fmt.Sprint(tc.size), func(t *testing.T) {
			w := newWorld(t)
			f := makeFile(t, tc.size, 1)
			parts := f.cut(t)
			s := w.open(10, 7, nil, parts...)
			var got basket
			st, err := w.buyer.Fetch(ctx, w.request(f, parts, &got, s))
			if err != nil {
				t.Fatal(err)
			}
			got.holds(t, f)
			if int(st.Chunks) != tc.chunks || st.Paid != st.Chunks || int(st.Blocks) != len(f.order) {
				t.Errorf("%d blocks in %d chunks, %d paid; want %d chunks", st.Blocks, st.Chunks, st.Paid, tc.chunks)
			}
			w.balanced(st, 7, s)
			if left := w.chain.channels[1].Balance; !left.IsZero() {
				t.Errorf("%s attoPDR left of a channel for just this", left)
			}
		})
	}
}

// TestFetchParts reads a payload whose parts are with different sellers.
func TestFetchParts(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 8*leaf, 2)
	parts := f.cut(t, 3, 4)
	first, second := w.open(10, 5, nil, parts[0], parts[2]), w.open(11, 9, nil, parts[1])
	r := w.request(f, parts, nil)
	for i, s := range []*shop{first, second, first} {
		r.Parts[i].Sellers = []chain.Peer{s.peer}
	}
	var got basket
	r.Sink = &got
	st, err := w.buyer.Fetch(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	got.holds(t, f)
	one, two := w.redeem(first), w.redeem(second)
	if one != chain.Atto(5*5) || two != chain.Atto(9*4) || st.Spent != chain.Atto(61) {
		t.Errorf("earned %s and %s, spent %s", one, two, st.Spent)
	}
	w.conserved()
}

func TestFetchAgain(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 3*leaf, 3)
	parts := f.cut(t)
	s := w.open(10, 7, nil, parts...)
	var paid uint64
	for range 3 {
		var got basket
		st, err := w.buyer.Fetch(ctx, w.request(f, parts, &got, s))
		if err != nil {
			t.Fatal(err)
		}
		got.holds(t, f)
		paid += st.Paid
		w.remake() // the same lane goes on after a restart
	}
	if earned := w.redeem(s); earned != chain.Atto(7*paid) || paid != 12 {
		t.Errorf("%d chunks paid, %s earned", paid, earned)
	}
	if w.chain.opened != 1 || w.chain.topUps != 2 || len(w.chain.channels[1].Lanes) != 1 {
		t.Errorf("%d channels, %d top-ups, lanes %+v", w.chain.opened, w.chain.topUps, w.chain.channels[1].Lanes)
	}
	w.conserved()
}

func TestFetchCheapestFirst(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 2*leaf, 4)
	parts := f.cut(t)
	dear, cheap := w.open(10, 9, nil, parts...), w.open(11, 3, nil, parts...)
	over := w.open(12, 1, func(c *seller.Config) { c.Source = shelf(nil) }) // cheapest, without the piece
	var got basket
	st, err := w.buyer.Fetch(ctx, w.request(f, parts, &got, dear, over, cheap))
	if err != nil {
		t.Fatal(err)
	}
	got.holds(t, f)
	w.balanced(st, 3, cheap)
	r := w.request(f, parts, &got, dear)
	r.MaxPrice = chain.Atto(8)
	if _, err := w.buyer.Fetch(ctx, r); !errors.Is(err, buyer.ErrNoSeller) {
		t.Errorf("over the price: %v", err)
	}
}

func TestFetchFreeChunks(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 6*leaf, 5)
	parts := f.cut(t)
	s := w.open(10, 7, func(c *seller.Config) { c.Prices = free(c.Prices, 3) }, parts...)
	var got basket
	st, err := w.buyer.Fetch(ctx, w.request(f, parts, &got, s))
	if err != nil {
		t.Fatal(err)
	}
	got.holds(t, f)
	if st.Chunks != 7 || st.Paid != 4 {
		t.Errorf("%d chunks, %d paid", st.Chunks, st.Paid)
	}
	w.balanced(st, 7, s)
	if st, err = w.buyer.Fetch(ctx, w.request(f, parts, new(basket), s)); err != nil || st.Paid != 7 {
		t.Errorf("the allowance came twice: %d paid, %v", st.Paid, err)
	}
}

func TestFetchBudget(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 6*leaf, 6)
	parts := f.cut(t)
	s := w.open(10, 7, nil, parts...)
	var got basket
	r := w.request(f, parts, &got, s)
	r.Budget = chain.Atto(25)
	st, err := w.buyer.Fetch(ctx, r)
	if !errors.Is(err, buyer.ErrBudget) || st.Spent != chain.Atto(21) {
		t.Fatalf("spent %s: %v", st.Spent, err)
	}
	w.serving.Wait()
	r.From, r.Have, r.Budget = st.Blocks, got.get, chain.Amount{}
	more, err := w.buyer.Fetch(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	got.holds(t, f)
	if st.Paid += more.Paid; st.Paid != 7 {
		t.Errorf("%d chunks paid in all", st.Paid)
	}
	st.Spent = chain.Atto(49)
	w.balanced(st, 7, s)
}

func TestFetchWithoutMoney(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, leaf, 7)
	parts := f.cut(t)
	s := w.open(10, 7, nil, parts...)
	w.chain.refuse = errors.New("the account has 3 attoPDR")
	_, err := w.buyer.Fetch(ctx, w.request(f, parts, new(basket), s))
	if !errors.Is(err, buyer.ErrNoSeller) || !bytes.Contains([]byte(err.Error()), []byte("3 attoPDR")) || s.dials != 1 {
		t.Errorf("%d dials: %v", s.dials, err)
	}
}

// grants entitles one peer to one piece by one deal.
type grants struct {
	peer  string
	deal  uint64
	piece cid.Cid
}

func (g grants) Granted(_ context.Context, peer string, deal uint64, piece cid.Cid) error {
	if peer != g.peer || deal != g.deal || !piece.Equals(g.piece) {
		return errors.New("not the miner of the deal")
	}
	return nil
}

func TestFetchPiece(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 9*leaf, 9)
	parts := f.cut(t, 4)
	client := w.open(10, 0, func(c *seller.Config) {
		c.Prices, c.Chain, c.Ledger = nil, nil, nil
		c.Grants = grants{"the buyer", 5, parts[1].piece}
	}, parts...)
	w.config.Channels, w.config.Signer, w.config.Ledger = nil, nil, nil // a miner's fetch needs no wallet
	w.remake()
	path := filepath.Join(t.TempDir(), "piece.car")
	fetch := func(deal uint64, part int, most uint64, break_ uint64) (buyer.Stats, error) {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		a, err := buyer.OpenArchive(file, f.root)
		if err != nil {
			t.Fatal(err)
		}
		sink := buyer.SinkFunc(func(ctx context.Context, c cid.Cid, data []byte) error {
			if break_ != 0 && a.Blocks() == break_ {
				if _, err := file.Write([]byte("torn")); err != nil {
					t.Fatal(err)
				}
				return errors.New("disk full")
			}
			return a.Put(ctx, c, data)
		})
		return w.buyer.FetchPiece(ctx, buyer.PieceRequest{Peers: []chain.Peer{client.peer}, Piece: parts[part].piece, Root: f.root, Deal: deal,
			From: a.Blocks(), Size: a.Size(), MaxSize: most, Sink: sink})
	}
	size := parts[1].index.Size()
	if _, err := fetch(6, 1, size, 0); err == nil || client.Stats().Chunks != 0 {
		t.Fatalf("another deal: %v", err)
	}
	if _, err := fetch(5, 0, size, 0); err == nil || client.Stats().Chunks != 0 {
		t.Fatalf("another piece: %v", err)
	}
	if _, err := fetch(0, 1, size, 0); err == nil {
		t.Fatal("without a deal")
	}
	if st, err := fetch(5, 1, size, 2); err == nil || st.Blocks != 2 {
		t.Fatalf("full disk: %d blocks, %v", st.Blocks, err)
	}
	st, err := fetch(5, 1, size, 0)
	if err != nil || int(st.Blocks) != parts[1].index.Len()-2 || st.Paid != 0 {
		t.Fatalf("%d blocks: %v", st.Blocks, err)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, parts[1].bytes) {
		t.Fatalf("another archive: %d bytes of %d, %v", len(got), len(parts[1].bytes), err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := fetch(5, 1, size-1, 0); !errors.Is(err, buyer.ErrNoSeller) {
		t.Errorf("more than the piece holds: %v", err)
	}
	if _, err := fetch(5, 1, size, 0); err != nil {
		t.Errorf("the deal's only source is not asked again: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, leaf, 10)
	parts := f.cut(t)
	other := f.cut(t)[0]
	other.piece = cidOf(cid.Raw, []byte("another"))
	s := w.open(10, 7, func(c *seller.Config) { c.MaxPeerSessions = 1 }, parts...)
	if _, err := w.buyer.Quote(ctx, s.peer, other.piece); retrieval.CodeOf(err) != retrieval.CodeNotFound {
		t.Errorf("piece not held: %v", err)
	}
	w.config.ChainID = "another"
	w.remake()
	w.serving.Wait()
	if _, err := w.buyer.Quote(ctx, s.peer, parts[0].piece); retrieval.CodeOf(err) != retrieval.CodeUnsupported {
		t.Errorf("another chain: %v", err)
	}
	w.config.ChainID = chainID
	w.remake()
	w.serving.Wait()
	hold, err := w.Open(ctx, s.peer) // and say nothing
	if err != nil {
		t.Fatal(err)
	}
	for s.Stats().Active == 0 {
		runtime.Gosched()
	}
	if _, err := w.buyer.Quote(ctx, s.peer, parts[0].piece); retrieval.CodeOf(err) != retrieval.CodeBusy {
		t.Errorf("too many sessions: %v", err)
	}
	hold.Close()
	w.serving.Wait()
	if o, err := w.buyer.Quote(ctx, s.peer, parts[0].piece); err != nil || o.Chunks != 1 || o.Price != chain.Atto(7) {
		t.Errorf("offer %+v, %v", o, err)
	}
}

// TestAccess: what is free is everybody's, without a wallet; what is closed is
// nobody's.
func TestAccess(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 3*leaf, 19)
	parts := f.cut(t)
	free := w.open(10, 0, nil, parts...)
	closed := w.open(11, 0, func(c *seller.Config) { c.Prices = seller.Terms{} }, parts...)
	w.config.Channels, w.config.Signer, w.config.Ledger = nil, nil, nil
	w.remake()
	r := w.request(f, parts, new(basket), free)
	r.MaxPrice = chain.Amount{}
	if st, err := w.buyer.Fetch(ctx, r); err != nil || st.Chunks != 4 || st.Paid != 0 {
		t.Errorf("free: %d chunks, %d paid, %v", st.Chunks, st.Paid, err)
	}
	if _, err := w.buyer.Quote(ctx, closed.peer, parts[0].piece); retrieval.CodeOf(err) != retrieval.CodeRefused {
		t.Errorf("closed: %v", err)
	}
	w.serving.Wait()
}
