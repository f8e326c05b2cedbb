package buyer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/seller"
)

// roundTrip is that of a lagging stream.
const roundTrip = 20 * time.Millisecond

// lagging delivers everything half a round trip late, in both directions, however much it is.
type lagging struct {
	near io.ReadWriteCloser
	out  chan parcel
	in   chan parcel
	rest []byte
	stop chan struct{}
	once sync.Once
}

type parcel struct {
	bytes []byte
	at    time.Time
}

func lag(_ string, near io.ReadWriteCloser) io.ReadWriteCloser {
	l := &lagging{near: near, out: make(chan parcel, 100), in: make(chan parcel, 10_000), stop: make(chan struct{})}
	go l.send()
	go l.receive()
	return l
}

func (l *lagging) send() {
	for {
		select {
		case p := <-l.out:
			time.Sleep(time.Until(p.at))
			if _, err := l.near.Write(p.bytes); err != nil {
				return
			}
		case <-l.stop:
			return
		}
	}
}

func (l *lagging) receive() {
	defer close(l.in)
	for {
		b := make([]byte, 300_000)
		n, err := l.near.Read(b)
		if err != nil {
			return
		}
		l.in <- parcel{b[:n], time.Now().Add(roundTrip / 2)}
	}
}

func (l *lagging) Write(p []byte) (int, error) {
	select {
	case l.out <- parcel{bytes.Clone(p), time.Now().Add(roundTrip / 2)}:
		return len(p), nil
	case <-l.stop:
		return 0, io.ErrClosedPipe
	}
}

func (l *lagging) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		next, ok := <-l.in
		if !ok {
			return 0, io.EOF
		}
		time.Sleep(time.Until(next.at))
		l.rest = next.bytes
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func (l *lagging) Close() error {
	l.once.Do(func() { close(l.stop) })
	return l.near.Close()
}

// TestRoundTrips: with a connection and a channel, the first byte of a file takes two round trips
// however many levels it has: one for the offer, one for the payment and the run of blocks from the
// root on. It does so, too, after a fetch that used a voucher up or did not, and for somebody who
// looks at the root before.
func TestRoundTrips(t *testing.T) {
	for name, tc := range map[string]struct {
		leaves, width int
		before        uint64 // bytes fetched before, of another payload
	}{
		"one leaf":           {1, 2, 0},
		"leaves under one":   {5, 174, 0},
		"four levels":        {8, 2, 0},
		"voucher goes on":    {8, 2, 100},
		"voucher is used up": {8, 2, 3 * leaf},
	} {
		for _, look := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.config.StallTimeout = time.Minute
				w.remake()
				f := treeOf(t, randomBytes(tc.leaves*leaf, 16), leaf, tc.width)
				other := makeFile(t, 3*leaf, 17)
				parts, before := f.cut(t), other.cut(t)
				s := w.open(10, 7, nil, append(parts, before...)...)
				if tc.before > 0 {
					r := w.transfer(other, before, s)
					if _, err := w.buyer.FetchFile(ctx, r, buyer.File{Root: other.root, Length: tc.before, To: newPaper(len(other.bytes))}); err != nil {
						t.Fatal(err)
					}
					w.serving.Wait()
				}
				w.wrap = lag
				to := &stamped{paper: newPaper(len(f.bytes))}
				st := w.look(f, parts, s, to, look)
				to.holds(t, f, 0, len(f.bytes))
				if to.took != 2*roundTrip {
					t.Errorf("%s, looked at the root: %v: first byte after %v, want %v", name, look, to.took, 2*roundTrip)
				}
				if want := uint64(len(f.order)); st.Blocks != want {
					t.Errorf("%s: %d blocks came, the file has %d", name, st.Blocks, want)
				}
				w.serving.Wait()
			})
		}
	}
}

// look fetches a file that is the payload, at once or after its root.
func (w *world) look(f *file, parts []archive, s *shop, to *stamped, first bool) buyer.Stats {
	w.t.Helper()
	r := w.transfer(f, parts, s)
	to.start = time.Now()
	if !first {
		st, err := w.buyer.FetchFile(ctx, r, buyer.File{Root: f.root, To: to})
		if err != nil {
			w.t.Fatal(err)
		}
		return st
	}
	r.Whole = true
	tr := w.buyer.NewTransfer(ctx, r)
	root, err := tr.Get(ctx, f.root)
	if err != nil {
		w.t.Fatal(err)
	}
	nodes := func(_ context.Context, c cid.Cid) ([]byte, error) {
		if c.Equals(f.root) {
			return root, nil
		}
		return nil, errors.New("not here")
	}
	if len(f.order) > 1 {
		_, err = tr.File(ctx, buyer.File{Root: f.root, To: to, Nodes: nodes, Has: func(uint64, uint64) bool { return false }})
	} else {
		_, err = to.WriteAt(root, 0)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return tr.Close()
}

// stamped notes when the first bytes came.
type stamped struct {
	*paper
	start time.Time
	took  time.Duration
}

func (s *stamped) WriteAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	if s.took == 0 {
		s.took = time.Since(s.start)
	}
	s.mu.Unlock()
	return s.paper.WriteAt(p, off)
}

// TestLeadOfDirectory: of a payload that is got whole, what comes behind the root is used whoever
// asks for it, and paid once.
func TestLeadOfDirectory(t *testing.T) {
	w := newWorld(t)
	f := smallFiles(t, 40)
	parts := f.cut(t)
	s := w.open(10, 7, nil, parts...)
	r := w.transfer(f, parts, s)
	r.Whole = true
	tr := w.buyer.NewTransfer(ctx, r)
	for _, c := range f.order {
		got, err := tr.Get(ctx, c)
		if err != nil || !bytes.Equal(got, f.blocks[c]) {
			t.Fatalf("block %s: %v", c, err)
		}
	}
	st := tr.Close()
	if st.Blocks != uint64(len(f.order)) || st.Chunks > 1+23 { // 18 blocks in one chunk
		t.Errorf("%d blocks of %d in %d chunks", st.Blocks, len(f.order), st.Chunks)
	}
	w.settled(st, s)
}

// TestNoCopyForLittle: one seller is three times as slow as the other, but what it has yet to
// bring at the end is a matter of moments: nothing is asked for twice. One that would keep the file
// waiting is overtaken.
func TestNoCopyForLittle(t *testing.T) {
	for _, tc := range []struct {
		slow   time.Duration
		copies bool
	}{{6 * time.Millisecond, false}, {400 * time.Millisecond, true}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.config.StallTimeout = time.Minute
			w.remake()
			f := makeFile(t, 40*leaf, 14)
			parts := f.cut(t)
			slow, fast := w.open(10, 7, nil, parts...), w.open(11, 7, nil, parts...)
			pace := map[string]time.Duration{string(slow.peer.ID): tc.slow, string(fast.peer.ID): 2 * time.Millisecond}
			w.wrap = func(peer string, stream io.ReadWriteCloser) io.ReadWriteCloser {
				return &framed{ReadWriteCloser: stream, toBuyer: func(_ int, frame []byte) ([]byte, error) {
					switch {
					case frame[0] == byte(retrieval.KindChunk):
						time.Sleep(pace[peer])
					case frame[0] == byte(retrieval.KindOffer) && peer == string(fast.peer.ID):
						time.Sleep(120 * time.Millisecond) // the slow one is asked first
					}
					return frame, nil
				}}
			}
			to := newPaper(len(f.bytes))
			st, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, slow, fast), buyer.File{Root: f.root, To: to})
			if err != nil {
				t.Fatal(err)
			}
			to.holds(t, f, 0, len(f.bytes))
			if slow.Stats().Chunks == 0 || (st.Chunks > 41) != tc.copies {
				t.Errorf("%v a chunk: %d chunks for 41, %d of the slow seller", tc.slow, st.Chunks, slow.Stats().Chunks)
			}
			w.settled(st, slow, fast)
		})
	}
}

// TestNoCopyAfterTheRoot: the root of a small file comes from one seller, and the leaves are on
// their way. How long so few bytes took says nothing of the leaves: the other seller is not asked
// for them as well.
func TestNoCopyAfterTheRoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		f := makeFile(t, 4*leaf, 16)
		parts := f.cut(t)
		one, other := w.open(10, 7, nil, parts...), w.open(11, 7, nil, parts...)
		w.wrap = func(_ string, stream io.ReadWriteCloser) io.ReadWriteCloser {
			return &framed{ReadWriteCloser: stream, toBuyer: func(_ int, frame []byte) ([]byte, error) {
				if frame[0] == byte(retrieval.KindChunk) {
					time.Sleep(20 * time.Millisecond)
				}
				return frame, nil
			}}
		}
		to := newPaper(len(f.bytes))
		st, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, one, other), buyer.File{Root: f.root, To: to})
		if err != nil {
			t.Fatal(err)
		}
		to.holds(t, f, 0, len(f.bytes))
		if st.Chunks != 5 {
			t.Errorf("%d chunks for a root and 4 leaves", st.Chunks)
		}
		w.settled(st, one, other)
	})
}

// TestPaymentOnItsWay: the payments of a session stay on the way for longer than the seller waits,
// and it breaks off. It is asked again, and the file arrives from it.
func TestPaymentOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		f := makeFile(t, 20*leaf, 17)
		parts := f.cut(t)
		s := w.open(10, 7, func(c *seller.Config) { c.PayTimeout = 2 * time.Second }, parts...)
		streams, ticks := 0, 0
		w.wrap = func(_ string, stream io.ReadWriteCloser) io.ReadWriteCloser {
			if streams++; streams > 1 {
				return stream
			}
			return &framed{ReadWriteCloser: stream, toSeller: func(_ int, frame []byte) ([]byte, error) {
				if frame[0] == byte(retrieval.KindTick) {
					if ticks++; ticks > 3 {
						return nil, nil
					}
				}
				return frame, nil
			}}
		}
		to := newPaper(len(f.bytes))
		st, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, s), buyer.File{Root: f.root, To: to})
		if err != nil {
			t.Fatal(err)
		}
		to.holds(t, f, 0, len(f.bytes))
		if streams < 2 || ticks < 4 {
			t.Errorf("%d sessions, %d ticks in the first", streams, ticks)
		}
		w.settled(st, s)
	})
}
