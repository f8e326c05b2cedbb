package buyer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/seller"
)

// vault is a seller's source that has to unseal its piece, for a cost.
type vault struct {
	shelf
	cost chain.Amount
	lies bool // takes the order, does nothing, and wants to be paid again

	mu     sync.Mutex
	orders int
	here   bool
}

func (v *vault) Open(ctx context.Context, c seller.Content) (*car.Index, seller.Archive, error) {
	index, a, err := v.shelf.Open(ctx, c)
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil || v.here {
		return index, a, err
	}
	cost := v.cost
	if v.orders > 0 && !v.lies {
		cost = chain.Amount{}
	}
	return index, &sleeper{a.(reader), v, cost}, nil
}

// sleeper is the archive of a vault.
type sleeper struct {
	reader
	of   *vault
	cost chain.Amount
}

func (s *sleeper) Cost() chain.Amount { return s.cost }

func (s *sleeper) Left() time.Duration { return 0 }

func (s *sleeper) Wake(context.Context) error {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.of.orders == 0 || s.of.lies {
		s.of.orders++
	}
	return nil
}

func (s *sleeper) Await(context.Context) error {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.of.lies {
		return fmt.Errorf("%w: alas", seller.ErrUnavailable)
	}
	s.of.here = true
	return nil
}

func (s *sleeper) ReadAt(b []byte, off int64) (int, error) {
	s.of.mu.Lock()
	here := s.of.here
	s.of.mu.Unlock()
	if !here {
		return 0, errors.New("read of a sealed piece")
	}
	return s.reader.ReadAt(b, off)
}

// sealed opens a seller of a piece that has to be unsealed for cost.
func (w *world) sealed(name byte, price, cost uint64, a archive, change func(*vault)) (*shop, *vault) {
	w.t.Helper()
	v := &vault{shelf: shelf{a}, cost: chain.Atto(cost)}
	if change != nil {
		change(v)
	}
	s := w.open(name, price, func(c *seller.Config) { c.Source = v }, a)
	if price == 0 {
		s.config.Prices = seller.Terms{Access: seller.Free, Payee: &s.payee}
		w.reopen(s)
	}
	return s, v
}

// TestUnseal pays for the unsealing of a piece once, before the first chunk, in whole
// ticks of the voucher that pays the chunks; the next buyer pays nothing for it.
func TestUnseal(t *testing.T) {
	f := makeFile(t, 1_500_000, 41)
	a := f.cut(t)[0]
	for name, tc := range map[string]struct{ price, cost, due uint64 }{
		"paid":                 {100, 250, 300},
		"free but for that":    {0, 777, 777},
		"unsealed for nothing": {100, 0, 0},
		"at a low price":       {1, 5, 5},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s, v := w.sealed(2, tc.price, tc.cost, a, nil)
			fetch := func(due uint64) {
				t.Helper()
				sink := &basket{}
				r := w.request(f, []archive{a}, sink, s)
				before := w.redeem(s)
				st, err := w.buyer.Fetch(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				sink.holds(t, f)
				after := w.redeem(s)
				earned, err := after.Sub(before)
				if err != nil {
					t.Fatal(err)
				}
				chunks, _ := chain.Atto(tc.price).Mul(st.Paid)
				want, _ := chunks.Add(chain.Atto(due))
				if st.Spent != want || earned != want || st.Sellers[0].Unsealing != chain.Atto(due) || (tc.price > 0) != (st.Paid == st.Chunks) {
					t.Errorf("%d of %d chunks paid, buyer spent %s (%s for unsealing), seller earned %s; want %s", st.Paid, st.Chunks, st.Spent, st.Sellers[0].Unsealing, earned, want)
				}
				w.conserved()
			}
			fetch(tc.due)
			if v.orders != 1 {
				t.Errorf("%d orders", v.orders)
			}
			w.serving.Wait()
			if got := s.reports[0]; tc.cost > 0 && got.Unseal == 0 || tc.cost == 0 && got.Unseal != 0 {
				t.Errorf("the seller reports %d ticks for unsealing", got.Unseal)
			}
			fetch(0)
		})
	}
}

// TestUnsealElsewhere: nobody is paid for unsealing what another seller has at hand, and
// of several that would have to unseal only the cheapest is.
func TestUnsealElsewhere(t *testing.T) {
	f := makeFile(t, 3_000_000, 42)
	a := f.cut(t)[0]
	for name, awake := range map[string]bool{"one has it at hand": true, "all have to unseal": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			dear, d := w.sealed(2, 100, 500, a, nil)
			cheap, c := w.sealed(3, 100, 300, a, nil)
			shops := []*shop{dear, cheap}
			if awake {
				shops = append(shops, w.open(4, 150, nil, a))
			}
			out := newPaper(len(f.bytes))
			st, err := w.buyer.FetchFile(t.Context(), w.transfer(f, []archive{a}, shops...), buyer.File{Root: f.root, To: out})
			if err != nil {
				t.Fatal(err)
			}
			out.holds(t, f, 0, len(f.bytes))
			w.serving.Wait()
			if want := map[bool]int{true: 0, false: 1}[awake]; d.orders != 0 || c.orders != want {
				t.Errorf("%d orders of the dear one, %d of the cheap one", d.orders, c.orders)
			}
			var unsealing chain.Amount
			for _, of := range st.Sellers {
				unsealing, _ = unsealing.Add(of.Unsealing)
			}
			if want := map[bool]uint64{true: 0, false: 300}[awake]; unsealing != chain.Atto(want) {
				t.Errorf("%s paid for unsealing, want %d", unsealing, want)
			}
		})
	}
}

// TestUnsealTaken: a seller that takes the price of unsealing and does not deliver, in
// whatever way, gets it once and no more; it is remembered as a liar, and another
// delivers.
func TestUnsealTaken(t *testing.T) {
	f := makeFile(t, 1_500_000, 43)
	a := f.cut(t)[0]
	hold := func(fr *framed) {
		fr.toBuyer = func(_ int, frame []byte) ([]byte, error) {
			if frame[0] == byte(retrieval.KindChunk) {
				return encode(t, &retrieval.Wait{}), nil
			}
			return frame, nil
		}
	}
	for name, tc := range map[string]struct {
		change func(*vault)
		hooks  func(*framed)
	}{
		"it wants to be paid again": {func(v *vault) { v.lies = true }, nil},
		"it is at work for ever":    {nil, hold},
	} {
		for _, together := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, transfer %v", name, together), func(t *testing.T) {
				w := newWorld(t)
				w.config.UnsealTimeout = 1
				w.remake()
				liar, _ := w.sealed(2, 100, 250, a, tc.change)
				if tc.hooks != nil {
					w.onStream(liar, -1, tc.hooks)
				}
				fetch := func(shops ...*shop) (buyer.Stats, error) {
					if !together {
						return w.buyer.Fetch(t.Context(), w.request(f, []archive{a}, &basket{}, shops...))
					}
					out := newPaper(len(f.bytes))
					return w.buyer.FetchFile(t.Context(), w.transfer(f, []archive{a}, shops...), buyer.File{Root: f.root, To: out})
				}
				st, err := fetch(liar)
				if !errors.Is(err, buyer.ErrNoSeller) {
					t.Fatalf("%v", err)
				}
				if of := st.Sellers[0]; of.Unsealing != chain.Atto(300) || of.Spent != of.Unsealing || !of.Dropped || !of.Lied {
					t.Errorf("lost %s, of it %s for unsealing; dropped %v, lied %v (%s)", of.Spent, of.Unsealing, of.Dropped, of.Lied, of.Err)
				}
				if earned := w.redeem(liar); earned != chain.Atto(300) {
					t.Errorf("the liar has %s", earned)
				}
				honest := w.open(5, 200, nil, a)
				if st, err = fetch(liar, honest); err != nil {
					t.Fatal(err)
				}
				if got := w.redeem(liar); got != chain.Atto(300) || st.Sellers[0].Spent != (chain.Amount{}) {
					t.Errorf("the liar was paid again: it has %s", got)
				}
				w.conserved()
			})
		}
	}
}

// TestUnsealRefused: what is dearer than all of the chunks, or than the budget, or is to
// be had for nothing only, is not paid at all.
func TestUnsealRefused(t *testing.T) {
	f := makeFile(t, 900_000, 44) // 4 leaves and a node: at most 5 chunks
	a := f.cut(t)[0]
	for name, change := range map[string]func(*buyer.Request){
		"dear":      func(r *buyer.Request) { r.MaxPrice = chain.Atto(100) },
		"budget":    func(r *buyer.Request) { r.Budget = chain.Atto(700) },
		"free only": func(r *buyer.Request) { r.MaxPrice = chain.Amount{} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s, v := w.sealed(2, 100, 800, a, nil)
			r := w.request(f, []archive{a}, &basket{}, s)
			change(&r)
			st, err := w.buyer.Fetch(t.Context(), r)
			if err == nil || !st.Spent.IsZero() || v.orders != 0 || st.Sellers[0].Lied {
				t.Errorf("%v; spent %s, %d orders", err, st.Spent, v.orders)
			}
			if got := w.redeem(s); !got.IsZero() {
				t.Errorf("the seller has %s", got)
			}
		})
	}
}

// TestUnsealKilled cuts the connection at every frame of a session that begins with an
// unsealing, as a death of either side does: what was paid stays paid, nothing is paid
// twice, and the fetch goes on.
func TestUnsealKilled(t *testing.T) {
	f := makeFile(t, 600_000, 45)
	a := f.cut(t)[0]
	for n := 1; ; n++ {
		w := newWorld(t)
		s, v := w.sealed(2, 100, 250, a, nil)
		cut := false
		w.onStream(s, 0, func(fr *framed) {
			fr.toBuyer = func(i int, frame []byte) ([]byte, error) {
				if i == n && !cut {
					cut = true
					return nil, errors.New("cut")
				}
				return frame, nil
			}
		})
		sink := &basket{}
		st, err := w.buyer.Fetch(t.Context(), w.request(f, []archive{a}, sink, s))
		if err != nil {
			t.Fatalf("cut at frame %d: %v", n, err)
		}
		sink.holds(t, f)
		w.serving.Wait()
		if v.orders != 1 || st.Sellers[0].Unsealing != chain.Atto(300) {
			t.Errorf("cut at frame %d: %d orders, %s for unsealing", n, v.orders, st.Sellers[0].Unsealing)
		}
		earned := w.redeem(s)
		if st.Spent.Less(earned) {
			t.Errorf("cut at frame %d: the seller has %s, the buyer paid %s", n, earned, st.Spent)
		}
		if lost, err := st.Spent.Sub(earned); err != nil || chain.Atto(400).Less(lost) {
			t.Errorf("cut at frame %d: %s was paid and not received", n, lost)
		}
		w.conserved()
		if !cut {
			break
		}
	}
}

// TestUnsealDemanded: chunks before the unsealing is paid, and less than is due for it,
// are not given.
func TestUnsealDemanded(t *testing.T) { synctest.Test(t, unsealDemanded) }

func unsealDemanded(t *testing.T) {
	f := makeFile(t, 600_000, 46)
	a := f.cut(t)[0]
	w := newWorld(t)
	s, v := w.sealed(2, 100, 250, a, nil)
	s.config.PayTimeout = 100 * time.Millisecond
	w.reopen(s)
	if _, err := w.chain.Open(t.Context(), s.payee, chain.Atto(10_000)); err != nil {
		t.Fatal(err)
	}
	h := w.hand(s, &a)
	if h.offer.Unseal != 3 {
		t.Fatalf("offer %+v", h.offer)
	}
	pay, links := w.voucher(&h.offer, 1, 0, 1, 20, nil)
	h.send(pay)
	h.standing()
	h.send(&retrieval.Want{ID: 1, Runs: []retrieval.Run{{First: 0}}})
	h.tick(links, 2) // one less than is due
	h.refused(retrieval.CodeUnpaid)
	if v.orders != 0 {
		t.Error("unsealed for less than was due")
	}
	w.serving.Wait()
}
