package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/orderbook"
)

// hints is a node whose lists say what it likes, by path.
type hints map[string]string

func (h hints) JSON(_ context.Context, path string, v any) error {
	list, ok := h[path]
	if !ok {
		return fmt.Errorf("nobody asks for %s", path)
	}
	return json.Unmarshal([]byte(list), v)
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
	const path = "/v1/market/asks?duration=100&limit=100&maxPrice=9&pieceSize=1024&region=eu%2Cus"
	w := &orderbook.Wanted{Size: 1024, Duration: 100, MaxPrice: chain.Atto(9), Regions: []string{"eu", "us"}}
	h := hints{path: `{"items":[` + ask("1", "5") + `,` + ask("2", "7") + `,` + ask("3", "9") + `],"next":"more"}`}
	listed, next, err := nodeDirectory{node: h}.Asks(t.Context(), w, "")
	if err != nil || len(listed) != 3 || listed[0].Ask.Price != chain.Atto(5) || listed[0].Owner != owner || next != "more" {
		t.Fatalf("asks as they are listed: %+v, %q, %v", listed, next, err)
	}
	known := records{
		1: {ID: 1, Owner: owner, Ask: &chain.AskTerms{Miner: 1000, Price: chain.Atto(50)}},
		2: {ID: 2, Owner: owner, Bid: &chain.BidTerms{}}, // no ask at all
		3: {ID: 3, Owner: owner, Ask: &chain.AskTerms{Miner: 1000, Price: chain.Atto(9)}},
	}
	read, _, err := nodeDirectory{h, known}.Asks(t.Context(), w, "")
	if err != nil || len(read) != 2 || read[0].ID != 1 || read[0].Ask.Price != chain.Atto(50) {
		t.Errorf("asks as they are proven: %+v, %v", read, err)
	}
	known[3] = nil
	if _, _, err := (nodeDirectory{h, known}).Asks(t.Context(), w, ""); err == nil {
		t.Error("an ask whose proof does not hold is taken")
	}
}

// TestBidsAndDelaysAreListed reads what is only listed.
func TestBidsAndDelaysAreListed(t *testing.T) {
	owner, err := chain.AddressOfKey([]byte("a private key of thirty-two byte"))
	if err != nil {
		t.Fatal(err)
	}
	bid := `{"id":7,"state":"searching","owner":"` + chain.FormatAddress(owner, chain.Testnet) + `","locked":"9","bid":{"paddedSize":1024,"duration":60,` +
		`"maxPrice":"5","copies":3,"copiesLeft":2,"minCollateral":"1","expiry":99,"allow":["t01001","t01000"],"deny":[],"miners":["t01005"],"regions":["eu"]}}`
	h := hints{"/v1/market/bids?limit=500&price=4&state=new": `{"items":[` + bid + `]}`, "/v1/market/bids?limit=500&price=4": `{"items":[{"id":8}]}`,
		"/v1/deals?limit=100&state=active": `{"items":[{"matched":5,"activated":12},{"matched":3}]}`}
	d := nodeDirectory{node: h}
	bids, err := d.Bids(t.Context(), chain.Atto(4), true)
	if err != nil || len(bids) != 1 {
		t.Fatalf("%d bids, %v", len(bids), err)
	}
	if b := bids[0]; b.ID != 7 || b.State != chain.OrderSearching || b.Owner != owner || b.Copies != 2 || b.Bid.PaddedSize != 1024 ||
		!slices.Equal(b.Bid.Allow, []chain.MinerID{1000, 1001}) || !slices.Equal(b.Miners, []chain.MinerID{1005}) || b.Bid.Expiry != 99 {
		t.Errorf("%+v, %+v", b, b.Bid)
	}
	if _, err := d.Bids(t.Context(), chain.Atto(4), false); err == nil {
		t.Error("an order that is neither a bid nor an ask is taken")
	}
	if delays, err := d.Delays(t.Context()); err != nil || !slices.Equal(delays, []uint64{7}) {
		t.Errorf("delays %v, %v", delays, err)
	}
}
