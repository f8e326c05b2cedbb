package buyer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/seller"
)

// scribe signs receipts with the buyer's key.
type scribe struct {
	w      *world
	change func(*chain.Receipt)
	nonce  uint64
	fail   error
	asked  []buyer.Brought
}

// Height implements buyer.Witness.
func (s *scribe) Height(ctx context.Context) (chain.Height, error) { return s.w.chain.Height(ctx) }

// Sign implements buyer.Witness.
func (s *scribe) Sign(_ context.Context, b buyer.Brought) (*chain.SignedReceipt, error) {
	s.asked = append(s.asked, b)
	if s.fail != nil {
		return nil, s.fail
	}
	s.nonce++
	r := &chain.SignedReceipt{Receipt: chain.Receipt{Version: chain.MessageVersion, ChainID: chainID, Miner: b.Miner, Deal: 5,
		Buyer: s.w.chain.payer, Nonce: s.nonce, Bytes: b.Bytes, From: b.From, To: b.To}}
	if s.change != nil {
		s.change(&r.Receipt)
	}
	text, err := r.Receipt.SignBytes()
	if err == nil {
		r.Signature, err = chain.Sign(s.w.key, text)
	}
	return r, err
}

const testMiner = chain.FirstMinerID + 7

// forMiner makes a seller want receipts.
func forMiner(c *seller.Config) { c.Miner = testMiner }

// kept are the receipts that a shop holds.
func (w *world) kept(s *shop) []chain.SignedReceipt {
	w.t.Helper()
	b, err := s.ledger.MakeBatch(1<<40, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	if b == nil {
		return nil
	}
	leaves, err := s.ledger.Leaves(b.Number)
	if err != nil {
		w.t.Fatal(err)
	}
	out := make([]chain.SignedReceipt, len(leaves))
	for i, leaf := range leaves {
		if err := chain.Decode(leaf, &out[i]); err != nil {
			w.t.Fatal(err)
		}
	}
	return out
}

// TestReceipt: a buyer signs for just what it got, paid or free, at the end of each
// session; the seller keeps what holds and no more; nobody signs who does not want to.
func TestReceipt(t *testing.T) {
	f := makeFile(t, 900_000, 31)
	parts := f.cut(t)
	for name, tc := range map[string]struct {
		price  uint64
		offer  func(*seller.Config)
		change func(*chain.Receipt)
		fail   error
		want   bool
	}{
		"paid":             {100, forMiner, nil, nil, true},
		"free":             {0, forMiner, nil, nil, true},
		"none is wanted":   {100, nil, nil, nil, false},
		"none is signed":   {100, forMiner, nil, errors.New("no"), false},
		"for more":         {100, forMiner, func(r *chain.Receipt) { r.Bytes += 1 << 20 }, nil, false},
		"for another":      {100, forMiner, func(r *chain.Receipt) { r.Miner++ }, nil, false},
		"of another chain": {100, forMiner, func(r *chain.Receipt) { r.ChainID = "x" }, nil, false},
		"of the past":      {100, forMiner, func(r *chain.Receipt) { r.From = 1 }, nil, false},
		"of another key":   {100, forMiner, func(r *chain.Receipt) { r.Buyer = address(t, bytes.Repeat([]byte{77}, 32)) }, nil, false},
		"of the future":    {100, forMiner, func(r *chain.Receipt) { r.To += 1000 }, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			hand := &scribe{w: w, change: tc.change, fail: tc.fail}
			w.config.Witness = hand
			w.remake()
			s := w.open(2, tc.price, tc.offer, parts...)
			sink := &basket{}
			st, err := w.buyer.Fetch(t.Context(), w.request(f, parts, sink, s))
			if err != nil {
				t.Fatal(err)
			}
			sink.holds(t, f)
			w.serving.Wait()
			got := w.kept(s)
			if (len(got) == 1) != tc.want {
				t.Fatalf("%d receipts", len(got))
			}
			if !tc.want {
				if st.Sellers[0].Err != "" {
					t.Errorf("the session failed for it: %s", st.Sellers[0].Err)
				}
				return
			}
			r := &got[0].Receipt
			if err := got[0].Check(chainID); err != nil || r.Bytes != st.Bytes || r.Miner != testMiner || r.Buyer != w.chain.payer || r.From > r.To {
				t.Errorf("%+v for %d bytes: %v", r, st.Bytes, err)
			}
			if b := hand.asked[0]; b.Peer != string(s.peer.ID) || !b.Piece.Equals(parts[0].piece) {
				t.Errorf("asked to sign for %+v", b)
			}
			if r := s.reports[0]; r.Signed != st.Bytes {
				t.Errorf("reported are %d bytes signed for, want %d", r.Signed, st.Bytes)
			}
		})
	}
}

// TestNoReceipt: a session that breaks off has no receipt, the one that goes on where it
// stopped has one for what it brought itself.
func TestNoReceipt(t *testing.T) {
	f := makeFile(t, 2_000_000, 32)
	parts := f.cut(t)
	w := newWorld(t)
	w.config.Witness = &scribe{w: w}
	w.remake()
	s := w.open(2, 100, forMiner, parts...)
	cuts := 0
	w.wrap = func(_ string, stream io.ReadWriteCloser) io.ReadWriteCloser {
		if cuts++; cuts > 1 {
			return stream
		}
		return &cutStream{ReadWriteCloser: stream, left: 900_000}
	}
	sink := &basket{}
	st, err := w.buyer.Fetch(t.Context(), w.request(f, parts, sink, s))
	if err != nil {
		t.Fatal(err)
	}
	sink.holds(t, f)
	w.serving.Wait()
	got := w.kept(s)
	if len(got) != 1 || got[0].Receipt.Bytes == 0 || got[0].Receipt.Bytes >= st.Bytes || s.dials != 2 {
		t.Errorf("%d receipts over %d sessions, of %d bytes: %+v", len(got), s.dials, st.Bytes, got)
	}
}

// cutStream breaks after so many bytes were read.
type cutStream struct {
	io.ReadWriteCloser
	left int
}

func (c *cutStream) Read(b []byte) (int, error) {
	if c.left <= 0 {
		c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.ReadWriteCloser.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}
