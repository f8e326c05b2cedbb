package wallet

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// ledger is a node that keeps what it is sent.
type ledger struct {
	params  *consensus.Params
	baseFee chain.Amount
	nonce   uint64 // of every account
	ahead   int    // so many looks at the account later it has one nonce more
	looks   chain.Height
	refuse  error // the next submission's fate
	sent    [][]byte
}

func (l *ledger) Params(context.Context) (*consensus.Params, error) { return l.params, nil }
func (l *ledger) Global(context.Context) (*chain.Global, error) {
	l.looks++ // a block goes by with each look
	return &chain.Global{BaseFee: l.baseFee, Height: l.looks}, nil
}
func (l *ledger) Account(context.Context, chain.Address) (*chain.Account, error) {
	if l.ahead > 0 {
		if l.ahead--; l.ahead == 0 {
			l.nonce++
		}
	}
	return &chain.Account{Nonce: l.nonce}, nil
}
func (l *ledger) Submit(_ context.Context, raw []byte) error {
	if err := l.refuse; err != nil {
		l.refuse = nil
		return err
	}
	l.sent = append(l.sent, raw)
	return nil
}
func (l *ledger) Await(context.Context, chain.Hash) (*Inclusion, error) {
	return nil, errGone
}

// errGone is how a node answers that has stopped.
var errGone = errors.New("nobody waits here")

func newSender(t *testing.T, l *ledger) *Sender {
	t.Helper()
	s, err := NewSender(l, bytes.Repeat([]byte{3}, chain.PrivateKeySize), chain.Atto(7))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// last decodes what was sent last.
func (l *ledger) last(t *testing.T) *chain.Message {
	t.Helper()
	m, err := chain.DecodeSigned(l.sent[len(l.sent)-1])
	if err != nil {
		t.Fatal(err)
	}
	return &m.Message
}

// TestMaxFee: a message can be paid for at many times the base fee that its
// sender saw, an urgent one at many more; a window proof's limit does not
// depend on the base fee.
func TestMaxFee(t *testing.T) {
	for _, p := range []*consensus.Params{consensus.Devnet(), consensus.Testnet(), consensus.Mainnet()} {
		l := &ledger{params: p, baseFee: chain.Atto(1_000_000)}
		s := newSender(t, l)
		for _, c := range []struct {
			body  chain.Body
			times uint64
			price chain.Amount
		}{
			{&chain.Transfer{To: s.Address(), Amount: chain.Atto(1)}, 8, l.baseFee},
			{&chain.DeclareFaults{Miner: 1000, Sectors: []uint64{1}}, 100, l.baseFee},
			{&chain.ProveCommit{Miner: 1000, Proof: make([]byte, 700_000)}, 100, l.baseFee},
			{&chain.SubmitWindowProof{Miner: 1000, Proof: make([]byte, 700_000)}, 8, p.ProofFee},
		} {
			if _, err := s.Post(t.Context(), c.body); err != nil {
				t.Fatal(err)
			}
			size := uint64(len(l.sent[len(l.sent)-1]))
			least, err := c.price.Mul(c.times * (size + p.MostUnits(c.body.Kind()) - 1000))
			if err != nil {
				t.Fatal(err)
			}
			if got := l.last(t).MaxFee; got.Less(least) {
				t.Errorf("%s %s: MaxFee %s, want at least %s", p.Name, c.body.Kind(), got, least)
			}
		}
		before := l.last(t).MaxFee
		l.baseFee = chain.PDR(1)
		if _, err := s.Post(t.Context(), &chain.SubmitWindowProof{Miner: 1000, Proof: make([]byte, 700_000)}); err != nil {
			t.Fatal(err)
		}
		if got := l.last(t).MaxFee; got != before {
			t.Errorf("%s: a window proof's MaxFee goes from %s to %s with the base fee", p.Name, before, got)
		}
	}
}

// TestNonces: messages have nonces in order, window proofs none; a nonce that
// another process used is asked for anew, once.
func TestNonces(t *testing.T) {
	l := &ledger{params: consensus.Devnet(), baseFee: chain.Atto(1), nonce: 5}
	s := newSender(t, l)
	pay := &chain.Transfer{To: s.Address(), Amount: chain.Atto(1)}
	stale := &consensus.Refusal{Code: consensus.CodeBadNonce, Text: "used"}
	for _, step := range []struct {
		body  chain.Body
		nonce uint64
		chain uint64 // what the chain says by then
		err   error
	}{
		{pay, 5, 5, nil}, {pay, 6, 5, nil}, {&chain.SubmitWindowProof{Miner: 1000}, 0, 5, nil}, {pay, 7, 5, nil}, {pay, 11, 11, stale},
	} {
		l.nonce, l.refuse = step.chain, step.err
		if _, err := s.Post(t.Context(), step.body); err != nil {
			t.Fatal(err)
		}
		if got := l.last(t).Nonce; got != step.nonce {
			t.Errorf("%s with nonce %d, want %d", step.body.Kind(), got, step.nonce)
		}
	}
	l.refuse = &consensus.Refusal{Code: consensus.CodeUnderfunded, Text: "no money"}
	if _, err := s.Post(t.Context(), pay); consensus.CodeOf(err) != consensus.CodeUnderfunded {
		t.Errorf("a refusal becomes %v", err)
	}
}

// TestLag: what is shown of the chain may be behind what the node refuses by. A
// nonce that was used meanwhile is seen to be so a block later, and only then is
// another message signed: the one before can never land.
func TestLag(t *testing.T) {
	p := consensus.Devnet()
	p.BlockMillis = 1
	l := &ledger{params: p, baseFee: chain.Atto(1), nonce: 5}
	s := newSender(t, l)
	pay := &chain.Transfer{To: s.Address(), Amount: chain.Atto(1)}
	var kept []uint64
	keep := func(_ []byte, nonce uint64) error { kept = append(kept, nonce); return nil }
	used := &consensus.Refusal{Code: consensus.CodeBadNonce, Text: "used"}
	l.refuse, l.ahead = used, 3
	if _, err := s.PostKept(t.Context(), pay, keep); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(kept, []uint64{5, 6}) || l.last(t).Nonce != 6 {
		t.Errorf("kept messages with nonces %v, sent %d", kept, l.last(t).Nonce)
	}
	kept, l.refuse = nil, used
	if _, err := s.PostKept(t.Context(), pay, keep); consensus.CodeOf(err) != consensus.CodeBadNonce {
		t.Errorf("a refusal for a nonce that nobody used becomes %v", err)
	}
	if !slices.Equal(kept, []uint64{7}) {
		t.Errorf("kept messages with nonces %v, want that of 7 alone", kept)
	}
}

// TestForgotten: a node that stops forgets what waited. Whoever waited for that
// sends it again before the next message, which could not land without it,
// until it is used; once it is refused, its nonce is free.
func TestForgotten(t *testing.T) {
	l := &ledger{params: consensus.Devnet(), baseFee: chain.Atto(1), nonce: 5}
	s := newSender(t, l)
	pay := func(amount uint64) *chain.Transfer {
		return &chain.Transfer{To: s.Address(), Amount: chain.Atto(amount)}
	}
	for amount := range uint64(2) {
		if _, err := s.Send(t.Context(), pay(amount)); !errors.Is(err, errGone) {
			t.Fatal(err)
		}
	}
	first, second := l.sent[0], l.sent[len(l.sent)-1]
	sends := func(what string, used uint64, refuse error, nonce uint64, again ...[]byte) {
		t.Helper()
		l.nonce, l.refuse, l.sent = used, refuse, nil
		if _, err := s.Post(t.Context(), pay(7)); err != nil {
			t.Fatal(err)
		}
		if got := l.last(t).Nonce; got != nonce {
			t.Errorf("%s: the next message has nonce %d, want %d", what, got, nonce)
		}
		if before := l.sent[:len(l.sent)-1]; !slices.EqualFunc(before, again, bytes.Equal) {
			t.Errorf("%s: %d messages are sent again, want %d", what, len(before), len(again))
		}
	}
	sends("both forgotten", 5, nil, 7, first, second)
	sends("the first used", 6, nil, 8, second)
	sends("the second refused", 6, &consensus.Refusal{Code: consensus.CodeUnderfunded, Text: "no money"}, 6)
	sends("nothing in doubt", 7, nil, 7)
	if _, err := s.Send(t.Context(), &chain.SubmitWindowProof{Miner: 1000}); !errors.Is(err, errGone) {
		t.Fatal(err)
	}
	sends("a window proof has no nonce", 8, nil, 8)
}
