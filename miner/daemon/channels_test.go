package daemon

import (
	"context"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/filecoin-project/go-state-types/crypto"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval/ledger"
)

// someChannels is a chain that has some channels and nothing else.
type someChannels []uint64

// Record implements recorder.
func (s someChannels) Record(_ context.Context, k chain.Key, _ chain.CBOR) (bool, error) {
	return slices.ContainsFunc(s, func(id uint64) bool { return chain.ChannelKey(id) == k }), nil
}

// TestForgetGone: what was promised on a channel goes when the channel has, whoever
// collected it, and not before.
func TestForgetGone(t *testing.T) {
	book, err := ledger.Open("ledger", ledger.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	for _, id := range []uint64{3, 4, 5} {
		for lane := range uint64(2) {
			p := &ledger.Promise{Voucher: chain.SignedVoucher{Voucher: chain.Voucher{Version: 1, ChainID: "x", Channel: id, Lane: lane, Nonce: 1, MaxTicks: 1},
				Signature: crypto.Signature{Type: crypto.SigTypeSecp256k1, Data: make([]byte, 65)}}}
			if err := book.SavePromise(p); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, want := range [][]uint64{{3, 4, 5}, {3, 5}, nil} {
		if err := forgetGone(t.Context(), book, someChannels(want)); err != nil {
			t.Fatal(err)
		}
		if got, err := book.Promised(); err != nil || !slices.Equal(got, want) {
			t.Errorf("promises on channels %v, %v, want %v", got, err, want)
		}
	}
}
