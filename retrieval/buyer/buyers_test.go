package buyer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/payment"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/ledger"
	"github.com/perdure/perdure/retrieval/seller"
)

// everything asks for all of a piece.
var everything = &retrieval.Want{ID: 1, Runs: []retrieval.Run{{}}}

// chunks reads so many chunks, and pays those that links are given for.
func (h *hand) chunks(links *payment.Ticks, ticks ...uint64) {
	h.t.Helper()
	for _, k := range ticks {
		if _, ok := h.read().(*retrieval.Chunk); !ok {
			h.t.Fatal("no chunk")
		}
		if links != nil {
			h.tick(links, k)
		}
	}
}

// away breaks off and waits until the seller knows.
func (w *world) away(h *hand) {
	h.Abort()
	w.serving.Wait()
}

// TestBadBuyersLosses states what each misdeed of a buyer costs the seller: never
// more than the window that one channel is lent, however often and on however
// many lanes it is tried.
func TestBadBuyersLosses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		do   func(w *world, s *shop, a *archive, channel uint64) (kept uint64)
		want loss
	}{
		"replays a voucher": {func(w *world, s *shop, a *archive, channel uint64) uint64 {
			h := w.hand(s, a)
			pay, links := w.voucher(&h.offer, channel, 0, 1, 40, nil)
			h.send(pay)
			h.standing()
			h.send(everything)
			h.chunks(links, 1, 2, 3)
			h.send(&retrieval.Bye{})
			for range 8 { // chunks that were on their way come first
				if m, ok := h.read().(*retrieval.Standing); ok && m.Ticks == 3 {
					break
				}
			}
			w.away(h)
			again := w.hand(s, a)
			again.send(pay) // as if it had never been used
			if m := again.standing(); m.Ticks != 3 {
				w.t.Errorf("a replayed voucher stands at tick %d", m.Ticks)
			}
			again.send(everything)
			for k := range uint64(3) { // and its ticks
				x, err := links.Tick(k + 1)
				if err != nil {
					w.t.Fatal(err)
				}
				_ = again.Write(&retrieval.Tick{Ticks: k + 1, Tick: x}) // the seller may have had enough
			}
			w.away(again)
			return 3
		}, chunksLost(0, retrieval.MaxCredit)},
		"reveals a wrong tick": {func(w *world, s *shop, a *archive, channel uint64) uint64 {
			h := w.hand(s, a)
			pay, _ := w.voucher(&h.offer, channel, 0, 1, 40, nil)
			_, others := w.voucher(&h.offer, channel, 1, 1, 40, nil)
			h.send(pay)
			h.standing()
			h.send(everything)
			h.chunks(others, 1)
			m := h.read()
			for ; m.Kind() == retrieval.KindChunk; m = h.read() { // those that were on their way
			}
			if e, ok := m.(*retrieval.Error); !ok || e.Code != retrieval.CodeVoucher {
				w.t.Errorf("a wrong tick is answered by %+v", m)
			}
			w.away(h)
			return 0
		}, chunksLost(0, retrieval.StartCredit)},
		"reveals ticks ahead": {func(w *world, s *shop, a *archive, channel uint64) uint64 {
			h := w.hand(s, a)
			pay, links := w.voucher(&h.offer, channel, 0, 1, 40, nil)
			h.send(pay)
			h.standing()
			h.tick(links, 5)
			h.send(everything)
			h.chunks(nil, 0, 0, 0)
			w.away(h)
			return 5 // it paid five and may have been sent no less
		}, chunksLost(0, retrieval.MaxCredit)},
		"many sessions on one channel": {func(w *world, s *shop, a *archive, channel uint64) uint64 {
			for round := range uint64(5) {
				var all []*hand
				for lane := range uint64(6) {
					h := w.hand(s, a)
					pay, _ := w.voucher(&h.offer, channel, lane, round+1, 4, nil)
					h.send(pay)
					h.standing()
					h.send(everything)
					all = append(all, h)
				}
				for _, h := range all {
					h.Abort()
				}
				w.serving.Wait()
			}
			return 0
		}, chunksLost(0, retrieval.MaxCredit)},
		"many channels": {func(w *world, s *shop, a *archive, channel uint64) uint64 {
			for range 3 {
				c, err := w.chain.Open(ctx, s.payee, chain.Atto(price))
				if err != nil {
					w.t.Fatal(err)
				}
				h := w.hand(s, a)
				pay, _ := w.voucher(&h.offer, c.ID, 0, 1, 40, nil)
				h.send(pay)
				h.standing()
				h.send(everything)
				h.chunks(nil, 0)
				w.away(h)
			}
			return 0
		}, chunksLost(0, 3*retrieval.StartCredit)}, // each cost the buyer a message on the chain
		"overdraws lanes": {func(w *world, s *shop, a *archive, channel uint64) uint64 {
			bought := uint64(0)
			for lane := range uint64(4) { // each promises all that the channel holds
				h := w.hand(s, a)
				pay, links := w.voucher(&h.offer, channel, lane, 1, 40, nil)
				h.send(pay)
				m := h.read()
				if e, refused := m.(*retrieval.Error); refused {
					if e.Code != retrieval.CodeVoucher {
						w.t.Errorf("lane %d: %s", lane, e)
					}
					continue
				}
				h.send(everything)
				for k := uint64(1); ; k++ {
					if _, ok := h.read().(*retrieval.Chunk); !ok {
						break // the channel covers no more
					}
					bought++
					h.tick(links, k)
				}
				w.away(h)
			}
			if bought != 40 {
				w.t.Errorf("a channel of 40 chunks bought %d", bought)
			}
			return bought
		}, chunksLost(0, 0)},
		"ticks of an expired voucher": {func(w *world, s *shop, a *archive, channel uint64) uint64 {
			var old *retrieval.Pay
			var links *payment.Ticks
			for nonce := uint64(1); nonce <= 5; nonce++ { // runs up a debt
				h := w.hand(s, a)
				old, links = w.voucher(&h.offer, channel, 0, nonce, 20, nil)
				h.send(old)
				h.standing()
				h.send(everything)
				if _, ok := h.read().(*retrieval.Chunk); !ok {
					break
				}
				w.away(h)
			}
			w.chain.mu.Lock()
			w.chain.height = old.Voucher.Voucher.ExpiresAt + 1
			w.chain.mu.Unlock()
			x, err := links.Tick(4)
			if err != nil {
				w.t.Fatal(err)
			}
			h := w.hand(s, a)
			old.Resume, old.Ticks, old.Tick = true, 4, x // pays the debt with what is worth nothing
			h.send(old)
			h.standing()
			next, _ := w.voucher(&h.offer, channel, 1, 1, 4, nil)
			w.away(h)
			h = w.hand(s, a)
			h.send(next)
			h.standing()
			h.send(everything)
			h.refused(retrieval.CodeUnpaid)
			return 0
		}, chunksLost(0, retrieval.MaxCredit)},
		"pays without reading": {func(w *world, s *shop, a *archive, channel uint64) uint64 {
			h := w.hand(s, a)
			pay, _ := w.voucher(&h.offer, channel, 0, 1, 40, nil)
			pay.Resume = true
			for range 1000 {
				if h.Write(pay) != nil {
					break
				}
			}
			w.serving.Wait() // the seller gave up
			return 0
		}, chunksLost(0, 0)},
		"asks and keeps the line busy": {func(w *world, s *shop, a *archive, channel uint64) uint64 {
			return idle(w, w.hand(s, a))
		}, chunksLost(0, 0)},
		"reads nothing and keeps the line busy": {func(w *world, s *shop, a *archive, channel uint64) uint64 {
			h := w.hand(s, a)
			pay, _ := w.voucher(&h.offer, channel, 0, 1, 40, nil)
			h.send(pay)
			h.standing()
			h.send(everything)
			return idle(w, h)
		}, chunksLost(0, retrieval.StartCredit)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				f := makeFile(t, 60*leaf, 90)
				parts := f.cut(t)
				s := w.open(10, price, func(c *seller.Config) { c.PayTimeout, c.IdleTimeout = 2*time.Second, 2*time.Second }, parts...)
				c, err := w.chain.Open(ctx, s.payee, chain.Atto(price*40))
				if err != nil {
					t.Fatal(err)
				}
				kept := tc.do(w, s, &parts[0], c.ID)
				if l := w.lost(kept, s); !l.within(tc.want) {
					t.Errorf("%s; want at most: %s", l, tc.want)
				}
				if st := s.Stats(); st.Active != 0 {
					t.Errorf("%d sessions are still open", st.Active)
				}
			})
		})
	}
}

// idle sends frames that ask for nothing until the seller has enough of it.
func idle(w *world, h *hand) uint64 {
	for h.Write(&retrieval.Cancel{Want: 99}) == nil {
		time.Sleep(5 * time.Millisecond)
	}
	w.serving.Wait()
	return 0
}

// TestPaysWhatWasCutOff: a buyer that broke off so often that its channel is lent
// nothing more pays, when it comes back, for what was on its way; then all goes
// on. It lost one window, the seller nothing.
func TestPaysWhatWasCutOff(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 20*leaf, 91)
	parts := f.cut(t)
	s := w.open(10, price, nil, parts...)
	c, err := w.chain.Open(ctx, s.payee, chain.Atto(price*60))
	if err != nil {
		t.Fatal(err)
	}
	kept := w.breakOff(f, parts, s)
	if l := w.lost(kept, s); !l.within(chunksLost(0, retrieval.MaxCredit)) || l.seller.IsZero() {
		t.Errorf("broken off: %s", l)
	}
	// As if it had happened again and again. One of what is unpaid is what was on
	// its way; the chunk before it may be another, whose tick is shown first thing
	// when the buyer comes back.
	if err := s.ledger.ChangeDebt(c.ID, func(d *ledger.Debt) { d.Unpaid += retrieval.MaxCredit - 1 }); err != nil {
		t.Fatal(err)
	}
	to := newPaper(len(f.bytes))
	st, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, s), buyer.File{Root: f.root, To: to})
	if err != nil {
		t.Fatal(err)
	}
	to.holds(t, f, 0, len(f.bytes))
	if l := w.lost(kept+st.Blocks, s); l != chunksLost(retrieval.MaxCredit, 0) {
		t.Errorf("come back: %s", l)
	}
}

// breakOff fetches until the second chunk is on its way, and returns how many
// chunks came: the buyer stops, so that it may not hand on what it paid for.
func (w *world) breakOff(f *file, parts []archive, s *shop) uint64 {
	w.t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.onStream(s, -1, atChunk(2, func(*framed, []byte) ([]byte, error) {
		cancel()
		return nil, errCut
	}))
	st, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, s), buyer.File{Root: f.root, To: newPaper(len(f.bytes))})
	if !errors.Is(err, context.Canceled) {
		w.t.Fatal(err)
	}
	w.serving.Wait()
	w.wrap = nil
	return st.Chunks
}

// TestLiesAboutDebt: a seller that claims a debt gets a window of chunks at most,
// of a buyer that it had a voucher of before; and of a new one nothing.
func TestLiesAboutDebt(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 20*leaf, 92)
	parts := f.cut(t)
	s := w.open(10, price, nil, parts...)
	lies := func(f *framed) {
		f.toBuyer = func(_ int, frame []byte) ([]byte, error) {
			if k := retrieval.Kind(frame[0]); k == retrieval.KindChunk || k == retrieval.KindEnd {
				return encode(t, retrieval.Errorf(retrieval.CodeUnpaid, "you owe me")), nil
			}
			return frame, nil
		}
	}
	for try, most := range []loss{chunksLost(0, retrieval.MaxCredit), chunksLost(retrieval.MaxCredit, retrieval.MaxCredit)} {
		w.onStream(s, -1, lies)
		st, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, s), buyer.File{Root: f.root, To: newPaper(len(f.bytes))})
		if !errors.Is(err, buyer.ErrNoSeller) || st.Blocks != 0 {
			t.Errorf("%d blocks: %v", st.Blocks, err)
		}
		if l := w.lost(0, s); !l.within(most) {
			t.Errorf("fetch %d: %s; want at most: %s", try, l, most)
		}
	}
}
