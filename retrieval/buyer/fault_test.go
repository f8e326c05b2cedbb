package buyer_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/seller"
)

// framed cuts what passes through a stream into frames and shows each, with
// its number in its direction, to two hooks, which may change, hold or drop it.
type framed struct {
	io.ReadWriteCloser
	toSeller, toBuyer func(n int, frame []byte) ([]byte, error)
	slow              time.Duration // between two bytes to the buyer, once it is set
	closed            atomic.Bool

	mu      sync.Mutex
	in, out []byte
	nIn     int
	nOut    int
}

func (f *framed) Write(p []byte) (int, error) { // one frame, as Conn writes
	f.nOut++
	frame := bytes.Clone(p)
	if f.toSeller != nil {
		changed, err := f.toSeller(f.nOut, frame[4:])
		if err != nil {
			f.Close()
			return 0, err
		}
		if changed == nil {
			return len(p), nil
		}
		frame = withLength(changed)
	}
	if _, err := f.ReadWriteCloser.Write(frame); err != nil {
		return 0, err
	}
	return len(p), nil
}

func withLength(frame []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)
}

func (f *framed) Read(p []byte) (int, error) {
	for len(f.in) == 0 {
		head := make([]byte, 4)
		if _, err := io.ReadFull(f.ReadWriteCloser, head); err != nil {
			return 0, err
		}
		frame := make([]byte, binary.BigEndian.Uint32(head))
		if _, err := io.ReadFull(f.ReadWriteCloser, frame); err != nil {
			return 0, err
		}
		f.nIn++
		if f.toBuyer != nil {
			changed, err := f.toBuyer(f.nIn, frame)
			if err != nil {
				f.Close()
				return 0, err
			}
			if changed == nil {
				continue
			}
			frame = changed
		}
		f.in = withLength(frame)
	}
	if f.slow > 0 {
		time.Sleep(f.slow)
		p = p[:1]
		if f.closed.Load() {
			return 0, io.ErrClosedPipe
		}
	}
	n := copy(p, f.in)
	f.in = f.in[n:]
	return n, nil
}

// Close implements io.Closer.
func (f *framed) Close() error {
	f.closed.Store(true)
	return f.ReadWriteCloser.Close()
}

var errCut = errors.New("the line was cut")

// onStream makes the world wrap the n-th stream (from 0) to a seller; -1: all.
func (w *world) onStream(s *shop, n int, hooks func(f *framed)) {
	seen := 0
	w.wrap = func(peer string, stream io.ReadWriteCloser) io.ReadWriteCloser {
		if peer != string(s.peer.ID) {
			return stream
		}
		seen++
		if n >= 0 && seen != n+1 {
			return stream
		}
		f := &framed{ReadWriteCloser: stream}
		hooks(f)
		return f
	}
}

// TestCutAtEachFrame cuts the line before each frame, in each direction, and
// lets the buyer come back: the file is whole, nobody was charged for what did
// not come, and the seller lost at most the chunks under way.
func TestCutAtEachFrame(t *testing.T) {
	for _, toSeller := range []bool{true, false} {
		for at := 1; ; at++ {
			w := newWorld(t)
			f := makeFile(t, 7*leaf, 20)
			parts := f.cut(t)
			s := w.open(10, 7, nil, parts...)
			cut := false
			w.onStream(s, 0, func(f *framed) {
				hook := func(n int, frame []byte) ([]byte, error) {
					if n == at {
						cut = true
						return nil, errCut
					}
					return frame, nil
				}
				if toSeller {
					f.toSeller = hook
				} else {
					f.toBuyer = hook
				}
			})
			var got basket
			st, err := w.buyer.Fetch(ctx, w.request(f, parts, &got, s))
			if err != nil {
				t.Fatalf("cut at %d: %v", at, err)
			}
			got.holds(t, f)
			w.redeem(s)
			books := s.Stats()
			if !cut {
				if at < 10 {
					t.Fatalf("only %d frames", at)
				}
				break
			}
			earned := w.chain.balances[s.payee]
			if earned.Less(chain.Atto(7*(st.Paid-min(st.Paid, retrieval.MaxCredit)))) || st.Spent.Less(earned) || st.Paid > st.Chunks {
				t.Errorf("cut at %d: %d chunks, %d paid, earned %s", at, st.Chunks, st.Paid, earned)
			}
			if books.Unpaid > retrieval.MaxCredit {
				t.Errorf("cut at %d: %d chunks unpaid", at, books.Unpaid)
			}
			again, err := w.buyer.Fetch(ctx, w.request(f, parts, new(basket), s)) // ticks that were lost come with it
			if err != nil {
				t.Fatalf("cut at %d, again: %v", at, err)
			}
			if total, err := st.Spent.Add(again.Spent); err != nil || w.redeem(s) != total {
				t.Errorf("cut at %d: earned %s in the end, spent %s", at, w.redeem(s), total)
			}
			w.conserved()
		}
	}
}

// flip gives another byte in the block data of a chunk frame.
func flip(frame []byte) []byte {
	out := bytes.Clone(frame)
	out[len(out)-1] ^= 1
	return out
}

func decode(t *testing.T, frame []byte) retrieval.Message {
	m, err := retrieval.Decode(frame)
	if err != nil {
		t.Error(err)
	}
	return m
}

func encode(t *testing.T, m retrieval.Message) []byte {
	f, err := retrieval.Encode(m)
	if err != nil {
		t.Error(err)
	}
	return f
}

// TestBadSellers has each kind of seller beside an honest, dearer one: the file
// arrives, the bad one got nothing for the chunk it spoiled and is not asked again.
func TestBadSellers(t *testing.T) {
	stranger := makeFile(t, 100, 99)
	for name, tc := range map[string]struct {
		bad      func(f *framed, n *int) // n: chunks let through as they were
		most     uint64                  // chunks that the bad seller may have been paid
		innocent bool                    // not its fault as far as the buyer can tell
	}{
		"lies in a block": {most: 3, bad: func(f *framed, n *int) {
			f.toBuyer = func(_ int, frame []byte) ([]byte, error) {
				if frame[0] == byte(retrieval.KindChunk) {
					if *n++; *n == 4 {
						return flip(frame), nil
					}
				}
				return frame, nil
			}
		}},
		"another block": {most: 0, bad: func(f *framed, n *int) {
			f.toBuyer = func(_ int, frame []byte) ([]byte, error) {
				if frame[0] == byte(retrieval.KindChunk) {
					m := decode(t, frame).(*retrieval.Chunk)
					return encode(t, &retrieval.Chunk{Want: m.Want, Blocks: []retrieval.Block{{CID: stranger.root, Data: stranger.bytes}}}), nil
				}
				return frame, nil
			}
		}},
		"stalls": {most: 2, bad: func(f *framed, n *int) {
			f.toBuyer = func(_ int, frame []byte) ([]byte, error) {
				if frame[0] == byte(retrieval.KindChunk) {
					if *n++; *n == 3 {
						_, err := io.Copy(io.Discard, f.ReadWriteCloser)
						return nil, errors.Join(errCut, err)
					}
				}
				return frame, nil
			}
		}},
		"stops": {most: 3, innocent: true, bad: func(f *framed, n *int) {
			f.toBuyer = func(_ int, frame []byte) ([]byte, error) {
				if frame[0] == byte(retrieval.KindChunk) {
					if *n++; *n == 3 {
						return nil, errCut
					}
				}
				return frame, nil
			}
		}},
		"garbage": {most: 0, bad: func(f *framed, n *int) {
			f.toBuyer = func(i int, frame []byte) ([]byte, error) {
				if i == 3 {
					return []byte{77, 1, 2}, nil
				}
				return frame, nil
			}
		}},
		"claims an early end": {most: 2, bad: func(f *framed, n *int) {
			f.toBuyer = func(_ int, frame []byte) ([]byte, error) {
				switch m := decode(t, frame).(type) {
				case *retrieval.Chunk:
					if *n++; *n > 2 {
						return encode(t, &retrieval.End{Want: m.Want, Blocks: min(2, uint64(*n)-1), Reason: retrieval.Complete}), nil
					}
				case *retrieval.End:
					return nil, nil
				}
				return frame, nil
			}
		}},
		"counts wrong": {most: 7, bad: func(f *framed, n *int) {
			f.toBuyer = func(_ int, frame []byte) ([]byte, error) {
				if m, ok := decode(t, frame).(*retrieval.End); ok {
					m.Blocks++
					return encode(t, m), nil
				}
				return frame, nil
			}
		}},
		"invents a tick": {most: 0, bad: func(f *framed, n *int) {
			f.toBuyer = func(_ int, frame []byte) ([]byte, error) {
				if m, ok := decode(t, frame).(*retrieval.Standing); ok {
					m.Ticks++
					return encode(t, m), nil
				}
				return frame, nil
			}
		}},
		"raises the price": {most: 0, innocent: true, bad: func(f *framed, n *int) {
			f.toBuyer = func(_ int, frame []byte) ([]byte, error) {
				if m, ok := decode(t, frame).(*retrieval.Offer); ok {
					m.Price = chain.Atto(2_000_000)
					return encode(t, m), nil
				}
				return frame, nil
			}
		}},
		"wants vouchers for ever": {most: 0, innocent: true, bad: func(f *framed, n *int) {
			f.toBuyer = func(_ int, frame []byte) ([]byte, error) {
				if m, ok := decode(t, frame).(*retrieval.Offer); ok {
					m.ExpireAfter = 1 << 50
					return encode(t, m), nil
				}
				return frame, nil
			}
		}},
		"offers another piece": {most: 0, bad: func(f *framed, n *int) {
			f.toBuyer = func(_ int, frame []byte) ([]byte, error) {
				if m, ok := decode(t, frame).(*retrieval.Offer); ok {
					m.Piece = stranger.root
					return encode(t, m), nil
				}
				return frame, nil
			}
		}},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.config.Retries = 1
				w.remake()
				f := makeFile(t, 6*leaf, 21)
				parts := f.cut(t)
				bad, good := w.open(10, 3, nil, parts...), w.open(11, 5, nil, parts...)
				w.onStream(bad, -1, func(f *framed) { tc.bad(f, new(int)) })
				var got basket
				st, err := w.buyer.Fetch(ctx, w.request(f, parts, &got, bad, good))
				if err != nil {
					t.Fatal(err)
				}
				got.holds(t, f)
				earned := w.redeem(bad)
				if tc.innocent {
					tc.most *= 4 // it was asked again
				}
				if chain.Atto(3 * tc.most).Less(earned) {
					t.Errorf("bad seller earned %s", earned)
				}
				if w.buyer.Dropped(string(bad.peer.ID)) == tc.innocent {
					t.Errorf("dropped: %v", !tc.innocent)
				}
				total, err := earned.Add(w.redeem(good))
				lost := uint64(0)
				if tc.innocent { // ticks of the last session may not have got through
					lost = retrieval.MaxCredit
				}
				if least, err2 := total.Add(chain.Atto(3 * lost)); err != nil || err2 != nil || st.Spent.Less(total) || least.Less(st.Spent) {
					t.Errorf("earned %s in all, spent %s", total, st.Spent)
				}
				w.conserved()
				if tc.innocent {
					return
				}
				dials := bad.dials
				if _, err := w.buyer.Fetch(ctx, w.request(f, parts, new(basket), bad, good)); err != nil || bad.dials != dials {
					t.Errorf("asked again: %d dials, %v", bad.dials-dials, err)
				}
			})
		})
	}
}

// TestShortChunksAreAFault has a seller cut in two what makes one chunk, to be
// paid twice.
func TestShortChunksAreAFault(t *testing.T) {
	w := newWorld(t)
	f := smallFiles(t, 6)
	parts := f.cut(t)
	s := w.open(10, 3, nil, parts...)
	var rest []byte
	w.onStream(s, -1, func(f *framed) {
		f.toBuyer = func(_ int, frame []byte) ([]byte, error) {
			m, ok := decode(t, frame).(*retrieval.Chunk)
			if ok && len(m.Blocks) > 2 {
				rest = encode(t, &retrieval.Chunk{Want: m.Want, Blocks: m.Blocks[2:]})
				f.in = withLength(encode(t, &retrieval.Chunk{Want: m.Want, Blocks: m.Blocks[:2]}))
				f.in = append(f.in, withLength(rest)...)
				return nil, nil
			}
			return frame, nil
		}
	})
	_, err := w.buyer.Fetch(ctx, w.request(f, parts, new(basket), s))
	if err == nil || !strings.Contains(err.Error(), "cut short") || rest == nil {
		t.Fatalf("chunks cut short: %v", err)
	}
	if earned := w.redeem(s); chain.Atto(3).Less(earned) {
		t.Errorf("earned %s", earned)
	}
}

// TestSlowSeller drops a seller below the least rate only where there is another.
func TestSlowSeller(t *testing.T) {
	w := newWorld(t)
	w.config.MinRate, w.config.SlowGrace = 1<<40, time.Nanosecond
	w.remake()
	f := makeFile(t, 3*leaf, 23)
	parts := f.cut(t)
	one, two := w.open(10, 3, nil, parts...), w.open(11, 5, nil, parts...)
	var got basket
	st, err := w.buyer.Fetch(ctx, w.request(f, parts, &got, one, two))
	if err != nil {
		t.Fatal(err)
	}
	got.holds(t, f)
	if !w.buyer.Dropped(string(one.peer.ID)) || w.buyer.Dropped(string(two.peer.ID)) || st.Sellers[0].Chunks != 1 {
		t.Errorf("%+v", st.Sellers)
	}
}

// TestBuyerStopsPaying has a buyer that swallows its ticks after each number of
// payments: the seller loses at most the window, over all sessions together.
func TestBuyerStopsPaying(t *testing.T) { synctest.Test(t, buyerStopsPaying) }

func buyerStopsPaying(t *testing.T) {
	for stop := range 6 {
		w := newWorld(t)
		w.config.StallTimeout, w.config.Retries = 2*time.Second, -1 // a session a fetch
		w.remake()
		f := makeFile(t, 12*leaf, 24)
		parts := f.cut(t)
		s := w.open(10, 7, func(c *seller.Config) { c.PayTimeout = 20 * time.Millisecond }, parts...)
		var lost uint64
		for range 8 {
			w.onStream(s, -1, func(f *framed) {
				var before uint64 // the session
				f.toSeller = func(_ int, frame []byte) ([]byte, error) {
					if frame[0] == byte(retrieval.KindTick) {
						ticks := decode(t, frame).(*retrieval.Tick).Ticks
						if before == 0 {
							before = ticks
						}
						if ticks-before >= uint64(stop) {
							return nil, nil
						}
					}
					if frame[0] == byte(retrieval.KindPay) { // nor does it make up for them later
						m := decode(t, frame).(*retrieval.Pay)
						m.Ticks, m.Tick = 0, m.Voucher.Voucher.Anchor
						return encode(t, m), nil
					}
					return frame, nil
				}
			})
			_, err := w.buyer.Fetch(ctx, w.request(f, parts, new(basket), s))
			if err == nil {
				t.Fatal("served without payment")
			}
			w.serving.Wait()
			p, err := w.ledger.Promise(1, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.ledger.SaveRevealed(1, 0, p.Voucher.Voucher.Nonce, 0); err != nil { // nor does a new voucher
				t.Fatal(err)
			}
		}
		lost = s.Stats().Unpaid
		if lost == 0 || lost > retrieval.MaxCredit {
			t.Errorf("stop after %d: %d chunks lost", stop, lost)
		}
		if earned := w.redeem(s); earned.Less(s.Stats().Earned) { // its next vouchers begin with what it kept back
			t.Errorf("stop after %d: earned %s, books say %s", stop, earned, s.Stats().Earned)
		}
		w.conserved()
	}
}

// TestCancel stops a fetch by its context: nothing more is paid.
func TestCancel(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 8*leaf, 25)
	parts := f.cut(t)
	s := w.open(10, 7, nil, parts...)
	ctx, cancel := context.WithCancel(ctx)
	n := 0
	sink := buyer.SinkFunc(func(context.Context, cid.Cid, []byte) error {
		if n++; n == 3 {
			cancel()
		}
		return nil
	})
	st, err := w.buyer.Fetch(ctx, w.request(f, parts, sink, s))
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	earned := w.redeem(s)
	if st.Paid > 3 || st.Spent.Less(earned) || s.Stats().Unpaid > retrieval.MaxCredit {
		t.Errorf("paid %d, earned %s, unpaid %d", st.Paid, earned, s.Stats().Unpaid)
	}
}

// TestSellerRestarts kills the seller's process with its unsynced ticks, and
// the buyer's with its memory; both go on where they were.
func TestSellerRestarts(t *testing.T) {
	for _, forgets := range []string{"", "buyer", "seller"} {
		w := newWorld(t)
		f := makeFile(t, 9*leaf, 26)
		parts := f.cut(t)
		s := w.open(10, 7, nil, parts...)
		var got basket
		r := w.request(f, parts, &got, s)
		w.config.Retries = 1
		w.remake()
		w.onStream(s, -1, func(f *framed) {
			chunks := 0
			f.toBuyer = func(_ int, frame []byte) ([]byte, error) {
				if frame[0] == byte(retrieval.KindChunk) {
					if chunks++; chunks == 5 {
						return nil, errCut
					}
				}
				return frame, nil
			}
		})
		r.Sink = &got
		first, err := w.buyer.Fetch(ctx, func() buyer.Request { r := r; r.Budget = chain.Atto(28); return r }())
		if err == nil {
			t.Fatal("the line was not cut")
		}
		w.serving.Wait()
		w.wrap = nil
		switch forgets {
		case "buyer": // revealed ticks were not synced: it believes the first was never shown
			p, err := w.ledger.Promise(1, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.ledger.SaveRevealed(1, 0, p.Voucher.Voucher.Nonce, 0); err != nil {
				t.Fatal(err)
			}
		case "seller": // the newest tick was not synced
			h, err := s.ledger.Holding(1, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.ledger.SaveTick(1, 0, h.Voucher.Voucher.Nonce, 0, h.Voucher.Voucher.Anchor); err != nil {
				t.Fatal(err)
			}
		}
		w.remake()
		w.reopen(s)
		r.From, r.Have = first.Blocks, got.get
		second, err := w.buyer.Fetch(ctx, r)
		if err != nil {
			t.Fatalf("%s forgets: %v", forgets, err)
		}
		got.holds(t, f)
		paid := first.Paid + second.Paid
		if earned := w.redeem(s); earned != chain.Atto(7*paid) || paid != 10 {
			t.Errorf("%q forgets: %d chunks paid, %s earned", forgets, paid, earned)
		}
		w.conserved()
	}
}

// TestParallel runs sessions at one time on lanes of one channel.
func TestParallel(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 6*leaf, 27)
	parts := f.cut(t)
	s := w.open(10, 7, nil, parts...)
	var all sync.WaitGroup
	errs := make([]error, 5)
	for i := range errs {
		all.Add(1)
		go func() {
			defer all.Done()
			var got basket
			st, err := w.buyer.Fetch(ctx, w.request(f, parts, &got, s))
			if err == nil && (st.Paid != 7 || len(got.order) != len(f.order)) {
				err = fmt.Errorf("%d chunks paid, %d blocks", st.Paid, len(got.order))
			}
			errs[i] = err
		}()
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if earned := w.redeem(s); earned != chain.Atto(5*7*7) || w.chain.opened != 1 {
		t.Errorf("earned %s on %d channels", earned, w.chain.opened)
	}
	w.conserved()
}

// TestLongFetchRenewsVouchers runs out of a voucher in the middle.
func TestLongFetchRenewsVouchers(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 9*leaf, 28)
	parts := f.cut(t)
	s := w.open(10, 7, nil, parts...)
	var got basket
	r := w.request(f, parts, &got, s)
	r.Budget = chain.Atto(76) // halves the vouchers
	st, err := w.buyer.Fetch(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	got.holds(t, f)
	w.balanced(st, 7, s)
}
