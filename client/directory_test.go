package client

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/perdure/perdure/chain"
)

// hints is a node whose list of orders says what it likes.
type hints struct{ list string }

func (h hints) JSON(_ context.Context, _ string, v any) error {
	return json.Unmarshal([]byte(h.list), v)
}

// records reads orders that were written down before.
type records map[uint64]*chain.Order

func (r records) Record(_ context.Context, k chain.Key, into chain.CBOR) (bool, error) {
	for id, o := range r {
		if k == chain.OrderKey(id) {
			if o == nil {
				return false, errors.New("the proof does not hold")
			}
			*into.(*chain.Order) = *o
			return true, nil
		}
	}
	return false, nil
}

// TestAsksAreRead: a list tells where to look, the records what there is.
func TestAsksAreRead(t *testing.T) {
	owner, err := chain.AddressOfKey([]byte("a private key of thirty-two byte"))
	if err != nil {
		t.Fatal(err)
	}
	text := chain.FormatAddress(owner, chain.Testnet)
	ask := func(id, price string) string {
		return `{"id":` + id + `,"owner":"` + text + `","ask":{"miner":"t01000","price":"` + price + `","collateral":"0"},"locked":"0"}`
	}
	h := hints{list: `{"items":[` + ask("1", "5") + `,` + ask("2", "7") + `,` + ask("3", "9") + `]}`}
	listed, err := nodeDirectory{node: h}.Asks(t.Context())
	if err != nil || len(listed) != 3 || listed[0].Ask.Price != chain.Atto(5) || listed[0].Owner != owner {
		t.Fatalf("asks as they are listed: %+v, %v", listed, err)
	}
	known := records{
		1: {ID: 1, Owner: owner, Ask: &chain.AskTerms{Miner: 1000, Price: chain.Atto(50)}},
		2: {ID: 2, Owner: owner, Bid: &chain.BidTerms{}}, // no ask at all
	}
	read, err := nodeDirectory{h, known}.Asks(t.Context())
	if err != nil || len(read) != 1 || read[0].ID != 1 || read[0].Ask.Price != chain.Atto(50) {
		t.Errorf("asks as they are proven: %+v, %v", read, err)
	}
	known[3] = nil
	if _, err := (nodeDirectory{h, known}).Asks(t.Context()); err == nil {
		t.Error("an ask whose proof does not hold is taken")
	}
}
