package buyer_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/seller"
)

// TestCrashAtEachFrame kills both processes before each frame that the buyer
// sends, with nothing left of what they had not written to files. The seller's
// newest tick is never more than a window behind what it has lent against, no
// promise is lost, and after the restart both go on to the end.
func TestCrashAtEachFrame(t *testing.T) {
	const price, chunks = 7, 14
	for at := 1; ; at++ {
		w := newWorld(t)
		buyerFS, sellerFS := vfs.NewCrashableMem(), vfs.NewCrashableMem()
		w.ledger = openLedger(t, buyerFS)
		w.config.Ledger, w.config.Retries = w.ledger, 1
		w.remake()
		f := makeFile(t, 13*leaf, 60)
		parts := f.cut(t)
		s := w.open(10, price, func(c *seller.Config) { c.Ledger = openLedger(t, sellerFS) }, parts...)
		s.ledger = s.config.Ledger
		var buyerDisk, sellerDisk *vfs.MemFS
		var came, shown uint64
		w.onStream(s, 0, func(f *framed) {
			f.toBuyer = func(_ int, frame []byte) ([]byte, error) {
				if frame[0] == byte(retrieval.KindChunk) {
					came++
				}
				return frame, nil
			}
			f.toSeller = func(n int, frame []byte) ([]byte, error) {
				if n == at {
					buyerDisk = buyerFS.CrashClone(killed)
					sellerDisk = sellerFS.CrashClone(killed)
					w.mu.Lock()
					delete(w.sellers, string(s.peer.ID)) // it is down
					w.mu.Unlock()
					return nil, errCut
				}
				if m, err := retrieval.Decode(frame); err == nil && m.Kind() == retrieval.KindTick {
					shown = m.(*retrieval.Tick).Ticks
				}
				return frame, nil
			}
		})
		var got basket
		r := w.request(f, parts, &got, s)
		first, err := w.buyer.Fetch(ctx, r)
		if sellerDisk == nil {
			if err != nil || at < chunks/2 {
				t.Fatalf("%d frames: %v", at, err)
			}
			return
		}
		w.serving.Wait()
		s.config.Ledger = openLedger(t, sellerDisk)
		s.ledger = s.config.Ledger
		w.config.Ledger = openLedger(t, buyerDisk)
		w.reopen(s)
		w.remake()
		held := s.ticks(1)
		if came > held+2*retrieval.MaxCredit-1 || held > shown {
			t.Fatalf("crash at %d: %d chunks came, %d ticks shown, %d durable", at, came, shown, held)
		}
		if p, err := w.config.Ledger.Promise(1, 0); held > 0 && (p == nil || err != nil) {
			t.Fatalf("crash at %d: the promise is gone (%v)", at, err)
		}
		w.sellers[string(s.peer.ID)], w.wrap = s, nil
		r.From, r.Have = first.Blocks, got.get
		if r.From > 0 || err != nil {
			second, err := w.buyer.Fetch(ctx, r)
			if err != nil {
				t.Fatalf("crash at %d: %v", at, err)
			}
			first.Chunks += second.Chunks
		}
		got.holds(t, f)
		earned := w.redeem(s)
		if first.Chunks != chunks || earned.Less(chain.Atto(price*(chunks-2*retrieval.MaxCredit+1))) || chain.Atto(price*chunks).Less(earned) {
			t.Fatalf("crash at %d: %d chunks, earned %s", at, first.Chunks, earned)
		}
		w.conserved()
	}
}

// killed is what kill -9 leaves of files: all that was written, synced or not.
var killed = vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))}

// dialed is a Dialer whose seller says what it was told beforehand.
type dialed struct {
	w    *world
	said []byte
}

func (d dialed) Open(context.Context, chain.Peer) (io.ReadWriteCloser, error) {
	near, far := net.Pipe()
	d.w.serving.Add(2)
	go func() { defer d.w.serving.Done(); _, _ = io.Copy(io.Discard, far) }()
	go func() {
		defer d.w.serving.Done()
		_, _ = io.Copy(far, bytes.NewReader(d.said))
		far.Close()
	}()
	return near, nil
}

// FuzzBuyer lets a seller say anything to a buyer: it must not crash or hang,
// keep a block that is not the file's, or pay for more chunks than came and a
// window of what a session that broke off may have left on its way.
func FuzzBuyer(f *testing.F) {
	content := makeFile(f, 300, 61)
	two := smallFiles(f, 3)
	parts := two.cut(f)
	payee := address(f, bytes.Repeat([]byte{10}, 32))
	frame := func(m retrieval.Message) []byte {
		b, err := retrieval.Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		return withLength(b)
	}
	offer := retrieval.Offer{Version: retrieval.Version, Session: 1, Piece: parts[0].piece, Root: two.root, Blocks: 4, Bytes: 200, Archive: 400, Chunks: 1,
		ChunkSize: retrieval.ChunkSize, Credit: 4}
	free := frame(&offer)
	offer.Price, offer.Payee, offer.ExpireAfter = chain.Atto(7), &payee, 200
	paid := frame(&offer)
	chunk := retrieval.Chunk{Want: 1}
	for _, c := range two.order {
		chunk.Blocks = append(chunk.Blocks, retrieval.Block{CID: c, Data: two.blocks[c]})
	}
	end := frame(&retrieval.End{Want: 1, Blocks: 4, Reason: retrieval.Complete})
	wrong := retrieval.Chunk{Want: 1, Blocks: []retrieval.Block{{CID: two.root, Data: content.bytes}}}
	f.Add(append(append(bytes.Clone(free), frame(&chunk)...), end...))
	f.Add(append(append(bytes.Clone(paid), frame(&chunk)...), end...))
	f.Add(append(append(bytes.Clone(paid), frame(&retrieval.Standing{Channel: 1, Nonce: 1, Ticks: 1})...), frame(&wrong)...))
	f.Add(append(bytes.Clone(paid), frame(retrieval.Errorf(retrieval.CodeUnpaid, "pay"))...))
	f.Fuzz(func(t *testing.T, said []byte) {
		w := newWorld(t)
		w.config.Dialer, w.config.StallTimeout, w.config.RetryDelay = dialed{w, said}, time.Second, time.Nanosecond
		w.remake()
		r := w.request(two, parts, nil, &shop{peer: chain.Peer{ID: []byte{0, 1, 9}}})
		r.Sink = buyer.SinkFunc(func(_ context.Context, c cid.Cid, data []byte) error {
			if !bytes.Equal(two.blocks[c], data) {
				t.Fatal("kept a wrong block")
			}
			return nil
		})
		st, err := w.buyer.Fetch(ctx, r)
		if err == nil && st.Blocks != 4 || st.Paid > st.Chunks+retrieval.MaxCredit {
			t.Fatalf("%+v, %v", st, err)
		}
		w.remake()
		t2 := w.buyer.NewTransfer(ctx, buyer.TransferRequest{Root: r.Root, Parts: r.Parts, MaxPrice: r.MaxPrice})
		for _, c := range two.order[:2] {
			if got, err := t2.Get(ctx, c); err == nil && !bytes.Equal(two.blocks[c], got) {
				t.Fatal("got a wrong block")
			}
		}
		if st := t2.Close(); st.Paid > st.Chunks+retrieval.MaxCredit {
			t.Fatalf("%+v", st)
		}
		w.serving.Wait()
	})
}
