package consensus

import (
	"errors"
	"testing"

	"github.com/perdure/perdure/chain"
)

// TestEveryKindHasARule: a kind that decodes but has no rule would stop the chain.
func TestEveryKindHasARule(t *testing.T) {
	found := 0
	for k := range chain.Kind(256) {
		body, known := chain.NewBody(k)
		if _, ok := rules[k]; ok != known {
			t.Errorf("kind %s: decodes %v, has a rule %v", k, known, ok)
		}
		if !known {
			continue
		}
		found++
		if body.Kind() != k {
			t.Errorf("body of kind %s says it is %s", k, body.Kind())
		}
	}
	if found != len(rules) {
		t.Errorf("%d kinds decode, %d have rules", found, len(rules))
	}
	for q := chain.Queue(1); q < chain.QueueEnd; q++ {
		if due[q] == nil {
			t.Errorf("queue %d has no handler", q)
		}
	}
	for k := range eventNames {
		if k.String() == "" {
			t.Errorf("event %d has no name", k)
		}
	}
}

// failingView fails the nth read.
type failingView struct {
	*mapView
	left int
}

var errDisk = errors.New("the disk is gone")

func (v *failingView) Record(k chain.Key) ([]byte, error) {
	if v.left--; v.left < 0 {
		return nil, errDisk
	}
	return v.mapView.Record(k)
}

// TestBrokenView: whichever read fails, Apply and Validate say so; nobody's
// message is blamed for it.
func TestBrokenView(t *testing.T) {
	n := newNetwork(t, testParams(), fakeVerifier{}, []named{{"alice", chain.PDR(100)}})
	proof := provingMiner(t, n)
	messages := [][]byte{
		n.message("alice", 0, &chain.Transfer{To: addressOf(t, "bob"), Amount: chain.PDR(1)}),
		n.message("alice", 1, &chain.OpenChannel{Payee: addressOf(t, "bob"), Amount: chain.PDR(1)}),
		n.message("alice", 0, proof),
	}
	b := &Block{Height: n.height + 1, Beacon: n.contribution(beaconGiven), Messages: messages}
	reads := 0
	for ; ; reads++ {
		u, _, err := Apply(n.params, &failingView{n.view, reads}, n.verify, b)
		if err == nil {
			if len(u.Receipts) != 3 {
				t.Fatalf("%d receipts", len(u.Receipts))
			}
			break
		}
		if !errors.Is(err, errDisk) {
			t.Fatalf("read %d fails: %v", reads, err)
		}
	}
	if reads < 20 {
		t.Errorf("the block read only %d records", reads)
	}
	for _, m := range messages {
		for reads = 0; ; reads++ {
			_, err := Validate(n.params, &failingView{n.view, reads}, n.verify, m)
			if err == nil || CodeOf(err) == CodeBadNonce {
				break
			}
			if !errors.Is(err, errDisk) {
				t.Fatalf("read %d fails: %v", reads, err)
			}
		}
	}
}

// TestNoGlobalRecord: a view without genesis is an error.
func TestNoGlobalRecord(t *testing.T) {
	if _, _, err := Apply(testParams(), new(mapView), fakeVerifier{}, &Block{Height: 1}); err == nil {
		t.Error("a block over nothing was applied")
	}
}

// FuzzMessage puts any bytes into a block, and again correctly signed with
// every nonce and money in place: no panic, no error of Apply, invariants hold.
func FuzzMessage(f *testing.F) {
	n := newNetwork(f, testParams(), fakeVerifier{}, []named{{"alice", chain.PDR(100)}})
	alice := addressOf(f, "alice")
	proof := provingMiner(f, n) // miner 1000 has a sector in an open window
	_, results := n.block(n.message("alice", 0, &chain.OpenChannel{Payee: addressOf(f, "bob"), Amount: chain.PDR(1)}))
	ok(f, results)
	for k := range rules {
		body, _ := chain.NewBody(k)
		if raw, err := chain.Encode(body); err == nil {
			f.Add(uint64(k), raw)
		}
	}
	for _, body := range []chain.Body{
		&chain.Transfer{To: alice, Amount: chain.PDR(1)},
		&chain.CreateMiner{Keys: chain.Keys{Owner: alice, Worker: alice, Beneficiary: alice}, SealProof: n.params.SealProofs[0]},
		&chain.OpenChannel{Payee: addressOf(f, "bob"), Amount: chain.PDR(1)},
		&chain.UpdateMiner{Miner: 1000, Peer: &chain.Peer{ID: []byte("p")}}, proof,
		&chain.DeclareFaults{Miner: 1000, Sectors: []uint64{1, 1}},
	} {
		raw, err := chain.Encode(body)
		must(f, err)
		f.Add(uint64(body.Kind()), raw)
	}
	f.Fuzz(func(t *testing.T, kind uint64, body []byte) {
		if len(body) > 1<<12 {
			return
		}
		fresh := *n
		fresh.t = t
		m := chain.Message{Version: chain.MessageVersion, From: alice, MaxFee: chain.PDR(1000), Kind: chain.Kind(kind), Body: body}
		if m.Kind != chain.KindSubmitWindowProof {
			m.Nonce = fresh.account("alice").Nonce
		}
		signed, err := m.SignBytes(n.params.ChainID)
		must(t, err)
		sig, err := chain.Sign(keyOf("alice"), signed)
		must(t, err)
		raw, err := chain.Encode(&chain.SignedMessage{Message: m, Signature: sig})
		must(t, err)
		fresh.block(body, raw)
		fresh.advance(2)
	})
}
