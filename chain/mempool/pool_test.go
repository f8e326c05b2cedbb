package mempool

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

func sender(n byte) chain.Address {
	a, err := chain.AddressOfKey(slices.Repeat([]byte{n + 1}, chain.PrivateKeySize))
	if err != nil {
		panic(err)
	}
	return a
}

func ordinary(from byte, nonce, tip uint64) *Tx {
	t := &Tx{Admission: consensus.Admission{From: sender(from), Payer: sender(from), Nonce: nonce,
		Tip: chain.Atto(tip), Fee: chain.Atto(1000 + tip), Size: 100, Units: 100}}
	t.Hash = chain.HashBytes(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte{from}, nonce), tip))
	return t
}

func proof(partition uint64, tip uint64, opens, closes chain.Height) *Tx {
	t := ordinary(200, 0, tip)
	t.Proof, t.Opens, t.Closes = true, opens, closes
	t.Replay = chain.ReplayKey(&chain.SubmitWindowProof{Miner: 1000, Partition: partition})
	t.Hash = chain.HashBytes(binary.BigEndian.AppendUint64([]byte("proof"), partition<<32|tip))
	return t
}

func add(t *testing.T, p *Pool, txs ...*Tx) {
	t.Helper()
	for _, tx := range txs {
		if err := p.Add(tx); err != nil {
			t.Fatalf("add nonce %d: %v", tx.Nonce, err)
		}
	}
}

var roomy = Room{Bytes: 1 << 20, Units: 1 << 20}

func TestOrder(t *testing.T) {
	p := New(DefaultLimits())
	a0, a1, b0, c1 := ordinary(1, 0, 5), ordinary(1, 1, 900), ordinary(2, 0, 50), ordinary(3, 1, 9999)
	late, open, rich := proof(1, 0, 20, 30), proof(2, 0, 5, 15), proof(3, 7, 5, 15)
	add(t, p, a1, a0, b0, c1, late, open, rich)
	got := p.Propose(10, roomy, roomy)
	want := []*Tx{rich, open, b0, a0, a1} // c1's turn has not come, late's window is shut
	if !slices.Equal(got, want) {
		t.Fatalf("proposed %d messages in another order than the %d wanted", len(got), len(want))
	}
	if got := p.Propose(10, Room{}, Room{Bytes: 150, Units: 1000}); !slices.Equal(got, []*Tx{b0}) {
		t.Errorf("a lane of 150 bytes takes %d messages", len(got))
	}
	p.Committed(14, []chain.Hash{b0.Hash}, func(a chain.Address) uint64 {
		if a == a0.From {
			return 1
		}
		return 0
	})
	if p.Has(b0.Hash) || p.Has(a0.Hash) || p.Has(open.Hash) || p.Has(rich.Hash) {
		t.Error("what was included, overtaken or is too late still waits")
	}
	if !p.Has(a1.Hash) || !p.Has(c1.Hash) || !p.Has(late.Hash) || p.Len() != 3 || p.Bytes() != 300 {
		t.Errorf("%d messages of %d bytes wait, want 3 of 300", p.Len(), p.Bytes())
	}
}

func TestReplace(t *testing.T) {
	p := New(DefaultLimits())
	first := ordinary(1, 0, 0)
	add(t, p, first)
	if err := p.Add(first); !errors.Is(err, ErrKnown) {
		t.Errorf("same message again: %v", err)
	}
	if err := p.Add(ordinary(1, 0, 99)); !errors.Is(err, ErrUnderpriced) {
		t.Errorf("9.9 percent more: %v", err)
	}
	second := ordinary(1, 0, 100)
	add(t, p, second)
	if p.Has(first.Hash) || p.Len() != 1 {
		t.Error("the replaced message still waits")
	}
	if err := p.Add(proof(1, 0, 0, 9)); err != nil {
		t.Fatal(err)
	}
	if err := p.Add(proof(1, 1, 0, 9)); !errors.Is(err, ErrUnderpriced) {
		t.Errorf("second proof of a partition: %v", err)
	}
}

func TestBounds(t *testing.T) {
	p := New(Limits{Bytes: 1 << 20, Count: 4, PerSender: 3, Again: 5})
	if err := p.Add(ordinary(1, 3, 0)); !errors.Is(err, ErrGap) {
		t.Errorf("nonce 3 of an account at 0: %v", err)
	}
	add(t, p, ordinary(1, 0, 10), ordinary(1, 1, 20), ordinary(1, 2, 30))
	if got := p.Pending(sender(1), 0); got != 3 {
		t.Errorf("pending nonce %d, want 3", got)
	}
	cheap := ordinary(2, 0, 1)
	add(t, p, cheap)
	if err := p.Add(ordinary(3, 0, 1)); !errors.Is(err, ErrFull) {
		t.Errorf("no better than the cheapest: %v", err)
	}
	add(t, p, ordinary(3, 0, 2))
	if p.Has(cheap.Hash) || p.Len() != 4 {
		t.Error("the cheapest was not pushed out")
	}
	add(t, p, proof(1, 0, 0, 9))
	if p.Len() != 4 {
		t.Errorf("%d messages wait, want 4", p.Len())
	}
}

func TestGossip(t *testing.T) {
	p := New(DefaultLimits())
	tx, pr := ordinary(1, 0, 0), proof(1, 0, 0, 100)
	add(t, p, tx, pr)
	if got := p.Gossip(1, 100); !slices.Equal(got, []*Tx{pr}) {
		t.Fatalf("%d messages in 100 bytes, want the proof", len(got))
	}
	if got := p.Gossip(1, 1<<20); !slices.Equal(got, []*Tx{tx}) {
		t.Fatalf("%d messages, want the one not given yet", len(got))
	}
	for h := chain.Height(2); h < 6; h++ {
		if got := p.Gossip(h, 1<<20); len(got) != 0 {
			t.Fatalf("%d messages again at height %d", len(got), h)
		}
	}
	if got := p.Gossip(6, 1<<20); !slices.Equal(got, []*Tx{pr}) {
		t.Errorf("%d messages after five blocks, want the proof", len(got))
	}
}

// TestRandom keeps the pool's promises under random operations: bounds hold,
// each sender's proposed nonces follow its next one without gap, and nothing
// is proposed twice.
func TestRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := Limits{Bytes: 2000, Count: 15, PerSender: 5, Again: 2}
		p := New(limits)
		next := map[chain.Address]uint64{}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			from := byte(rapid.IntRange(1, 5).Draw(t, "from"))
			tx := ordinary(from, uint64(rapid.IntRange(0, 8).Draw(t, "nonce")), uint64(rapid.IntRange(0, 300).Draw(t, "tip")))
			tx.Next = next[tx.From]
			if tx.Nonce >= tx.Next {
				_ = p.Add(tx) // a refusal is a fair answer
			}
			var bytes uint64
			for _, w := range p.byHash {
				bytes += w.Size
			}
			if bytes != p.Bytes() || bytes > limits.Bytes || uint64(p.Len()) > limits.Count || len(p.byHash) != len(p.bySlot) {
				t.Fatalf("%d messages of %d bytes (counted %d)", p.Len(), p.Bytes(), bytes)
			}
			if rapid.IntRange(0, 9).Draw(t, "block") > 0 {
				continue
			}
			var included []chain.Hash
			for _, w := range p.Propose(1, roomy, Room{Bytes: 500, Units: 500}) {
				if w.Nonce != next[w.From] {
					t.Fatalf("nonce %d proposed, %d is next", w.Nonce, next[w.From])
				}
				next[w.From]++
				included = append(included, w.Hash)
			}
			p.Committed(1, included, func(a chain.Address) uint64 { return next[a] })
		}
	})
}
