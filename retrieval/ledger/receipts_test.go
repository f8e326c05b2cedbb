package ledger

import (
	"bytes"
	"errors"
	"testing"

	"github.com/filecoin-project/go-state-types/crypto"

	"github.com/perdure/perdure/chain"
)

// receiptOf is a receipt that ends at a height. Nobody signed it: the ledger does not
// look.
func receiptOf(t *testing.T, buyer byte, nonce, size uint64, to chain.Height) *chain.SignedReceipt {
	t.Helper()
	a, err := chain.AddressOfKey(bytes.Repeat([]byte{buyer}, chain.PrivateKeySize))
	if err != nil {
		t.Fatal(err)
	}
	return &chain.SignedReceipt{Receipt: chain.Receipt{Version: chain.MessageVersion, ChainID: "test", Miner: 1000, Buyer: a,
		Nonce: nonce, Bytes: size, From: to - 1, To: to},
		Signature: crypto.Signature{Type: crypto.SigTypeSecp256k1, Data: make([]byte, 65)}}
}

// TestReceipts keeps receipts once each, puts them into batches by the heights at which
// they end, and finds all of it again after a crash at any point.
func TestReceipts(t *testing.T) {
	l := newShop(t, Options{})
	save := func(r *chain.SignedReceipt, want error) {
		t.Helper()
		if err := l.SaveReceipt(r); !errors.Is(err, want) {
			t.Fatalf("%v, want %v", err, want)
		}
	}
	batch := func(through chain.Height, most int) *Batch {
		t.Helper()
		b, err := l.MakeBatch(through, most)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	save(receiptOf(t, 1, 7, 100, 20), nil)
	save(receiptOf(t, 2, 7, 50, 20), nil) // the nonce is each buyer's own
	save(receiptOf(t, 1, 8, 30, 25), nil)
	save(receiptOf(t, 1, 9, 10, 30), nil)
	l.crash()
	save(receiptOf(t, 1, 7, 999, 40), ErrReceiptHeld)
	if to, ok, err := l.OldestReceipt(); to != 20 || !ok || err != nil {
		t.Errorf("the oldest ends at %d, %v, %v", to, ok, err)
	}
	if b := batch(19, 10); b != nil {
		t.Errorf("a batch of nothing: %+v", b)
	}
	first := batch(30, 1) // a height is never split
	if first == nil || first.Number != 1 || first.State != BatchPending || first.Count != 2 || first.Bytes != 150 || first.From != 20 || first.To != 20 {
		t.Fatalf("first batch %+v", first)
	}
	l.crash()
	if again := batch(30, 10); again == nil || *again != *first {
		t.Errorf("the pending batch is %+v, was %+v", again, first)
	}
	if err := l.SetBatch(1, BatchPublished); err != nil {
		t.Fatal(err)
	}
	save(receiptOf(t, 3, 1, 1, 20), ErrReceiptLate)
	save(receiptOf(t, 3, 1, 1, 21), nil)
	l.crash()
	second := batch(29, 10)
	if second == nil || second.Number != 2 || second.Count != 2 || second.Bytes != 31 || second.From != 21 || second.To != 25 {
		t.Fatalf("second batch %+v", second)
	}
	if to, ok, err := l.OldestReceipt(); to != 30 || !ok || err != nil {
		t.Errorf("left is one that ends at %d, %v, %v", to, ok, err)
	}
	var states []BatchState
	for _, b := range []*Batch{first, second} {
		leaves, err := l.Leaves(b.Number)
		if err != nil || chain.ReceiptsRoot(leaves) != b.Root || uint64(len(leaves)) != b.Count {
			t.Errorf("batch %d: %d leaves, %v", b.Number, len(leaves), err)
		}
		found, err := l.BatchOf(b.Root)
		if err != nil || found == nil || found.Number != b.Number {
			t.Fatalf("by its root: %+v, %v", found, err)
		}
		states = append(states, found.State)
	}
	if states[0] != BatchPublished || states[1] != BatchPending {
		t.Errorf("states %v", states)
	}
	var after []uint64
	if err := l.Batches(1, func(b *Batch) error { after = append(after, b.Number); return nil }); err != nil || len(after) != 1 || after[0] != 2 {
		t.Errorf("batches behind the first: %v, %v", after, err)
	}
	if b, err := l.BatchOf([32]byte{1}); b != nil || err != nil {
		t.Errorf("of no root: %+v, %v", b, err)
	}
}
