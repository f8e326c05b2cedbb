package buyer

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/filecoin-project/go-state-types/crypto"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/payment"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/ledger"
)

// someChannels is a wallet with some channels, which opens and tops up none.
type someChannels struct {
	Channels
	Signer
	all []chain.Channel
}

// Find implements Channels.
func (s someChannels) Find(context.Context, chain.Address) ([]chain.Channel, error) {
	return s.all, nil
}

// TestPurse takes the open channel with most left, and gives the lanes of all others
// back; also where one of them cannot be read.
func TestPurse(t *testing.T) {
	book, err := ledger.Open("ledger", ledger.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	wallet := &someChannels{all: []chain.Channel{
		{ID: 1, Balance: chain.Atto(50)}, {ID: 2, Balance: chain.Atto(90)}, {ID: 3, Balance: chain.Atto(70)}, {ID: 4, Balance: chain.Atto(500), SettleAt: 9}}}
	b := &Buyer{cfg: Config{Ledger: book, Channels: wallet, Signer: wallet}, opening: make(chan struct{}, 1)}
	leased := func(want uint64) {
		t.Helper()
		for _, c := range wallet.all {
			if got := book.Leased(c.ID, 0); got != (c.ID == want) {
				t.Errorf("channel %d is leased: %v", c.ID, got)
			}
		}
	}
	offer := &retrieval.Offer{Payee: new(chain.Address)}
	p, err := b.openPurse(t.Context(), offer, chain.Atto(60))
	if err != nil {
		t.Fatal(err)
	}
	if p.channel.ID != 2 {
		t.Errorf("it pays from channel %d", p.channel.ID)
	}
	leased(2)
	p.close()
	leased(0)

	broken := &ledger.Promise{Voucher: chain.SignedVoucher{Voucher: chain.Voucher{Channel: 3, Nonce: 1, MaxTicks: 1, Anchor: [32]byte{1}},
		Signature: crypto.Signature{Type: crypto.SigTypeSecp256k1, Data: make([]byte, 65)}}}
	if ticks, err := payment.NewTicks(broken.Seed, 1); err != nil || ticks.Anchor() == broken.Voucher.Voucher.Anchor {
		t.Fatal("the promise is not broken", err)
	}
	if err := book.SavePromise(broken); err != nil {
		t.Fatal(err)
	}
	if p, err := b.openPurse(t.Context(), offer, chain.Atto(60)); err == nil {
		t.Errorf("channel %d pays, and another has a promise that nobody can keep", p.channel.ID)
	}
	leased(0)
}
