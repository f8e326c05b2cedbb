package buyer_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/seller"
)

// wire does to the frames of a line, in both directions, what a script says, one
// byte a frame; when the script is at its end it lets everything pass.
type wire struct {
	mu     sync.Mutex
	script []byte
	seen   [][]byte // frames that passed
}

// bend returns what becomes of a frame: frames to be delivered in its place.
func (m *wire) bend(frame []byte) [][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	frame = bytes.Clone(frame)
	if len(m.script) == 0 {
		return [][]byte{frame}
	}
	op := m.script[0]
	m.script = m.script[1:]
	at := int(op>>3) * len(frame) / 32
	switch op & 7 {
	case 1: // lost
		return nil
	case 2: // doubled
		return [][]byte{frame, frame}
	case 3: // a bit flipped
		frame[at] ^= 1 << (op >> 5)
	case 4: // cut short
		frame = frame[:max(at, 1)]
	case 5: // another in its place
		if len(m.seen) > 0 {
			frame = m.seen[int(op>>3)%len(m.seen)]
		}
	case 6: // one of before once more, first
		if len(m.seen) > 0 {
			return [][]byte{m.seen[int(op>>3)%len(m.seen)], frame}
		}
	case 7: // junk of any kind and size
		junk := make([]byte, 1+int(op)*int(op)*50)
		_, _ = rand.NewChaCha8([32]byte{op}).Read(junk)
		junk[0] = op >> 3
		return [][]byte{junk, frame}
	}
	if len(m.seen) < 32 {
		m.seen = append(m.seen, frame)
	}
	return [][]byte{frame}
}

// bent puts a wire between a buyer and a seller.
func bent(m *wire) func(*framed) {
	return func(f *framed) {
		f.toBuyer = func(_ int, frame []byte) ([]byte, error) {
			for _, b := range m.bend(frame) {
				f.in = append(f.in, withLength(b)...)
			}
			return nil, nil
		}
		f.toSeller = func(_ int, frame []byte) ([]byte, error) {
			all := m.bend(frame)
			if len(all) == 0 {
				return nil, nil
			}
			for _, b := range all[:len(all)-1] {
				if _, err := f.ReadWriteCloser.Write(withLength(b)); err != nil {
					return nil, err
				}
			}
			return all[len(all)-1], nil
		}
	}
}

// FuzzWire bends the line between a buyer and one of two honest sellers: frames
// are lost, doubled, damaged, cut, replayed, swapped and made up, of any kind and
// size. The file arrives byte for byte; the buyer pays no chunk that did not come
// right, beyond what broken sessions left on their way; the seller on the bad line
// loses at most the window of its channel, the other one nothing.
func FuzzWire(f *testing.F) {
	content := makeFile(f, 20*leaf, 95)
	parts := content.cut(f)
	for seed := range byte(12) {
		script := make([]byte, 24)
		_, _ = rand.NewChaCha8([32]byte{seed}).Read(script)
		f.Add(append(make([]byte, seed), script...))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, script []byte) {
		w := newWorld(t)
		w.config.StallTimeout = time.Minute
		w.remake()
		quick := func(c *seller.Config) { c.IdleTimeout, c.PayTimeout = 500*time.Millisecond, 100*time.Millisecond }
		patient := func(c *seller.Config) { c.IdleTimeout, c.PayTimeout = time.Minute, time.Minute }
		bad, good := w.open(10, price, quick, parts...), w.open(11, price, patient, parts...)
		var mu sync.Mutex
		var lines []*framed
		bend := bent(&wire{script: script})
		w.onStream(bad, -1, func(f *framed) {
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, f)
			bend(f)
		})
		to := newPaper(len(content.bytes))
		tr := w.buyer.NewTransfer(ctx, w.transfer(content, parts, bad, good))
		_, err := tr.File(ctx, buyer.File{Root: content.root, To: to})
		mu.Lock()
		for _, f := range lines { // what hangs there will not move any more
			f.Close()
		}
		mu.Unlock()
		st := tr.Close()
		if err != nil {
			t.Fatal(err)
		}
		to.holds(t, content, 0, len(content.bytes))
		if st.Paid > st.Chunks+retrieval.MaxCredit {
			t.Errorf("%d chunks came right, %d were paid", st.Chunks, st.Paid)
		}
		w.serving.Wait()
		if d := bad.debt(); d > retrieval.MaxCredit {
			t.Errorf("the seller on the bad line lost %d chunks", d)
		}
		if d := good.debt(); d > 0 {
			t.Errorf("the seller on the good line lost %d chunks", d)
		}
		w.lost(st.Blocks, bad, good)
	})
}

// FuzzBuyerWithMoney lets a stranger that has a channel say anything to a seller:
// in all that is ever tried on the channel, the seller loses at most its window.
func FuzzBuyerWithMoney(f *testing.F) {
	w := newWorld(f)
	content := makeFile(f, 6*leaf, 96)
	parts := content.cut(f)
	s := w.open(10, price, func(c *seller.Config) { c.IdleTimeout, c.PayTimeout = 20*time.Millisecond, 5*time.Millisecond }, parts...)
	c, err := w.chain.Open(ctx, s.payee, chain.Atto(price*1_000_000))
	if err != nil {
		f.Fatal(err)
	}
	frame := func(m retrieval.Message) []byte {
		b, err := retrieval.Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		return withLength(b)
	}
	say := func(all ...retrieval.Message) (out []byte) {
		for _, m := range all {
			out = append(out, frame(m)...)
		}
		return out
	}
	ask := &retrieval.Ask{Version: retrieval.Version, ChainID: chainID, Piece: &parts[0].piece}
	offer := &retrieval.Offer{Price: chain.Atto(price), ExpireAfter: 1000}
	for nonce := range uint64(4) {
		pay, links := w.voucher(offer, c.ID, nonce%2, nonce+1, 10, nil)
		x, err := links.Tick(nonce)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(say(ask, pay, everything, &retrieval.Tick{Ticks: nonce, Tick: x}))
		f.Add(say(ask, everything, pay, pay, &retrieval.Cancel{Want: 1}, &retrieval.Bye{}))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		stream, err := w.Open(ctx, s.peer)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(io.Discard, stream) }()
		_, _ = io.Copy(stream, bytes.NewReader(said)) // the seller may have had enough
		stream.Close()
		w.serving.Wait()
		if d := s.debt(); d > retrieval.MaxCredit {
			t.Fatalf("the seller lost %d chunks", d)
		}
	})
}
