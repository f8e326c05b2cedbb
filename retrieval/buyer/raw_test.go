package buyer_test

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/payment"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/p2p"
	"github.com/perdure/perdure/retrieval/seller"
)

// hand speaks the protocol to a seller frame by frame.
type hand struct {
	*p2p.Conn
	t     testing.TB
	offer retrieval.Offer
}

func (w *world) hand(s *shop, a *archive) *hand {
	w.t.Helper()
	stream, err := w.Open(ctx, s.peer)
	if err != nil {
		w.t.Fatal(err)
	}
	h := &hand{Conn: p2p.NewConn(stream, time.Minute), t: w.t}
	w.t.Cleanup(h.Abort)
	h.send(&retrieval.Ask{Version: retrieval.Version, ChainID: chainID, Piece: &a.piece})
	h.offer = *h.read().(*retrieval.Offer)
	return h
}

func (h *hand) send(m retrieval.Message) {
	h.t.Helper()
	if err := h.Write(m); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hand) read() retrieval.Message {
	h.t.Helper()
	m, err := h.Read()
	if err != nil {
		h.t.Fatal(err)
	}
	return m
}

// refused reads an Error with the code.
func (h *hand) refused(code retrieval.Code) {
	h.t.Helper()
	m := h.read()
	if e, ok := m.(*retrieval.Error); !ok || e.Code != code {
		h.t.Fatalf("a frame of kind %d where an error with code %s is due", m.Kind(), code)
	}
}

func (h *hand) standing() *retrieval.Standing {
	h.t.Helper()
	m := h.read()
	s, ok := m.(*retrieval.Standing)
	if !ok {
		h.t.Fatalf("%+v where a standing is due", m)
	}
	return s
}

// hash chain and voucher of a lane, good for the offer; change it before signing.
func (w *world) voucher(o *retrieval.Offer, channel, lane, nonce uint64, ticks uint64, change func(*chain.Voucher)) (*retrieval.Pay, *payment.Ticks) {
	w.t.Helper()
	links, err := payment.NewTicks([32]byte{byte(lane), byte(nonce)}, ticks)
	if err != nil {
		w.t.Fatal(err)
	}
	p := &retrieval.Pay{Tick: links.Anchor()}
	p.Voucher.Voucher = chain.Voucher{Version: chain.MessageVersion, ChainID: chainID, Channel: channel, Lane: lane, Nonce: nonce,
		Anchor: links.Anchor(), TickPrice: o.Price, MaxTicks: ticks, ChunkSize: retrieval.ChunkSize, ExpiresAt: o.ExpireAfter + 1}
	if change != nil {
		change(&p.Voucher.Voucher)
	}
	if p.Voucher.Signature, err = w.key.SignVoucher(ctx, &p.Voucher.Voucher); err != nil {
		w.t.Fatal(err)
	}
	return p, links
}

func (h *hand) tick(links *payment.Ticks, k uint64) {
	h.t.Helper()
	x, err := links.Tick(k)
	if err != nil {
		h.t.Fatal(err)
	}
	h.send(&retrieval.Tick{Ticks: k, Tick: x})
}

// TestWrongVouchers shows a seller each kind of voucher that is worth nothing.
func TestWrongVouchers(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 3*leaf, 30)
	parts := f.cut(t)
	s := w.open(10, 7, nil, parts...)
	other := w.open(11, 7, nil, parts...)
	mine, err := w.chain.Open(ctx, s.payee, chain.Atto(70))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := w.chain.Open(ctx, other.payee, chain.Atto(70))
	if err != nil {
		t.Fatal(err)
	}
	settled, err := w.chain.Open(ctx, s.payee, chain.Atto(70))
	if err != nil {
		t.Fatal(err)
	}
	w.chain.channels[settled.ID].SettleAt = 500
	for name, tc := range map[string]struct {
		channel uint64
		ticks   uint64
		change  func(*chain.Voucher)
		spoil   func(*retrieval.Pay)
	}{
		"no such channel": {channel: 99, ticks: 5},
		"another payee":   {channel: theirs.ID, ticks: 5},
		"settled":         {channel: settled.ID, ticks: 5},
		"expired":         {channel: mine.ID, ticks: 5, change: func(v *chain.Voucher) { v.ExpiresAt = 90 }},
		"expires soon":    {channel: mine.ID, ticks: 5, change: func(v *chain.Voucher) { v.ExpiresAt = 100 + settleDelay }},
		"cheap":           {channel: mine.ID, ticks: 5, change: func(v *chain.Voucher) { v.TickPrice = chain.Atto(6) }},
		"large chunks":    {channel: mine.ID, ticks: 5, change: func(v *chain.Voucher) { v.ChunkSize *= 2 }},
		"another chain":   {channel: mine.ID, ticks: 5, change: func(v *chain.Voucher) { v.ChainID = "x" }},
		"begins high":     {channel: mine.ID, ticks: 5, change: func(v *chain.Voucher) { v.Amount = chain.Atto(70) }},
		"overdraws":       {channel: mine.ID, ticks: 5, change: func(v *chain.Voucher) { v.Amount = chain.Atto(71) }},
		"signature":       {channel: mine.ID, ticks: 5, spoil: func(p *retrieval.Pay) { p.Voucher.Signature.Data[3] ^= 1 }},
		"other content":   {channel: mine.ID, ticks: 5, spoil: func(p *retrieval.Pay) { p.Voucher.Voucher.MaxTicks++ }},
		"wrong tick":      {channel: mine.ID, ticks: 5, spoil: func(p *retrieval.Pay) { p.Ticks = 2 }},
	} {
		t.Run(name, func(t *testing.T) {
			h := w.hand(s, &parts[0])
			h.t = t
			pay, _ := w.voucher(&h.offer, tc.channel, 0, 1, tc.ticks, tc.change)
			if tc.spoil != nil {
				tc.spoil(pay)
			}
			h.send(pay)
			h.refused(retrieval.CodeVoucher)
		})
	}
	if h, err := s.ledger.HoldingsOf(mine.ID); err != nil || len(h) != 0 {
		t.Errorf("holds %+v (%v)", h, err)
	}
}

// TestLanesShareAChannel: vouchers on lanes cannot promise one coin twice.
func TestLanesShareAChannel(t *testing.T) { synctest.Test(t, lanesShareAChannel) }

func lanesShareAChannel(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 9*leaf, 31)
	parts := f.cut(t)
	s := w.open(10, 7, func(c *seller.Config) { c.PayTimeout = 50 * time.Millisecond }, parts...)
	c, err := w.chain.Open(ctx, s.payee, chain.Atto(7*6))
	if err != nil {
		t.Fatal(err)
	}
	one := w.hand(s, &parts[0])
	pay, links := w.voucher(&one.offer, c.ID, 0, 1, 4, nil)
	one.send(pay)
	one.standing()
	two := w.hand(s, &parts[0]) // four of the six are spoken for while one lives
	pay2, links2 := w.voucher(&two.offer, c.ID, 1, 1, 6, nil)
	two.send(pay2)
	two.standing()
	two.send(&retrieval.Want{ID: 1, Runs: []retrieval.Run{{}}})
	for k := uint64(1); k <= 2; k++ {
		if _, ok := two.read().(*retrieval.Chunk); !ok {
			t.Fatal("no chunk")
		}
		two.tick(links2, k)
	}
	if m := two.standing(); m.Ticks != 2 {
		t.Errorf("used up at %d", m.Ticks)
	}
	two.refused(retrieval.CodeUnpaid)
	one.send(&retrieval.Want{ID: 1, Runs: []retrieval.Run{{}}})
	for k := uint64(1); k <= 4; k++ {
		if _, ok := one.read().(*retrieval.Chunk); !ok {
			t.Fatal("no chunk")
		}
		one.tick(links, k)
	}
	one.standing() // used up
	one.send(&retrieval.Bye{})
	for {
		if _, err := one.Read(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if earned := w.redeem(s); earned != chain.Atto(42) {
		t.Errorf("earned %s of 42", earned)
	}
	w.conserved()
}

// TestNonces: a nonce stands for one voucher, and the lane never goes back.
func TestNonces(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 9*leaf, 32)
	parts := f.cut(t)
	s := w.open(10, 7, nil, parts...)
	c, err := w.chain.Open(ctx, s.payee, chain.Atto(700))
	if err != nil {
		t.Fatal(err)
	}
	h := w.hand(s, &parts[0])
	pay, links := w.voucher(&h.offer, c.ID, 0, 5, 10, nil)
	h.send(pay)
	h.standing()
	h.send(&retrieval.Want{ID: 1, Runs: []retrieval.Run{{First: 1, Count: 2}}})
	for k := uint64(1); k <= 2; k++ {
		h.read()
		h.tick(links, k)
	}
	if e, ok := h.read().(*retrieval.End); !ok || e.Blocks != 2 || e.Reason != retrieval.Complete {
		t.Fatalf("end %+v", e)
	}
	h.send(&retrieval.Bye{})
	if m := h.standing(); m.Ticks != 2 || m.Nonce != 5 {
		t.Fatalf("standing %+v", m)
	}
	for name, tc := range map[string]struct {
		nonce  uint64
		change func(*chain.Voucher)
		resume bool
	}{
		"same nonce, other content": {5, func(v *chain.Voucher) { v.MaxTicks = 9 }, false},
		"the same when resuming":    {5, func(v *chain.Voucher) { v.MaxTicks = 9 }, true},
		"lower nonce":               {4, nil, false},
		"starts too low":            {6, func(v *chain.Voucher) { v.Amount = chain.Atto(13) }, false},
	} {
		h := w.hand(s, &parts[0])
		bad, _ := w.voucher(&h.offer, c.ID, 0, tc.nonce, 10, tc.change)
		bad.Resume = tc.resume
		h.send(bad)
		m := h.read()
		if e, ok := m.(*retrieval.Error); !ok || e.Code != retrieval.CodeVoucher {
			t.Errorf("%s: %+v", name, m)
		}
		w.serving.Wait()
	}
	again := w.hand(s, &parts[0]) // the first again: it shows how far it was used
	pay.Resume = true
	again.send(pay)
	if m := again.standing(); m.Ticks != 2 {
		t.Errorf("resumed at %d", m.Ticks)
	}
	next, _ := w.voucher(&again.offer, c.ID, 0, 6, 10, func(v *chain.Voucher) { v.Amount = chain.Atto(14) })
	again.send(next)
	if m := again.standing(); m.Ticks != 0 || m.Nonce != 6 {
		t.Errorf("new voucher: %+v", m)
	}
	again.Abort()
	if earned := w.redeem(s); earned != chain.Atto(14) {
		t.Errorf("earned %s", earned)
	}
}

// TestWindow watches how far a seller goes ahead of a buyer that reads and does
// not pay, and then pays one by one.
func TestWindow(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 30*leaf, 33)
	parts := f.cut(t)
	s := w.open(10, 7, nil, parts...)
	c, err := w.chain.Open(ctx, s.payee, chain.Atto(700))
	if err != nil {
		t.Fatal(err)
	}
	h := w.hand(s, &parts[0])
	pay, links := w.voucher(&h.offer, c.ID, 0, 1, 40, nil)
	h.send(pay)
	h.standing()
	h.send(&retrieval.Want{ID: 1, Runs: []retrieval.Run{{}}})
	seen := 0
	for k := uint64(0); k < 6; k++ {
		if k > 0 {
			h.tick(links, k)
		}
		ahead := int(k) + int(retrieval.Window(k, retrieval.MaxCredit, 0))
		for seen < ahead {
			if _, ok := h.read().(*retrieval.Chunk); !ok {
				t.Fatal("no chunk")
			}
			seen++
		}
		if at := s.Seller.Stats(); at.Active != 1 {
			t.Fatalf("%+v", at)
		}
	}
	h.send(&retrieval.Cancel{Want: 1})
	if e, ok := h.read().(*retrieval.End); !ok || e.Reason != retrieval.Cancelled || int(e.Blocks) != seen {
		t.Fatalf("after %d chunks: %+v", seen, e)
	}
	h.send(&retrieval.Want{ID: 2, Runs: []retrieval.Run{{First: 99}}})
	if e, ok := h.read().(*retrieval.End); !ok || e.Want != 2 || e.Reason != retrieval.Missing {
		t.Fatalf("beyond the archive: %+v", e)
	}
	h.Abort()
	w.serving.Wait()
	if st := s.Stats(); st.Unpaid != 4 || st.Paid != 5 {
		t.Errorf("%+v", st)
	}
	d, err := s.ledger.Debt(c.ID)
	if err != nil || d.Unpaid != 4 {
		t.Errorf("debt %+v, %v", d, err)
	}
}

// TestProtocolBreaches: whatever breaks the protocol ends the session with a word.
func TestProtocolBreaches(t *testing.T) { synctest.Test(t, protocolBreaches) }

func protocolBreaches(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 3*leaf, 34)
	parts := f.cut(t)
	s := w.open(10, 7, func(c *seller.Config) { c.IdleTimeout = 100 * time.Millisecond; c.MaxPeerSessions = 50 }, parts...)
	wants := func(ids ...uint64) (out []retrieval.Message) {
		for _, id := range ids {
			out = append(out, &retrieval.Want{ID: id, Runs: []retrieval.Run{{}}})
		}
		return out
	}
	for name, tc := range map[string]struct {
		code retrieval.Code
		say  []retrieval.Message
	}{
		"tick first":     {retrieval.CodeVoucher, []retrieval.Message{&retrieval.Tick{Ticks: 1}}},
		"another ask":    {retrieval.CodeMalformed, []retrieval.Message{&retrieval.Ask{Version: retrieval.Version, ChainID: chainID, Piece: &parts[0].piece}}},
		"a chunk":        {retrieval.CodeMalformed, []retrieval.Message{&retrieval.Chunk{Blocks: []retrieval.Block{{CID: f.order[1], Data: []byte("x")}}}}},
		"wants go back":  {retrieval.CodeMalformed, wants(2, 1)},
		"too many wants": {retrieval.CodeMalformed, wants(1, 2, 3, 4, 5, 6, 7, 8, 9)},
	} {
		h := w.hand(s, &parts[0])
		for _, m := range tc.say {
			h.send(m)
		}
		m := h.read()
		if e, ok := m.(*retrieval.Error); !ok || e.Code != tc.code {
			t.Errorf("%s: %+v", name, m)
		}
	}
	silent := w.hand(s, &parts[0])
	if m, err := silent.Read(); err == nil { // else it is cut off without a word
		if e, ok := m.(*retrieval.Error); !ok || e.Code != retrieval.CodeTimeout {
			t.Errorf("a silent buyer is told %+v", m)
		}
	}
	w.serving.Wait()
	if st := s.Stats(); st.Chunks != 0 || st.Active != 0 {
		t.Errorf("%+v", st)
	}
}

// TestTakeover: a buyer whose connection was lost without the seller's
// knowledge comes back on the same lane at once.
func TestTakeover(t *testing.T) {
	w := newWorld(t)
	f := makeFile(t, 9*leaf, 35)
	parts := f.cut(t)
	s := w.open(10, 7, nil, parts...)
	c, err := w.chain.Open(ctx, s.payee, chain.Atto(700))
	if err != nil {
		t.Fatal(err)
	}
	old := w.hand(s, &parts[0])
	pay, links := w.voucher(&old.offer, c.ID, 0, 1, 40, nil)
	old.send(pay)
	old.standing()
	old.send(&retrieval.Want{ID: 1, Runs: []retrieval.Run{{}}})
	old.read()
	old.tick(links, 1)
	for s.ticks(c.ID) == 0 {
		runtime.Gosched()
	}
	next := w.hand(s, &parts[0])
	pay.Resume = true
	next.send(pay)
	if m := next.standing(); m.Ticks != 1 {
		t.Errorf("resumed at %d", m.Ticks)
	}
	next.Abort()
	w.serving.Wait()
	if !slices.ContainsFunc(s.reports, func(r seller.Report) bool { return retrieval.CodeOf(r.Err) == retrieval.CodeBusy }) {
		t.Errorf("reports %+v", s.reports)
	}
}

// ticks is what the shop's ledger holds of lane 0.
func (s *shop) ticks(channel uint64) uint64 {
	h, err := s.ledger.Holding(channel, 0)
	if err != nil || h == nil {
		return 0
	}
	return h.Ticks
}

// FuzzSeller lets strangers say anything to a seller: it must not crash, hang,
// or give away a chunk.
func FuzzSeller(f *testing.F) {
	w := newWorld(f)
	content := makeFile(f, 2*leaf, 36)
	parts := content.cut(f)
	s := w.open(10, 7, func(c *seller.Config) { c.IdleTimeout = 20 * time.Millisecond; c.PayTimeout = 5 * time.Millisecond }, parts...)
	frame := func(m retrieval.Message) []byte {
		b, err := retrieval.Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		return withLength(b)
	}
	ask := frame(&retrieval.Ask{Version: retrieval.Version, ChainID: chainID, Piece: &parts[0].piece})
	pay, _ := w.voucher(&retrieval.Offer{Price: chain.Atto(7), ExpireAfter: 1000}, 1, 0, 1, 4, nil)
	want := frame(&retrieval.Want{ID: 1, Runs: []retrieval.Run{{CID: &content.order[1], Count: 1}, {First: 1}}})
	f.Add(slices.Concat(ask, want))
	f.Add(slices.Concat(ask, frame(pay), want, frame(&retrieval.Bye{})))
	f.Add(slices.Concat(ask, frame(&retrieval.Cancel{Want: 1}), frame(&retrieval.Tick{Ticks: 1})))
	f.Add([]byte{0, 0, 0, 1, 10})
	f.Fuzz(func(t *testing.T, said []byte) {
		near, far := net.Pipe()
		w.serving.Add(1)
		go func() {
			defer w.serving.Done()
			_ = s.Serve(ctx, far, "a stranger")
		}()
		go func() { _, _ = io.Copy(io.Discard, near) }()
		_, _ = io.Copy(near, bytes.NewReader(said))
		near.Close()
		w.serving.Wait()
		if st := s.Stats(); st.Chunks != 0 {
			t.Fatal("a chunk for nothing")
		}
	})
}
