package buyer_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/seller"
)

// TestCreditIsShared: sessions that are paid on one channel share its credit. One that always owes
// something does not keep another waiting for its first chunk, and when all is lent, the next chunk
// goes to who owes least.
func TestCreditIsShared(t *testing.T) { synctest.Test(t, creditIsShared) }

func creditIsShared(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 30*leaf, 35)
	parts := f.cut(t)
	s := w.open(10, 7, nil, parts...)
	c, err := w.chain.Open(ctx, s.payee, chain.Atto(700))
	if err != nil {
		t.Fatal(err)
	}
	begin := func(lane uint64) (*hand, func(k uint64)) {
		h := w.hand(s, &parts[0])
		pay, links := w.voucher(&h.offer, c.ID, lane, 1, 40, nil)
		h.send(pay)
		h.standing()
		h.send(&retrieval.Want{ID: 1, Runs: []retrieval.Run{{First: 1}}})
		return h, func(k uint64) {
			synctest.Wait() // until every sender waits for credit
			h.tick(links, k)
		}
	}
	chunks := func(h *hand, n int) {
		t.Helper()
		for range n {
			if m := h.read(); m.Kind() != retrieval.KindChunk {
				t.Fatalf("%+v where a chunk is due", m)
			}
		}
	}
	one, payOne := begin(0)
	chunks(one, 2)
	payOne(1)
	chunks(one, 2)
	payOne(2) // two are unpaid, and are for ever
	chunks(one, 2)
	payOne(4)
	chunks(one, 2)
	two, payTwo := begin(1) // four are unpaid: all that is lent
	payOne(5)
	chunks(two, 1) // and not to the one that owes three
	payOne(6)
	chunks(two, 1)
	payTwo(1)
	if m := two.read(); m.Kind() != retrieval.KindChunk {
		t.Fatalf("%+v where a chunk is due", m)
	}
	three, _ := begin(2)
	payOne(7)
	chunks(three, 1)
	for _, h := range []*hand{one, two, three} {
		h.Abort()
	}
	w.serving.Wait()
	if st := s.Stats(); st.Paid != 8 || st.Unpaid != 4 {
		t.Errorf("%+v", st)
	}
}

// TestFetchesBesideEachOther has one buyer fetch from one seller many times at once, over as many
// lanes of a channel that holds nearly nothing: no session breaks off, and each lane is settled.
func TestFetchesBesideEachOther(t *testing.T) {
	const fetches = 6
	w := newWorld(t)
	f := makeFile(t, 40*leaf, 36)
	parts := f.cut(t)
	s := w.open(10, 7, func(c *seller.Config) { c.MaxPeerSessions = fetches }, parts...)
	if _, err := w.chain.Open(ctx, s.payee, chain.Atto(8)); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	stats := make([]buyer.Stats, fetches)
	for i := range fetches {
		all.Go(func() {
			to := newPaper(len(f.bytes))
			var err error
			if stats[i], err = w.buyer.FetchFile(ctx, w.transfer(f, parts, s), buyer.File{Root: f.root, To: to}); err != nil {
				t.Errorf("fetch %d: %v", i, err)
				return
			}
			to.holds(t, f, 0, len(f.bytes))
		})
	}
	all.Wait()
	w.serving.Wait()
	sum := buyer.Stats{}
	for _, st := range stats {
		sum.Paid += st.Paid
		sum.Spent, _ = sum.Spent.Add(st.Spent)
		if st.Chunks != 41 {
			t.Errorf("%d chunks for 41", st.Chunks)
		}
	}
	for _, r := range s.reports {
		if r.Err != nil {
			t.Errorf("session %d: %v", r.Session, r.Err)
		}
	}
	if s.dials != fetches {
		t.Errorf("%d sessions for %d fetches", s.dials, fetches)
	}
	w.settled(sum, s)
}

// behind is a chain that shows a channel as it was until it has been looked up some times more.
type behind struct {
	*ledgerChain
	before *chain.Channel // nil: not there
	looks  atomic.Int64   // left
}

func (b *behind) Channel(ctx context.Context, id uint64) (*chain.Channel, error) {
	if b.looks.Add(-1) >= 0 {
		return b.before, nil
	}
	return b.ledgerChain.Channel(ctx, id)
}

// TestSellerBehind: a seller's node may see the block with the channel, or with what tops it up,
// after the buyer has. The seller waits for it, but not for ever.
func TestSellerBehind(t *testing.T) {
	for _, opened := range []bool{false, true} {
		for _, patience := range []time.Duration{time.Minute, time.Nanosecond} {
			t.Run(fmt.Sprint(opened, patience), func(t *testing.T) {
				w := newWorld(t)
				f := makeFile(t, 5*leaf, 37)
				parts := f.cut(t)
				late := &behind{ledgerChain: w.chain}
				s := w.open(10, 7, func(c *seller.Config) { c.Chain, c.Patience = late, patience }, parts...)
				if opened {
					var err error
					if late.before, err = w.chain.Open(ctx, s.payee, chain.Atto(3)); err != nil {
						t.Fatal(err)
					}
				}
				late.looks.Store(2)
				to := newPaper(len(f.bytes))
				st, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, s), buyer.File{Root: f.root, To: to})
				w.serving.Wait()
				if patience == time.Minute {
					if err != nil || s.dials != 1 {
						t.Fatalf("%d sessions: %v", s.dials, err)
					}
					to.holds(t, f, 0, len(f.bytes))
					w.settled(st, s)
				} else if err == nil && s.dials == 1 {
					t.Error("served against a channel that was not there")
				}
			})
		}
	}
}

// TestAcknowledged: the last tick of a voucher is lost on the way. A voucher that follows it says by
// its amount that the chunk was got, so that nothing stays owed.
func TestAcknowledged(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 9*leaf, 38)
	parts := f.cut(t)
	s := w.open(10, 7, nil, parts...)
	c, err := w.chain.Open(ctx, s.payee, chain.Atto(700))
	if err != nil {
		t.Fatal(err)
	}
	h := w.hand(s, &parts[0])
	pay, links := w.voucher(&h.offer, c.ID, 0, 1, 2, nil)
	h.send(pay)
	h.standing()
	h.send(&retrieval.Want{ID: 1, Runs: []retrieval.Run{{First: 1, Count: 2}}})
	h.read()
	h.tick(links, 1)
	h.read()
	h.Abort()
	w.serving.Wait()
	if d, err := s.ledger.Debt(c.ID); err != nil || d.Unpaid != 1 {
		t.Fatalf("debt %+v, %v", d, err)
	}
	h = w.hand(s, &parts[0])
	next, _ := w.voucher(&h.offer, c.ID, 0, 2, 5, func(v *chain.Voucher) { v.Amount = chain.Atto(14) })
	h.send(next)
	h.standing()
	if d, err := s.ledger.Debt(c.ID); err != nil || d.Unpaid != 0 {
		t.Errorf("debt %+v, %v", d, err)
	}
	h.Abort()
	if earned := w.redeem(s); earned != chain.Atto(14) {
		t.Errorf("earned %s of 14", earned)
	}
}
