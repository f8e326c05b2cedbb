package daemon

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/filecoin-project/go-state-types/crypto"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/retrieval/ledger"
)

// notary is a chain that takes batches of receipts as the rules do, and may die before
// it says so.
type notary struct {
	served chain.Served
	sent   []*chain.PublishReceipts
	fail   error // what the sender hears
	lost   bool  // and the message with it
}

// Record implements miner.Chain's part.
func (n *notary) Record(_ context.Context, _ chain.Key, into chain.CBOR) (bool, error) {
	*into.(*chain.Served) = n.served
	return n.served.Batches > 0, nil
}

// Send implements miner.Sender.
func (n *notary) Send(_ context.Context, body chain.Body) (*consensus.Receipt, error) {
	b := body.(*chain.PublishReceipts)
	if !n.lost {
		if b.From <= n.served.Through {
			return &consensus.Receipt{Code: uint64(consensus.CodeFailed), Error: "they overlap"}, nil
		}
		n.sent = append(n.sent, b)
		n.served = chain.Served{Bytes: n.served.Bytes + b.Bytes, Receipts: n.served.Receipts + b.Count, Batches: n.served.Batches + 1,
			Through: b.To, Root: b.Root, All: chain.AllBatches(n.served.All, b)}
	}
	if n.fail != nil {
		return nil, n.fail
	}
	return &consensus.Receipt{}, nil
}

// TestPublish publishes receipts as one message once the oldest has waited long enough,
// each once, whether the message, its receipt or the process gets lost.
func TestPublish(t *testing.T) {
	book, err := ledger.Open("ledger", ledger.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	nonce := uint64(0)
	save := func(to chain.Height, size uint64) {
		t.Helper()
		nonce++
		r := &chain.SignedReceipt{Receipt: chain.Receipt{Version: chain.MessageVersion, ChainID: "x", Miner: 1000, Buyer: testAddress(t), Nonce: nonce, Bytes: size, From: to, To: to},
			Signature: crypto.Signature{Type: crypto.SigTypeSecp256k1, Data: make([]byte, 65)}}
		if err := book.SaveReceipt(r); err != nil {
			t.Fatal(err)
		}
	}
	n := &notary{}
	publisher := func() *publisher {
		return &publisher{id: 1000, every: 100, book: book, chain: n, send: n, log: slog.New(slog.DiscardHandler)}
	}
	p := publisher()
	look := func(now chain.Height, batches int, bytes uint64) {
		t.Helper()
		if err := p.look(t.Context(), now); err != nil && n.fail == nil {
			t.Fatal(err)
		}
		if len(n.sent) != batches || n.served.Bytes != bytes {
			t.Fatalf("height %d: %d batches of %d bytes, want %d of %d", now, len(n.sent), n.served.Bytes, batches, bytes)
		}
	}
	save(20, 5)
	save(50, 6)
	look(119, 0, 0)
	look(120, 1, 11)
	look(500, 1, 11) // nothing is left
	save(505, 7)
	look(604, 1, 11)
	n.fail, n.lost = errors.New("the line broke"), true // it never came
	look(605, 1, 11)
	save(600, 8) // waits for the next batch
	n.fail, n.lost = nil, false
	look(606, 2, 18)
	n.fail = errors.New("the line broke") // it came
	look(700, 3, 26)
	n.fail = nil
	p = publisher() // and the process died
	look(701, 3, 26)
	save(720, 1)
	n.served.Through = 800 // by a home that was copied
	look(821, 3, 26)
	var states []ledger.BatchState
	if err := book.Batches(0, func(b *ledger.Batch) error { states = append(states, b.State); return nil }); err != nil {
		t.Fatal(err)
	}
	want := []ledger.BatchState{ledger.BatchPublished, ledger.BatchPublished, ledger.BatchPublished, ledger.BatchRefused}
	for i := range want {
		if len(states) != len(want) || states[i] != want[i] {
			t.Fatalf("states %v, want %v", states, want)
		}
	}
	p.every = 0
	save(900, 1)
	look(5000, 3, 26)

	p.keep = 2 // each look drops a batch, whether anything is published or not
	look(5001, 3, 26)
	look(5002, 3, 26)
	if from, err := book.KeptFrom(); err != nil || from != 2 {
		t.Errorf("receipts are kept from batch %d, %v, want 2", from, err)
	}
}

// TestNobodyPublishes: a miner that publishes nothing asks for no receipts.
func TestNobodyPublishes(t *testing.T) {
	c := DefaultConfig().Retrieval
	if got := c.receiptsFor(1000); got != 1000 {
		t.Errorf("receipts are asked for miner %d", got)
	}
	c.PublishEvery = 0
	if got := c.receiptsFor(1000); got != 0 {
		t.Errorf("receipts are asked for miner %d, and none is ever published", got)
	}
}
