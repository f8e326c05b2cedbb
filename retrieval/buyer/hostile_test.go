package buyer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/dag"
	"github.com/perdure/perdure/retrieval/ledger"
	"github.com/perdure/perdure/retrieval/p2p"
	"github.com/perdure/perdure/retrieval/seller"
)

// failing is a source whose archives cannot be read from an offset on.
type failing struct {
	shelf
	from int64
}

var errDisk = errors.New("input/output error")

type failingArchive struct {
	seller.Archive
	from int64
}

func (f failing) Open(ctx context.Context, what seller.Content) (*car.Index, seller.Archive, error) {
	x, a, err := f.shelf.Open(ctx, what)
	return x, failingArchive{a, f.from}, err
}

func (a failingArchive) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > a.from {
		return 0, errDisk
	}
	return a.Archive.ReadAt(p, off)
}

// TestSellersDiskFails: a seller whose disk fails in the middle says so and is
// left; the other brings the rest. The buyer loses nothing, the seller at most
// the window that was on its way.
func TestSellersDiskFails(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 40*leaf, 70)
	parts := f.cut(t)
	sick := w.open(10, price, func(c *seller.Config) { c.Source = failing{shelf(parts), 9 * leaf} }, parts...)
	to := newPaper(len(f.bytes))
	st, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, sick), buyer.File{Root: f.root, To: to})
	if !errors.Is(err, buyer.ErrNoSeller) || st.Blocks == 0 {
		t.Fatalf("alone, after %d blocks: %v", st.Blocks, err)
	}
	if l := w.lost(st.Blocks, sick); !l.within(chunksLost(0, retrieval.MaxCredit)) {
		t.Error(l)
	}
	kept := st.Blocks
	good := w.open(11, price, nil, parts...)
	w.remake()
	to = newPaper(len(f.bytes))
	if st, err = w.buyer.FetchFile(ctx, w.transfer(f, parts, sick, good), buyer.File{Root: f.root, To: to}); err != nil {
		t.Fatal(err)
	}
	to.holds(t, f, 0, len(f.bytes))
	if l := w.lost(kept+st.Blocks, sick, good); !l.within(chunksLost(2*2*retrieval.MaxCredit, retrieval.MaxCredit)) { // two units may come twice
		t.Error(l)
	}
}

// TestSettledUnderTransfer: the payer settles the channel while chunks run. The
// seller lends no more and redeems what it holds; it loses at most a window, the
// buyer nothing.
func TestSettledUnderTransfer(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 40*leaf, 71)
	parts := f.cut(t)
	s := w.open(10, price, nil, parts...)
	to := &trigger{paper: newPaper(len(f.bytes)), at: 10, do: func() {
		w.chain.mu.Lock()
		defer w.chain.mu.Unlock()
		next := *w.chain.channels[1]
		next.SettleAt = w.chain.height + settleDelay
		w.chain.channels[1] = &next
		w.chain.height++
	}}
	st, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, s), buyer.File{Root: f.root, To: to})
	if err == nil || !strings.Contains(err.Error(), "being settled") {
		t.Fatalf("%d chunks: %v", st.Chunks, err)
	}
	if l := w.lost(st.Blocks, s); !l.within(chunksLost(0, retrieval.MaxCredit)) {
		t.Error(l)
	}
	if earned := w.redeem(s); earned != s.Stats().Earned || st.Spent.Less(earned) {
		t.Errorf("earned %s on chain, %s by the books, the buyer spent %s", earned, s.Stats().Earned, st.Spent)
	}
}

// TestEndlessArchive: a seller that goes on sending where the unit should end is
// a liar; what goes beyond is not paid.
func TestEndlessArchive(t *testing.T) {
	w := newWorld(t)
	w.config.Retries = 1
	w.remake()
	f := makeFile(t, 10*leaf, 72)
	more := makeFile(t, leaf, 73)
	parts := f.cut(t)
	s := w.open(10, price, nil, parts...)
	w.onStream(s, -1, func(f *framed) {
		f.toBuyer = func(_ int, frame []byte) ([]byte, error) {
			if frame[0] == byte(retrieval.KindEnd) {
				m := decode(t, frame).(*retrieval.End)
				return encode(t, &retrieval.Chunk{Want: m.Want, Blocks: []retrieval.Block{{CID: more.root, Data: more.bytes}}}), nil
			}
			return frame, nil
		}
	})
	to := newPaper(len(f.bytes))
	st, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, s), buyer.File{Root: f.root, To: to})
	w.serving.Wait()
	if st.Paid > 11 || !w.buyer.Dropped(string(s.peer.ID)) {
		t.Errorf("%d chunks paid, dropped %v (%v)", st.Paid, w.buyer.Dropped(string(s.peer.ID)), err)
	}
	if l := w.lost(st.Blocks, s); !l.within(chunksLost(0, retrieval.MaxCredit)) {
		t.Error(l)
	}
}

// TestHostileAuthor: blocks that hash right and claim what cannot be are their
// author's fault: the file fails, the seller is paid for what it sent and not
// blamed.
func TestHostileAuthor(t *testing.T) {
	for name, tc := range map[string]struct {
		build func(f *file) grown
		want  error
		start func(uint64) error
	}{
		"a child larger than it is": {func(f *file) grown {
			c := cidOf(cid.Raw, []byte("small"))
			f.blocks[c] = []byte("small")
			return node(t, f, []grown{{c, 500, nil}, {c, 5, nil}})
		}, dag.ErrMalformed, nil},
		"a thousand million leaves": {func(f *file) grown {
			c := cidOf(cid.Raw, []byte("zip bomb"))
			f.blocks[c] = []byte("zip bomb")
			g := grown{c, 8, nil}
			for range 5 {
				below := make([]grown, 100)
				for i := range below {
					below[i] = g
				}
				g = node(t, f, below)
			}
			return g
		}, dag.ErrTooLarge, nil},
		"deeper than files are": {func(f *file) grown {
			c := cidOf(cid.Raw, []byte("deep"))
			f.blocks[c] = []byte("deep")
			g := grown{c, 4, nil}
			for range dag.MaxDepth + 2 {
				g = node(t, f, []grown{g})
			}
			return g
		}, dag.ErrTooLarge, nil},
		"larger than the disk": {func(f *file) grown {
			c := cidOf(cid.Raw, []byte("zip bomb"))
			f.blocks[c] = []byte("zip bomb")
			return node(t, f, []grown{{c, 8, nil}, {c, 8, nil}})
		}, errDisk, func(size uint64) error { return errDisk }},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			w := newWorld(t)
			f := &file{blocks: map[cid.Cid][]byte{}}
			f.root = tc.build(f).cid
			f.order = []cid.Cid{f.root}
			for c := range f.blocks {
				if c != f.root {
					f.order = append(f.order, c)
				}
			}
			parts := f.cut(t)
			s := w.open(10, price, nil, parts...)
			// not from the root on: the order of the archive is no point here
			file := buyer.File{Root: f.root, Length: 1 << 60, To: nowhere{}, Start: tc.start}
			st, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, s), file)
			if !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
			if w.buyer.Dropped(string(s.peer.ID)) {
				t.Error("the seller is blamed")
			}
			if l := w.lost(st.Chunks, s); l != chunksLost(0, 0) { // the buyer got what it asked for
				t.Error(l)
			}
		})
	}
}

// trickle gives bytes one by one and then nothing.
func trickle(to io.Writer, b []byte, every time.Duration) {
	for i := range b {
		if _, err := to.Write(b[i : i+1]); err != nil {
			return
		}
		time.Sleep(every)
	}
}

// TestSlowLoris: a buyer that trickles a frame byte by byte is as good as silent.
func TestSlowLoris(t *testing.T) { synctest.Test(t, slowLoris) }

func slowLoris(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 3*leaf, 74)
	parts := f.cut(t)
	s := w.open(10, price, func(c *seller.Config) { c.IdleTimeout = 50 * time.Millisecond }, parts...)
	near, far := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, far, "a stranger") }()
	ask := withLength(encode(t, &retrieval.Ask{Version: retrieval.Version, ChainID: chainID, Piece: &parts[0].piece}))
	var trickling sync.WaitGroup
	trickling.Go(func() { trickle(near, ask, 10*time.Millisecond) })
	if err := <-done; !errors.Is(err, p2p.ErrIdle) {
		t.Errorf("served a loris: %v", err)
	}
	near.Close()
	trickling.Wait()
	if l := w.lost(0, s); l != chunksLost(0, 0) || s.Stats().Active != 0 {
		t.Errorf("%s; %+v", l, s.Stats())
	}
}

// TestNeverReads: a buyer that asks for everything, pays nothing and reads
// nothing costs the seller one chunk, which was not even taken.
func TestNeverReads(t *testing.T) { synctest.Test(t, neverReads) }

func neverReads(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 30*leaf, 75)
	parts := f.cut(t)
	s := w.open(10, price, func(c *seller.Config) { c.IdleTimeout = time.Second }, parts...)
	c, err := w.chain.Open(ctx, s.payee, chain.Atto(700))
	if err != nil {
		t.Fatal(err)
	}
	h := w.hand(s, &parts[0])
	pay, _ := w.voucher(&h.offer, c.ID, 0, 1, 40, nil)
	h.send(pay)
	h.standing()
	h.send(&retrieval.Want{ID: 1, Runs: []retrieval.Run{{}}})
	w.serving.Wait()
	if l := w.lost(0, s); !l.within(chunksLost(0, retrieval.StartCredit)) {
		t.Error(l)
	}
}

// TestThousandsOfStreams: beyond its bounds a seller says that it is busy, and
// when the flood is over it serves as before.
func TestThousandsOfStreams(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 3*leaf, 76)
	parts := f.cut(t)
	s := w.open(10, price, func(c *seller.Config) { c.MaxSessions, c.MaxPeerSessions = 16, 4 }, parts...)
	ask := encode(t, &retrieval.Ask{Version: retrieval.Version, ChainID: chainID, Piece: &parts[0].piece})
	var mu sync.Mutex
	got := map[retrieval.Kind]int{}
	var all sync.WaitGroup
	hold := make(chan struct{})
	for i := range 2000 {
		near, far := net.Pipe()
		all.Add(2)
		go func() {
			defer all.Done()
			_ = s.Serve(ctx, far, string(rune('a'+i%8)))
		}()
		go func() {
			defer all.Done()
			defer near.Close()
			conn := p2p.NewConn(near, time.Minute)
			if conn.WriteFrame(ask) != nil {
				return
			}
			m, err := conn.Read()
			if err != nil {
				return
			}
			mu.Lock()
			got[m.Kind()]++
			n := got[retrieval.KindOffer] + got[retrieval.KindError]
			mu.Unlock()
			if n == 2000 {
				close(hold)
			}
			if m.Kind() == retrieval.KindOffer {
				<-hold
			}
		}()
	}
	all.Wait()
	if got[retrieval.KindOffer] != 16 || got[retrieval.KindError] != 1984 {
		t.Errorf("%d offers, %d refusals", got[retrieval.KindOffer], got[retrieval.KindError])
	}
	to := newPaper(len(f.bytes))
	st, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, s), buyer.File{Root: f.root, To: to})
	if err != nil {
		t.Fatal(err)
	}
	to.holds(t, f, 0, len(f.bytes))
	if l := w.lost(st.Blocks, s); l != chunksLost(0, 0) {
		t.Error(l)
	}
}

// TestCrashAmongSellers pulls the plug of all machines in the middle of a fetch
// from four sellers, with nothing left of what was not synced: no seller's
// durable tick is more than a window behind what it lent against, and after the
// restart the rest comes, each side having lost at most its windows.
func TestCrashAmongSellers(t *testing.T) {
	const price, chunks, sellers = 7, 61, 4
	for at := 5; ; at += 19 {
		w := newWorld(t)
		buyerFS := vfs.NewCrashableMem()
		w.ledger = openLedger(t, buyerFS)
		w.config.Ledger, w.config.Retries = w.ledger, 1
		w.remake()
		f := makeFile(t, (chunks-1)*leaf, 77)
		parts := f.cut(t)
		var shops []*shop
		disks := make([]*vfs.MemFS, sellers)
		crashed := make([]*vfs.MemFS, sellers)
		for i := range sellers {
			disks[i] = vfs.NewCrashableMem()
			s := w.open(byte(10+i), price, func(c *seller.Config) { c.Ledger = openLedger(t, disks[i]) }, parts...)
			s.ledger = s.config.Ledger
			shops = append(shops, s)
		}
		var mu sync.Mutex
		var buyerDisk *vfs.MemFS
		frames := 0
		came, shown, tick := map[string]uint64{}, map[string]uint64{}, map[string]uint64{}
		w.wrap = func(peer string, stream io.ReadWriteCloser) io.ReadWriteCloser {
			return &framed{ReadWriteCloser: stream, toBuyer: func(_ int, frame []byte) ([]byte, error) {
				mu.Lock()
				defer mu.Unlock()
				if buyerDisk == nil && frame[0] == byte(retrieval.KindChunk) {
					came[peer]++
				}
				return frame, nil
			}, toSeller: func(_ int, frame []byte) ([]byte, error) {
				mu.Lock()
				defer mu.Unlock()
				if frames++; frames == at {
					buyerDisk = buyerFS.CrashClone(killed)
					for i := range disks {
						crashed[i] = disks[i].CrashClone(killed)
					}
				}
				if buyerDisk != nil {
					return nil, errCut
				}
				if m, err := retrieval.Decode(frame); err == nil && m.Kind() == retrieval.KindTick {
					next := m.(*retrieval.Tick).Ticks
					if next < tick[peer] { // of a new voucher
						tick[peer] = 0
					}
					shown[peer] += next - tick[peer]
					tick[peer] = next
				}
				return frame, nil
			}}
		}
		to := newPaper(len(f.bytes))
		first, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, shops...), buyer.File{Root: f.root, To: to})
		w.serving.Wait()
		if buyerDisk == nil {
			if err != nil || at < chunks/2 {
				t.Fatalf("only %d frames: %v", frames, err)
			}
			return
		}
		w.wrap = nil
		w.config.Ledger = openLedger(t, buyerDisk)
		w.remake()
		for i, s := range shops {
			s.config.Ledger = openLedger(t, crashed[i])
			s.ledger = s.config.Ledger
			w.reopen(s)
			peer := string(s.peer.ID)
			held := s.durable(price)
			if came[peer] > held+2*retrieval.MaxCredit-1 || held > shown[peer] {
				t.Errorf("crash at %d, seller %d: %d chunks came, %d ticks shown, %d durable", at, i, came[peer], shown[peer], held)
			}
		}
		has := bytes.Clone(boolBytes(to.wrote))
		file := buyer.File{Root: f.root, To: to, Has: func(off, n uint64) bool { return bytes.IndexByte(has[off:off+n], 0) < 0 }}
		second, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, shops...), file)
		if err != nil {
			t.Fatalf("crash at %d: %v", at, err)
		}
		to.holds(t, f, 0, len(f.bytes))
		w.serving.Wait()
		var earned []chain.Amount
		for _, s := range shops {
			earned = append(earned, w.redeem(s))
		}
		sum, err := chain.Sum(earned...)
		if most := first.Chunks + second.Chunks; err != nil || chain.Atto(price*most).Less(sum) || sum.Less(chain.Atto(price*(chunks-sellers*(2*retrieval.MaxCredit-1)))) {
			t.Errorf("crash at %d: %d chunks came, the sellers earned %s", at, most, sum)
		}
		w.conserved()
	}
}

// durable is how many chunks the claims in the shop's ledger are worth.
func (s *shop) durable(price uint64) (chunks uint64) {
	_ = s.ledger.Holdings(func(h *ledger.Holding) error {
		claim := h.Claim()
		worth, err := claim.Worth()
		chunks += worth.Big().Uint64() / price
		return err
	})
	return chunks
}

func boolBytes(b []bool) []byte {
	out := make([]byte, len(b))
	for i, v := range b {
		if v {
			out[i] = 1
		}
	}
	return out
}
