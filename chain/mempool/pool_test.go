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

// senders remembers what sender computed.
var senders = map[byte]chain.Address{}

func sender(n byte) chain.Address {
	if a, known := senders[n]; known {
		return a
	}
	a, err := chain.AddressOfKey(slices.Repeat([]byte{n + 1}, chain.PrivateKeySize))
	if err != nil {
		panic(err)
	}
	senders[n] = a
	return a
}

func ordinary(from byte, nonce, tip uint64) *Tx {
	t := &Tx{Admission: consensus.Admission{From: sender(from), Payer: sender(from), Nonce: nonce,
		Tip: chain.Atto(tip), Fee: chain.Atto(1000 + tip), MaxFee: chain.Atto(1 << 40), Size: 100, Units: 100}}
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

// wealthy is an account that pays for everything, with a next nonce.
func wealthy(next uint64) Account { return Account{Nonce: next, Free: chain.PDR(1)} }

func add(t *testing.T, p *Pool, txs ...*Tx) {
	t.Helper()
	for _, tx := range txs {
		if err := p.Add(tx, wealthy(0)); err != nil {
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
	p.Committed(&Block{Height: 14, BaseFee: chain.Atto(1), Included: []chain.Hash{b0.Hash},
		Accounts: map[chain.Address]Account{a0.From: wealthy(1), b0.From: wealthy(1)}})
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
	if err := p.Add(first, wealthy(0)); !errors.Is(err, ErrKnown) {
		t.Errorf("same message again: %v", err)
	}
	if err := p.Add(ordinary(1, 0, 99), wealthy(0)); !errors.Is(err, ErrUnderpriced) {
		t.Errorf("9.9 percent more: %v", err)
	}
	second := ordinary(1, 0, 100)
	add(t, p, second)
	if p.Has(first.Hash) || p.Len() != 1 {
		t.Error("the replaced message still waits")
	}
	if err := p.Add(proof(1, 0, 0, 9), Account{}); err != nil {
		t.Fatal(err)
	}
	if err := p.Add(proof(1, 1, 0, 9), Account{}); !errors.Is(err, ErrUnderpriced) {
		t.Errorf("second proof of a partition: %v", err)
	}
}

func TestBounds(t *testing.T) {
	p := New(Limits{Bytes: 1 << 20, Count: 4, PerSender: 3, Again: 5, Patience: 9})
	if err := p.Add(ordinary(1, 3, 0), wealthy(0)); !errors.Is(err, ErrGap) {
		t.Errorf("nonce 3 of an account at 0: %v", err)
	}
	add(t, p, ordinary(1, 0, 10), ordinary(1, 1, 20), ordinary(1, 2, 30))
	if got := p.Pending(sender(1), 0); got != 3 {
		t.Errorf("pending nonce %d, want 3", got)
	}
	cheap := ordinary(2, 0, 1)
	add(t, p, cheap)
	if err := p.Add(ordinary(3, 0, 1), wealthy(0)); !errors.Is(err, ErrFull) {
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

// TestReady: of a sender's messages those before a gap that base fee and
// balance allow can be proposed, and the rest once that changes.
func TestReady(t *testing.T) {
	p := New(DefaultLimits())
	var run []*Tx
	for nonce := range uint64(6) {
		run = append(run, ordinary(1, nonce, 0))
	}
	run[3].MaxFee = chain.Atto(1500)
	add(t, p, run[0], run[1], run[2], run[3], run[5])
	proposes := func(what string, want ...*Tx) {
		t.Helper()
		if got := p.Propose(1, roomy, roomy); !slices.Equal(got, want) {
			t.Errorf("%s: %d messages proposed, want %d", what, len(got), len(want))
		}
	}
	block := func(baseFee, balance uint64) {
		p.Committed(&Block{Height: p.height + 1, BaseFee: chain.Atto(baseFee),
			Accounts: map[chain.Address]Account{run[0].From: {Free: chain.Atto(balance)}}})
	}
	proposes("before the gap", run[:4]...)
	block(8, 1<<30) // 200 bytes and units: 1,600 a message
	proposes("base fee above one message's limit", run[:3]...)
	block(7, 1400*2)
	proposes("balance for two", run[:2]...)
	block(7, 1<<30)
	proposes("both as before", run[:4]...)
	add(t, p, run[4])
	proposes("gap filled", run...)
	run[1].Spend = chain.Atto(1 << 30)
	block(7, 1<<30)
	proposes("the second spends the balance", run[0])
}

// TestNothingForFree holds a full pool with messages that will never be paid
// for: they are refused at once or give way to the first honest ones, whatever
// they offer, and go by themselves in the end.
func TestNothingForFree(t *testing.T) {
	limits := DefaultLimits()
	held := func(t *testing.T, p *Pool) {
		t.Helper()
		if uint64(p.Len()) != limits.Count {
			t.Fatalf("%d messages wait, want a full pool", p.Len())
		}
		for from := range byte(100) {
			if err := p.Add(ordinary(100+from, 0, 0), Account{Free: chain.Atto(2000)}); err != nil {
				t.Fatalf("honest message %d finds no room: %v", from, err)
			}
		}
		if got := len(p.Propose(1, Room{}, roomy)); got != 100 {
			t.Errorf("%d messages proposed, want the 100 honest ones", got)
		}
		for h := range chain.Height(limits.Patience) {
			p.Committed(&Block{Height: 2 + h, BaseFee: p.baseFee})
		}
		if p.Len() != 100 {
			t.Errorf("%d messages wait after %d blocks, want the 100 honest ones", p.Len(), limits.Patience)
		}
	}
	t.Run("gaps", func(t *testing.T) {
		p := New(limits)
		for i := 0; uint64(p.Len()) < limits.Count; i++ {
			if err := p.Add(ordinary(byte(i/511), uint64(i%511)+1, 1<<30), wealthy(0)); err != nil {
				t.Fatal(err)
			}
		}
		held(t, p)
	})
	t.Run("one balance for many", func(t *testing.T) {
		p := New(limits)
		one := Account{Free: chain.Atto(1999)}
		for nonce := range uint64(100) {
			if err := p.Add(ordinary(1, nonce, 0), one); errors.Is(err, ErrUnfunded) != (nonce > 0) {
				t.Fatalf("nonce %d: %v", nonce, err)
			}
		}
	})
	t.Run("balance withdrawn", func(t *testing.T) {
		p := New(limits)
		gone := map[chain.Address]Account{}
		for i := 0; uint64(p.Len()) < limits.Count; i++ {
			tx := ordinary(byte(i/512), uint64(i%512), 1<<20)
			if err := p.Add(tx, wealthy(0)); err != nil {
				t.Fatal(err)
			}
			gone[tx.From] = Account{}
		}
		p.Committed(&Block{Height: 1, BaseFee: chain.Atto(5), Accounts: gone})
		held(t, p)
	})
	t.Run("base fee out of reach", func(t *testing.T) {
		p := New(limits)
		for i := 0; uint64(p.Len()) < limits.Count; i++ {
			tx := ordinary(byte(i/512), uint64(i%512), 900)
			tx.MaxFee = tx.Fee
			if err := p.Add(tx, wealthy(0)); err != nil {
				t.Fatal(err)
			}
		}
		p.Committed(&Block{Height: 1, BaseFee: chain.Atto(6)})
		held(t, p)
	})
}

// TestDrop forgets a void message with its sender's tail, and a proof alone.
func TestDrop(t *testing.T) {
	p := New(DefaultLimits())
	a0, a1, a2, b0, pr := ordinary(1, 0, 0), ordinary(1, 1, 0), ordinary(1, 2, 0), ordinary(2, 0, 0), proof(1, 0, 0, 9)
	add(t, p, a0, a1, a2, b0, pr)
	p.Drop(a1.Hash)
	p.Drop(a2.Hash) // gone with a1
	p.Drop(pr.Hash)
	if !p.Has(a0.Hash) || !p.Has(b0.Hash) || p.Len() != 2 || p.Bytes() != 200 {
		t.Errorf("%d messages of %d bytes wait", p.Len(), p.Bytes())
	}
	if got := p.Gossip(1, 1<<20); len(got) != 2 {
		t.Errorf("%d messages to gossip, want 2", len(got))
	}
}

// TestLeftOut counts the proofs that a block should have had.
func TestLeftOut(t *testing.T) {
	p := New(DefaultLimits())
	block := func(h chain.Height, proven ...*Tx) {
		b := &Block{Height: h, BaseFee: chain.Atto(5)}
		for _, t := range proven {
			b.Proven = append(b.Proven, t.Replay)
		}
		p.Committed(b)
	}
	block(9)
	taken, left, late := proof(1, 0, 5, 50), proof(2, 0, 5, 50), proof(3, 0, 12, 50)
	add(t, p, taken, left, late)
	if p.Proofs() != 2 {
		t.Errorf("%d proofs are open, want 2", p.Proofs())
	}
	for _, step := range []struct {
		height chain.Height
		proven []*Tx
		left   int
	}{{10, nil, 0}, {11, []*Tx{taken}, 1}, {12, nil, 1}, {13, nil, 2}, {14, []*Tx{left, late}, 0}} {
		block(step.height, step.proven...)
		if got := p.LeftOut(); got != step.left {
			t.Errorf("height %d: %d proofs left out, want %d", step.height, got, step.left)
		}
	}
}

// TestRandom keeps the pool's promises under random operations: bounds hold,
// each sender's proposed nonces follow its next one without gap and cost no more
// than it has, nothing is proposed twice, and the indexes agree.
func TestRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := Limits{Bytes: 2000, Count: 15, PerSender: 5, Again: 2, Patience: 3}
		p := New(limits)
		accounts := map[chain.Address]Account{}
		height, baseFee := chain.Height(1), uint64(5)
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			from := byte(rapid.IntRange(1, 5).Draw(t, "from"))
			tx := ordinary(from, uint64(rapid.IntRange(0, 8).Draw(t, "nonce")), uint64(rapid.IntRange(0, 300).Draw(t, "tip")))
			tx.MaxFee = chain.Atto(uint64(rapid.IntRange(1000, 2500).Draw(t, "limit")))
			if rapid.Bool().Draw(t, "proof") {
				tx = proof(tx.Nonce, 7, 1, 20)
			}
			account, known := accounts[tx.From]
			if !known {
				account.Free = chain.Atto(uint64(rapid.IntRange(0, 9000).Draw(t, "balance")))
				accounts[tx.From] = account
			}
			if tx.Proof || tx.Nonce >= account.Nonce {
				_ = p.Add(tx, account) // a refusal is a fair answer
			}
			if rapid.IntRange(0, 9).Draw(t, "drop") == 0 {
				p.Drop(tx.Hash)
			}
			checkIndexes(t, p, limits)
			if rapid.IntRange(0, 9).Draw(t, "block") > 0 {
				continue
			}
			b := &Block{Height: height, Accounts: accounts}
			for _, w := range p.Propose(height, Room{Bytes: 200, Units: 200}, Room{Bytes: 500, Units: 500}) {
				if w.Proof {
					b.Proven = append(b.Proven, w.Replay)
					continue
				}
				account := accounts[w.From]
				fee, err := p.fee(w)
				if err != nil || w.Nonce != account.Nonce || w.MaxFee.Less(fee) {
					t.Fatalf("nonce %d for %s proposed, %d is next", w.Nonce, fee, account.Nonce)
				}
				if account.Free, err = account.Free.Sub(fee); err != nil {
					t.Fatalf("nonce %d proposed, its sender cannot pay: %v", w.Nonce, err)
				}
				account.Nonce++
				accounts[w.From] = account
			}
			baseFee = uint64(rapid.IntRange(4, 8).Draw(t, "base fee"))
			b.BaseFee = chain.Atto(baseFee)
			p.Committed(b)
			height++
			checkIndexes(t, p, limits)
		}
	})
}

// checkIndexes compares what the pool counts and sorts with what is there.
func checkIndexes(t *rapid.T, p *Pool, limits Limits) {
	var bytes, waiting, listed uint64
	for _, w := range p.byHash {
		bytes += w.Size
	}
	for i := range p.lines {
		listed += uint64(p.lines[i].Len())
	}
	for from, q := range p.queues {
		waiting += uint64(len(q.run))
		if len(q.run) == 0 || p.weakest[q.place] != q || q.run[0].From != from {
			t.Fatalf("queue of %d messages stands at %d", len(q.run), q.place)
		}
		if p.weakest[0] != q && q.weaker(p.weakest[0]) {
			t.Fatal("the weakest queue is not on top")
		}
	}
	waiting += uint64(len(p.proofs))
	if n := uint64(p.Len()); bytes != p.Bytes() || bytes > limits.Bytes || n > limits.Count || n != waiting || n != listed ||
		len(p.weakest) != len(p.queues) {
		t.Fatalf("%d messages of %d bytes (counted %d), %d in queues, %d in lines", n, p.Bytes(), bytes, waiting, listed)
	}
}
