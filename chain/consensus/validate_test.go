package consensus

import (
	"errors"
	"testing"

	"github.com/perdure/perdure/chain"
)

// TestValidate: what is admitted lands with CodeOK in the next block, what is
// refused would not.
func TestValidate(t *testing.T) {
	n := newNetwork(t, testParams(), fakeVerifier{}, []named{{"alice", chain.PDR(10)}, {"poor", chain.Amount{}}})
	n.block(n.message("alice", 0, &chain.Transfer{To: addressOf(t, "bob"), Amount: chain.PDR(1)}))
	pay := &chain.Transfer{To: addressOf(t, "bob"), Amount: chain.PDR(1)}
	with := func(f func(*chain.Message)) []byte {
		m := chain.Message{From: addressOf(t, "alice"), Nonce: 1, MaxFee: chain.PDR(1)}
		f(&m)
		return n.sign("alice", m, pay)
	}
	for name, c := range map[string]struct {
		raw  []byte
		want Code
	}{
		"good":           {with(func(*chain.Message) {}), CodeOK},
		"with tip":       {with(func(m *chain.Message) { m.Tip = chain.Atto(5) }), CodeOK},
		"nonce ahead":    {with(func(m *chain.Message) { m.Nonce = 9 }), CodeOK},
		"nonce behind":   {with(func(m *chain.Message) { m.Nonce = 0 }), CodeBadNonce},
		"fee too low":    {with(func(m *chain.Message) { m.MaxFee = chain.Atto(1) }), CodeUnderfunded},
		"tip beyond fee": {with(func(m *chain.Message) { m.Tip = chain.PDR(1) }), CodeUnderfunded},
		"overflowing":    {with(func(m *chain.Message) { m.Tip, _ = chain.PDR(^uint64(0)).Mul(18) }), CodeUnderfunded},
		"other signer":   {with(func(m *chain.Message) { m.From = addressOf(t, "bob"); m.Nonce = 0 }), CodeBadSignature},
		"no money":       {n.message("poor", 0, pay), CodeUnderfunded},
		"rule refuses":   {n.message("alice", 0, &chain.Transfer{To: addressOf(t, "bob"), Amount: chain.PDR(50)}), CodeFailed},
		"no channel":     {n.message("alice", 0, &chain.SettleChannel{Channel: 3}), CodeFailed},
		"no miner":       {n.message("alice", 0, &chain.SubmitWindowProof{Miner: 1007}), CodeMalformed},
		"junk":           {[]byte("junk"), CodeMalformed},
		"nothing":        {nil, CodeMalformed},
	} {
		a, err := Validate(n.params, n.view, n.verify, c.raw)
		if CodeOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
			continue
		}
		var refusal *Refusal
		if err != nil && (!errors.As(err, &refusal) || refusal.Text == "") {
			t.Errorf("%s: %v is no refusal with a text", name, err)
		}
		if err == nil && (a.From != addressOf(t, "alice") || a.Payer != a.From || a.Next != 1 || a.Proof ||
			a.Spend != chain.PDR(1) || a.Size != uint64(len(c.raw)) || a.Hash != chain.HashBytes(c.raw) || a.Units == 0 || a.MaxFee.Less(a.Fee)) {
			t.Errorf("%s: admission %+v", name, a)
		}
	}
	if g := n.global(); g.Height != 1 || n.account("alice").Nonce != 1 {
		t.Error("validating changed the state")
	}
}

// TestValidateWindowProof: a proof is admitted from the block in which its
// challenges are known until its window closes, and lands when it is open.
func TestValidateWindowProof(t *testing.T) {
	n := newNetwork(t, testParams(), fakeVerifier{}, []named{{"alice", chain.PDR(100)}})
	proof := provingMiner(t, n)
	next := *proof
	next.Period++
	raw := n.message("alice", 0, &next)
	opens := n.height + 1 + chain.Height(n.params.Period())
	known := opens - chain.Height(n.params.ChallengeLookback)
	_, results := n.block(n.message("alice", 0, proof))
	ok(t, results)
	for n.height < known-1 {
		if _, err := Validate(n.params, n.view, n.verify, raw); CodeOf(err) != CodeNotOpen {
			t.Fatalf("height %d, challenges known at %d: %v", n.height, known, err)
		}
		n.advance(1)
	}
	for n.advance(1); n.height+1 < opens+chain.Height(n.params.Window); n.advance(1) {
		a, err := Validate(n.params, n.view, n.verify, raw)
		if err != nil {
			t.Fatalf("height %d, challenges known at %d: %v", n.height, known, err)
		}
		payer, err := chain.MinerAddress(1000)
		must(t, err)
		if !a.Proof || a.Opens != opens || a.Closes != opens+chain.Height(n.params.Window) || a.Payer != payer ||
			a.Replay != chain.ReplayKey(&next) {
			t.Fatalf("admission %+v, opens at %d", a, opens)
		}
	}
	if _, err := Validate(n.params, n.view, n.verify, raw); CodeOf(err) != CodeNotOpen {
		t.Fatalf("height %d, the window is over: %v", n.height, err)
	}
	bad := next
	bad.Period++
	bad.Proof = []byte("no")
	n.advanceTo(opens + chain.Height(n.params.Period()))
	if _, err := Validate(n.params, n.view, n.verify, n.message("alice", 0, &bad)); CodeOf(err) != CodeFailed {
		t.Fatalf("a wrong proof: %v", err)
	}
}
