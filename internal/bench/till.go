package bench

import (
	"bytes"
	"context"
	"errors"

	"github.com/perdure/perdure/chain"
)

// till is a chain that stands still, as both sides of a measured retrieval see it: one funded
// channel from the buyer to each of some sellers. It implements buyer.Channels, buyer.Signer and
// seller.Chain.
type till struct {
	payer    chain.Address
	channels []chain.Channel // channel i+1 pays seller i
}

const (
	benchChain = "perdure-bench"
	benchDelay = 40 // blocks from settling a channel to collecting it
)

// payerKey signs the vouchers, payeeKey is seller i's.
var payerKey = bytes.Repeat([]byte{1}, 32)

func payeeKey(i int) []byte { return bytes.Repeat([]byte{byte(2 + i)}, 32) }

// newTill makes the channels of so many sellers; every process makes the same ones.
func newTill(sellers int) (*till, error) {
	t := &till{}
	var err error
	if t.payer, err = chain.AddressOfKey(payerKey); err != nil {
		return nil, err
	}
	for i := range sellers {
		payee, err := chain.AddressOfKey(payeeKey(i))
		if err != nil {
			return nil, err
		}
		t.channels = append(t.channels, chain.Channel{ID: uint64(i + 1), Payer: t.payer, Payee: payee, Balance: chain.PDR(1000), Opened: 1})
	}
	return t, nil
}

// Height implements buyer.Channels and seller.Chain.
func (t *till) Height(context.Context) (chain.Height, error) { return 100, nil }

// Channel implements seller.Chain.
func (t *till) Channel(_ context.Context, id uint64) (*chain.Channel, error) {
	if id == 0 || id > uint64(len(t.channels)) {
		return nil, nil
	}
	c := t.channels[id-1]
	return &c, nil
}

// Find implements buyer.Channels.
func (t *till) Find(_ context.Context, payee chain.Address) ([]chain.Channel, error) {
	for _, c := range t.channels {
		if c.Payee == payee {
			return []chain.Channel{c}, nil
		}
	}
	return nil, nil
}

var errStill = errors.New("the chain of a benchmark takes no messages")

// Open implements buyer.Channels.
func (t *till) Open(context.Context, chain.Address, chain.Amount) (*chain.Channel, error) {
	return nil, errStill
}

// TopUp implements buyer.Channels.
func (t *till) TopUp(context.Context, uint64, chain.Amount) (*chain.Channel, error) {
	return nil, errStill
}

// SignVoucher implements buyer.Signer.
func (t *till) SignVoucher(_ context.Context, v *chain.Voucher) (chain.Signature, error) {
	text, err := v.SignBytes()
	if err != nil {
		return chain.Signature{}, err
	}
	return chain.Sign(payerKey, text)
}
