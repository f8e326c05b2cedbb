package explorer

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/multiformats/go-multiaddr"

	"github.com/perdure/perdure/chain"
)

// TestOffers lists both sides of a book by price, from the block in which the orders
// were placed on, page by page and by what is wanted.
func TestOffers(t *testing.T) {
	n := newNetwork(t)
	addr, err := multiaddr.NewMultiaddr("/ip4/127.0.0.1/tcp/4001")
	must(t, err)
	owner, worker := addressOf(t, "owner"), addressOf(t, "worker")
	n.all(n.message("owner", 0, &chain.CreateMiner{SealProof: abi.RegisteredSealProof_StackedDrg2KiBV1_1, Fund: chain.PDR(1000),
		Keys: chain.Keys{Owner: owner, Worker: worker, Beneficiary: owner}, Peer: chain.Peer{ID: []byte("miner peer"), Addrs: [][]byte{addr.Bytes()}}}))
	large := n.ask(6)
	large.Terms.MinPiece, large.Terms.Region = 1<<10, "eu-de"
	n.all(n.message("worker", 0, n.ask(5)), n.message("worker", 1, n.ask(3)), n.message("worker", 2, n.ask(4)), n.message("worker", 3, large),
		n.message("client", 0, n.bid(1)), n.message("client", 1, n.bid(2)))
	api, _ := serve(t, n)
	// listed pages through a list, one order at a time, and returns the prices in PDR.
	listed := func(path string) (prices []string) {
		t.Helper()
		for next := ""; ; {
			p := decode[Offers](t, api.Handler(), path+"&limit=1"+next)
			for _, o := range p.Items {
				prices = append(prices, priceOf(o))
			}
			if p.Next == "" {
				return prices
			}
			if len(p.Items) != 1 || p.Cut {
				t.Fatalf("%s: page %+v", path, p)
			}
			next = "&cursor=" + p.Next
		}
	}
	// whole does so with the list as lines.
	whole := func(path string) (prices []string) {
		t.Helper()
		code, body := get(t, api.Handler(), path+"&format=ndjson")
		if code != http.StatusOK {
			t.Fatalf("%s as a whole: %d %s", path, code, body)
		}
		for line := range strings.Lines(body) {
			o := new(Order)
			must(t, json.Unmarshal([]byte(line), o))
			prices = append(prices, priceOf(o))
		}
		return prices
	}
	check := func(state string) {
		t.Helper()
		for path, want := range map[string][]string{
			"asks?":                  {"3 PDR", "4 PDR", "5 PDR", "6 PDR"},
			"asks?piece_size=128":    {"3 PDR", "4 PDR", "5 PDR"},
			"asks?piece_size=2048":   {"3 PDR", "4 PDR", "5 PDR", "6 PDR"},
			"asks?piece_size=4096":   nil,
			"asks?duration=601":      nil,
			"asks?region=eu":         {"6 PDR"},
			"asks?region=us,eu-de":   {"6 PDR"},
			"asks?collateral=1":      {"3 PDR", "4 PDR", "5 PDR", "6 PDR"},
			"bids?":                  {"2 PDR", "1 PDR"},
			"bids?state=new":         {"2 PDR", "1 PDR"},
			"asks?max_price=" + pdr4: {"3 PDR", "4 PDR"},
			"bids?price=" + pdr2:     {"2 PDR"},
		} {
			if state != chain.OrderWaiting.String() && path == "bids?state=new" {
				want = nil
			}
			if got := listed("/v1/market/" + path); !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", path, got, want)
			}
			if got := whole("/v1/market/" + path); !slices.Equal(got, want) {
				t.Errorf("%s as a whole: %v, want %v", path, got, want)
			}
		}
		if first := decode[Offers](t, api.Handler(), "/v1/market/asks").Items[0]; first.State != state {
			t.Errorf("the best ask is %s, want %s", first.State, state)
		}
	}
	check(chain.OrderWaiting.String())
	for range n.params.MatchDelay + 1 {
		n.block()
	}
	check(chain.OrderResting.String())
	if code, _ := get(t, api.Handler(), "/v1/market/asks?cursor="+decode[Offers](t, api.Handler(), "/v1/market/bids?limit=1").Next); code != http.StatusBadRequest {
		t.Errorf("a cursor of another list: %d", code)
	}
}

// priceOf is the price of either side.
func priceOf(o *Order) string {
	if o.Ask != nil {
		return o.Ask.Price.Human()
	}
	return o.Bid.MaxPrice.Human()
}

const (
	pdr2 = "2000000000000000000"
	pdr4 = "4000000000000000000"
)

// TestFilledOrders shows orders as the block that filled them left them, in every
// answer that has them.
func TestFilledOrders(t *testing.T) {
	n := newNetwork(t)
	n.populate() // its ask has sold 1 KiB of 4
	n.all(n.message("client", 0, n.bid(2)), n.message("client", 1, n.bid(2)), n.message("client", 2, n.bid(2)))
	for range n.params.MatchDelay + 1 {
		n.block()
	}
	api, _ := serve(t, n)
	h := api.Handler()
	filled := decode[List[*Order]](t, h, "/v1/orders?state=filled").Items
	if len(filled) != 5 {
		t.Fatalf("%d orders are filled, want 4 bids and their ask", len(filled))
	}
	_, exported := get(t, h, "/v1/export/orders")
	for _, o := range filled {
		switch {
		case o.Bid != nil && (o.Bid.CopiesLeft != 0 || !slices.Equal(o.Bid.Miners, []string{"t01000"})):
			t.Errorf("filled bid %d has %d copies left, and miners %v", o.ID, o.Bid.CopiesLeft, o.Bid.Miners)
		case o.Ask != nil && o.Ask.Free != 0:
			t.Errorf("filled ask %d has %d bytes to sell", o.ID, o.Ask.Free)
		}
		want, err := json.Marshal(o)
		must(t, err)
		if !strings.Contains(exported, string(want)+"\n") {
			t.Errorf("order %d is exported as another: %s\n%s", o.ID, want, exported)
		}
		if d := decode[OrderDetail](t, h, fmt.Sprintf("/v1/orders/%d", o.ID)); !reflect.DeepEqual(d.Order, o) {
			t.Errorf("order %d by itself is another: %+v", o.ID, d.Order)
		}
	}
	if o := decode[OrderDetail](t, h, "/v1/orders/3"); o.State != "cancelled" || o.Bid.CopiesLeft != 1 || len(o.Bid.Miners) != 0 {
		t.Errorf("cancelled bid %+v", o.Bid)
	}
}
