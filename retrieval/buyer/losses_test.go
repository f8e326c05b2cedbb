package buyer_test

import (
	"bytes"
	"fmt"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
)

// price is what a chunk costs in tests of losses, in attoPDR.
const price = 7

// loss is what an incident cost each side, in attoPDR: the buyer what sellers
// earned beyond the price of the chunks that it was left with, the sellers the
// price of the chunks that they sent and did not earn.
type loss struct{ buyer, seller chain.Amount }

// chunksLost is a loss of so many chunks.
func chunksLost(buyer, seller uint64) loss {
	return loss{chain.Atto(price * buyer), chain.Atto(price * seller)}
}

func (l loss) String() string {
	return fmt.Sprintf("the buyer lost %s attoPDR, the sellers %s", l.buyer, l.seller)
}

// within reports whether neither side lost more than most says.
func (l loss) within(most loss) bool {
	return !most.buyer.Less(l.buyer) && !most.seller.Less(l.seller)
}

// lost states what each side lost in all that happened so far, with a buyer that
// was left with so many chunks and shops that sell for price and were not made
// anew. What the shops hold is redeemed before, so that what they earned is what
// the chain paid them; and the money of the world must add up.
func (w *world) lost(kept uint64, shops ...*shop) loss {
	w.t.Helper()
	var earned chain.Amount
	var sent uint64
	for _, s := range shops {
		sum, err := earned.Add(w.redeem(s))
		if err != nil {
			w.t.Fatal(err)
		}
		earned = sum
		sent += s.Stats().Chunks
	}
	w.conserved()
	l := loss{beyond(earned, chain.Atto(price*kept)), beyond(chain.Atto(price*sent), earned)}
	w.t.Log(l)
	return l
}

// beyond is by how much a is more than b.
func beyond(a, b chain.Amount) chain.Amount {
	out, err := a.Sub(b.Min(a))
	if err != nil {
		panic(err) // b.Min(a) is no more than a
	}
	return out
}

// debt is how many chunks the shop sent and holds no tick for.
func (s *shop) debt() uint64 {
	sent, held := s.Stats().Chunks, s.durable(price)
	return sent - min(sent, held)
}

// standingsOf says what the lane stands at again and again, and swallows chunks.
func standingsOf(f *framed) {
	var said []byte
	f.toBuyer = func(_ int, frame []byte) ([]byte, error) {
		switch retrieval.Kind(frame[0]) {
		case retrieval.KindStanding:
			said = bytes.Clone(frame)
		case retrieval.KindChunk:
			for range 20 {
				f.in = append(f.in, withLength(said)...)
			}
			return nil, nil
		}
		return frame, nil
	}
}
