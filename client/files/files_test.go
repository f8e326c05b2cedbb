package files

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/pack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sample is an object with every field set.
func sample() *Object {
	return &Object{
		Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Root: "bafkqaaa", Kind: "file", Name: "n", Mode: 0o640, Size: 5,
		SHA256: []byte{1, 2}, Key: "AGE-SECRET-KEY-1X", PayloadSize: 9, ChainID: "c", Client: "t1a", Copies: 2, Duration: 60,
		MaxPrice: chain.Atto(7), Spool: "put-1", Seen: 8,
		Pieces: []Piece{{CID: "baga", PaddedSize: 128, PayloadSize: 9, Archive: "part-0000.car",
			Bid:   Bid{State: BidStands, Order: 4, Reason: "r", Sent: &Sent{Raw: []byte{9}, Nonce: 1, Since: 2, Deals: 3, At: 4}},
			Deals: []Deal{{ID: 1, Miner: 1000, State: "matched", Price: chain.Atto(3), Total: chain.PDR(2), Matched: 5, FetchBy: 6, Accepted: 7, ActiveAt: 8, End: 9, Sector: 1, Reason: "x"}}}},
	}
}

// TestReopen finds everything again in a process of its own.
func TestReopen(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	r, err := Open(home)
	must(t, err)
	want := sample()
	must(t, r.Create(t.Context(), want))
	must(t, r.Create(t.Context(), &Object{}))
	must(t, r.AddChannel(t.Context(), 7))
	opening := &Opening{Sent: Sent{Raw: []byte{1}, Nonce: 2}, Payer: "t1a", Payee: "t1b", Amount: chain.PDR(1)}
	must(t, r.SetOpening(t.Context(), opening))

	r, err = Open(home)
	must(t, err)
	got, err := r.Object(t.Context(), 1)
	must(t, err)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if o, err := r.Object(t.Context(), 2); err != nil || o.Number != 2 {
		t.Errorf("second object: %+v, %v", o, err)
	}
	if _, err := r.Object(t.Context(), 3); !errors.Is(err, ErrNoRecord) {
		t.Errorf("third object: %v", err)
	}
	if o, err := r.Opening(t.Context()); err != nil || !reflect.DeepEqual(o, opening) {
		t.Errorf("opening: %+v, %v", o, err)
	}
	must(t, r.AddChannel(t.Context(), 8))
	if o, err := r.Opening(t.Context()); err != nil || o != nil {
		t.Errorf("opening after the channel is there: %+v, %v", o, err)
	}
	must(t, r.ForgetChannel(t.Context(), 7))
	if ids, err := r.Channels(t.Context()); err != nil || !reflect.DeepEqual(ids, []Channel{{ID: 8}}) {
		t.Errorf("channels: %v, %v", ids, err)
	}
	if info, err := os.Stat(home); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("home has mode %v (%v): it holds keys", info.Mode(), err)
	}
}

// TestUpdates changes one record from many places at once: no change is lost,
// and one that fails changes nothing.
func TestUpdates(t *testing.T) {
	home := t.TempDir()
	first, err := Open(home)
	must(t, err)
	must(t, first.Create(t.Context(), &Object{}))
	var wg sync.WaitGroup
	const writers, each = 4, 5
	for range writers {
		r, err := Open(home) // as other processes do
		must(t, err)
		wg.Go(func() {
			for range each {
				if _, err := r.Update(context.Background(), 1, func(o *Object) error { o.Size++; return nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	no := errors.New("no")
	stamp := first.Stamp()
	if _, err := first.Update(t.Context(), 1, func(o *Object) error { o.Size = 0; return no }); !errors.Is(err, no) {
		t.Error(err)
	}
	if o, err := first.Object(t.Context(), 1); err != nil || o.Size != writers*each {
		t.Errorf("%d changes arrived, want %d (%v)", o.Size, writers*each, err)
	}
	if first.Stamp() != stamp {
		t.Error("a change that failed was announced")
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l")
	l, err := TakeLock(path)
	must(t, err)
	if _, err := TakeLock(path); !errors.Is(err, ErrLocked) {
		t.Errorf("taken twice: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := WaitLock(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting: %v", err)
	}
	must(t, l.Close())
	l, err = TakeLock(path)
	must(t, err)
	must(t, l.Close())
	if _, err := TakeLock(filepath.Join(t.TempDir(), "no", "l")); err == nil || errors.Is(err, ErrLocked) {
		t.Errorf("lock in no directory: %v", err)
	}
}

// TestSpool keeps packed archives, opens them by piece, and sweeps away what nobody names.
func TestSpool(t *testing.T) {
	r, err := Open(t.TempDir())
	must(t, err)
	s, err := r.NewSpool()
	must(t, err)
	packed, err := pack.PackReader(t.Context(), strings.NewReader(strings.Repeat("x", 700_000)),
		pack.Options{MaxPieceSize: 512 << 10, WorkDir: s.Dir()})
	must(t, err)
	pieces, err := s.Keep(packed)
	must(t, err)
	o := &Object{Root: packed.Root.String(), Pieces: pieces, Spool: s.Name()}
	must(t, r.Create(t.Context(), o))
	if _, err := r.OpenSpool(o); !errors.Is(err, ErrLocked) {
		t.Errorf("opened a spool that is in use: %v", err)
	}
	must(t, s.Close())

	lost, err := r.NewSpool()
	must(t, err)
	busy, err := r.NewSpool()
	must(t, err)
	must(t, lost.Close()) // as when its process was killed
	must(t, r.Sweep(t.Context()))
	for dir, there := range map[string]bool{s.Dir(): true, lost.Dir(): false, busy.Dir(): true} {
		if _, err := os.Stat(dir); (err == nil) != there {
			t.Errorf("%s after sweeping: %v", dir, err)
		}
	}
	must(t, busy.Remove())

	for i := range packed.Pieces {
		x, f, err := r.OpenPiece(t.Context(), packed.Pieces[i].CID)
		must(t, err)
		if x.Len() != packed.Pieces[i].Index.Len() {
			t.Errorf("piece %d has %d blocks, want %d", i, x.Len(), packed.Pieces[i].Index.Len())
		}
		for b := range x.Len() {
			if _, err := x.ReadBlock(f, b); err != nil {
				t.Error(err)
			}
		}
		must(t, f.Close())
	}
	must(t, r.RemoveSpool(t.Context(), o.Number))
	if _, _, err := r.OpenPiece(t.Context(), packed.Pieces[0].CID); !errors.Is(err, ErrNotSpooled) {
		t.Errorf("after the spool is gone: %v", err)
	}
	if _, err := os.Stat(s.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the spool is still there: %v", err)
	}
}

// TestStates walks through what bids and deals make of an object.
func TestStates(t *testing.T) {
	deal := func(states ...string) []Deal {
		var out []Deal
		for i, s := range states {
			out = append(out, Deal{ID: uint64(i + 1), State: s})
		}
		return out
	}
	for _, c := range []struct {
		bid      BidState
		deals    []Deal
		state    string
		settled  bool
		problems int
	}{
		{BidNone, nil, "placing", false, 0},
		{BidStands, nil, "open", false, 0},
		{BidStands, deal("active"), "open", false, 0},
		{BidOver, deal("active", "accepted"), "open", false, 0},
		{BidOver, deal("active", "active"), "active", true, 0},
		{BidOver, deal("active", "completed"), "active", true, 0},
		{BidOver, deal("active", "void"), "partial", true, 1},
		{BidOver, deal("active"), "partial", true, 1},
		{BidOver, deal("void", "lost"), "void", true, 2},
		{BidOver, nil, "void", true, 1},
		{BidFailed, nil, "void", true, 1},
	} {
		o := &Object{Copies: 2, Pieces: []Piece{{Bid: Bid{State: c.bid}, Deals: c.deals}}}
		if o.State() != c.state || o.Settled() != c.settled || len(o.Problems()) != c.problems {
			t.Errorf("bid %q, deals %v: state %s, settled %v, problems %q", c.bid, c.deals, o.State(), o.Settled(), o.Problems())
		}
	}
}

// TestRepairedCopy: the deal that the chain made for a lost copy takes its place.
func TestRepairedCopy(t *testing.T) {
	for _, c := range []struct {
		repair   string
		state    string
		settled  bool
		problems int
	}{
		{"", "partial", true, 1},
		{"matched", "open", false, 0},
		{"active", "active", true, 0},
		{"completed", "active", true, 0},
		{"void", "partial", true, 2},
	} {
		p := Piece{Bid: Bid{State: BidOver}, Deals: []Deal{{ID: 1, State: "active"}, {ID: 2, State: "lost", Reason: "lost"}}}
		for _, s := range []chain.DealState{chain.DealMatched, chain.DealAccepted, chain.DealActive, chain.DealCompleted, chain.DealVoid} {
			if s.String() == c.repair {
				p.Note(&chain.Deal{ID: 3, State: s, Succeeds: &chain.Succession{Deal: 2}}, "")
			}
		}
		o := &Object{Copies: 2, Pieces: []Piece{p}}
		if o.State() != c.state || o.Settled() != c.settled || len(o.Problems()) != c.problems || p.Matched() != 2 {
			t.Errorf("repair %s: state %s, settled %v, %d matched, problems %q", c.repair, o.State(), o.Settled(), p.Matched(), o.Problems())
		}
	}
}

// TestRenewedCopy: a copy that is renewed is one copy, whatever becomes of the renewal.
func TestRenewedCopy(t *testing.T) {
	for _, c := range []struct{ first, next, state string }{
		{"active", "matched", "active"}, {"active", "active", "active"}, {"completed", "active", "active"},
		{"completed", "void", "active"}, {"lost", "active", "active"}, {"lost", "void", "void"}, {"lost", "accepted", "open"},
	} {
		p := Piece{Bid: Bid{State: BidOver}, Deals: []Deal{{ID: 1, State: c.first}, {ID: 2, State: c.next, Succeeds: 1}}}
		if o := (&Object{Copies: 1, Pieces: []Piece{p}}); o.State() != c.state {
			t.Errorf("%s, renewed by one that is %s: %s, want %s", c.first, c.next, o.State(), c.state)
		}
	}
}

// TestNote keeps a deal's reason and tells whether something changed.
func TestNote(t *testing.T) {
	var p Piece
	d := &chain.Deal{ID: 3, Miner: 1000, State: chain.DealMatched, Total: chain.PDR(1)}
	if !p.Note(d, "") || p.Note(d, "") || len(p.Deals) != 1 {
		t.Errorf("noted twice: %+v", p.Deals)
	}
	d.State = chain.DealVoid
	if !p.Note(d, "void: why") || p.Note(d, "") || p.Deals[0].Reason != "void: why" {
		t.Errorf("after its end: %+v", p.Deals)
	}
}

// TestGone: a deal of which the chain has no record any more has ended, and how is
// told from its last known state and its term.
func TestGone(t *testing.T) {
	for _, c := range []struct {
		state string
		now   chain.Height
		want  string
		why   bool
	}{{"matched", 10, "void", true}, {"accepted", 10, "void", true}, {"active", 99, "lost", true}, {"active", 100, "completed", true},
		{"completed", 10, "completed", false}, {"lost", 200, "lost", false}} {
		d := Deal{ID: 1, State: c.state, End: 100}
		if d.Gone(c.now); d.State != c.want || (d.Reason != "") != c.why || !d.Over() {
			t.Errorf("%s at height %d: %+v", c.state, c.now, d)
		}
		p := Piece{Deals: []Deal{d}}
		if p.Keep(Deal{ID: 1, State: "active", End: 100}) || p.Deals[0].State != c.want {
			t.Errorf("an older record brings back %+v", p.Deals)
		}
	}
}

// TestTransfers keeps fetches by number, and forgets none that is recent.
func TestTransfers(t *testing.T) {
	r, err := Open(t.TempDir())
	must(t, err)
	first := &Transfer{Root: "a", Paid: chain.Atto(3)}
	must(t, r.CreateTransfer(t.Context(), first))
	must(t, r.CreateTransfer(t.Context(), &Transfer{Root: "b"}))
	first.Paid, first.Sellers = chain.Atto(5), []Seller{{Peer: "p", Miner: "t01000", Paid: chain.Atto(5)}}
	must(t, r.SetTransfer(t.Context(), first))
	all, err := r.Transfers(t.Context())
	must(t, err)
	if len(all) != 2 || !reflect.DeepEqual(all[0], first) || all[1].Number != 2 || all[1].Root != "b" {
		t.Errorf("transfers: %+v", all)
	}
	must(t, r.SetChannel(t.Context(), Channel{ID: 9, Ahead: true}))
	if got, err := r.Channels(t.Context()); err != nil || !reflect.DeepEqual(got, []Channel{{ID: 9, Ahead: true}}) {
		t.Errorf("channels: %+v, %v", got, err)
	}
}
