package explorer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// crowd adds to a populated network some more of what lists hold.
func (n *network) crowd() {
	n.t.Helper()
	worker := addressOf(n.t, "worker")
	for i := range uint64(4) {
		n.all(n.message("client", 0, n.bid(1)), n.message("worker", 0, n.ask(3+i)),
			n.message("client", 1, &chain.OpenChannel{Payee: worker, Amount: chain.PDR(1)}),
			n.message("owner", 0, &chain.OpenChannel{Payee: worker, Amount: chain.PDR(1)}))
		n.precommit(20 + i)
	}
	all := [][]byte{n.message("client", 0, &chain.SettleChannel{Channel: 3}), n.message("client", 1, n.bid(5)), n.message("client", 2, n.bid(5))}
	for i := range 3 {
		all = append(all, n.message("val", uint64(i), n.change(i)))
	}
	n.all(all...)
	for range n.params.MatchDelay + 1 {
		n.block()
	}
}

// change is a proposal, one of many that come into force one after the other and
// long after they are adopted.
func (n *network) change(i int) *chain.Propose {
	fee := chain.Atto(chain.AttoPerPDR / (400 + uint64(i)))
	return &chain.Propose{Values: []chain.ParamValue{{Name: "faultFee", Value: fee}},
		Effective: n.store.View().Height() + 1 + chain.Height(n.params.Notice()) + 100 + chain.Height(i)}
}

// lists are addresses of every list, some of them with filters: how many items
// a crowded network has in each.
func lists(n *network) map[string]int {
	client, worker := chain.FormatAddress(addressOf(n.t, "client"), n.params.Network), chain.FormatAddress(addressOf(n.t, "worker"), n.params.Network)
	owner := chain.FormatAddress(addressOf(n.t, "owner"), n.params.Network)
	tip := int(n.store.View().Height())
	return map[string]int{
		"/v1/blocks": tip, "/v1/blocks?minHeight=5&maxHeight=9": 5, "/v1/blocks?maxHeight=9&sortDesc=false": 9, "/v1/blocks?minHeight=9&sortDesc=false": tip - 8,
		"/v1/blocks/2/messages": 4, "/v1/blocks/2/events": -1,
		"/v1/messages": -1, "/v1/messages?address=" + client: -1, "/v1/messages?maxHeight=2": 5, "/v1/messages?minHeight=2&maxHeight=2&sortDesc=false": 4,
		"/v1/messages?sortDesc=false&address=t01000": -1,
		"/v1/miners": 1, "/v1/miners?sortField=power": 1, "/v1/miners?sortField=power&sortDesc=false": 1, "/v1/miners?owner=" + owner: 1, "/v1/miners?owner=" + worker: 0, "/v1/miners?worker=" + worker + "&sortDesc=false": 1,
		"/v1/sectors": 6, "/v1/sectors?sortDesc=true": 6, "/v1/sectors?state=active": 1, "/v1/sectors?state=active,preCommitted": 6, "/v1/sectors?miner=t01000&state=preCommitted,active": 6,
		"/v1/deals?sortField=end": 1, "/v1/deals?sortField=end&sortDesc=true&client=" + client: 1, "/v1/deals?sortField=end&miner=t01000": 1, "/v1/deals?sortField=end&client=" + owner: 0,
		"/v1/sectors?sortField=expiration": 1, "/v1/sectors?sortField=expiration&miner=t01000": 1, "/v1/miners/t01000/sectors?sortField=expiration&sortDesc=true": 1,
		"/v1/sectors?miner=t01001": 0, "/v1/miners/t01000/sectors": 6, "/v1/miners/t01000/sectors?sortDesc=true&state=preCommitted": 5,
		"/v1/deals": 3, "/v1/deals?state=matched,active": 3, "/v1/deals?state=active,void,lost": 1, "/v1/deals?state=matched": 2, "/v1/deals?client=" + client + "&state=matched,active": 3,
		"/v1/deals?root=" + rootCID(n.t).String() + "&miner=t01000": 3, "/v1/deals?piece=" + pieceCID.String() + "&sortDesc=false": 3,
		"/v1/deals?ids=1,9,3": 2, fmt.Sprintf("/v1/deals?minHeight=%d", tip-4): 2, fmt.Sprintf("/v1/deals?maxHeight=%d", tip-6): 1, "/v1/deals?maxHeight=1": 0,
		"/v1/deals?minHeight=1&maxHeight=20&sortDesc=false&state=active,matched": 1,
		"/v1/orders": 9, "/v1/orders?state=all": 14, "/v1/orders?state=all&side=bid": 9, "/v1/orders?side=ask": 5, "/v1/orders?state=filled,cancelled": 4, "/v1/orders?state=resting,filled,expired&owner=" + client: -1,
		"/v1/orders?miner=t01000&sortDesc=false": 5, "/v1/orders?state=all&maxHeight=2": 4, "/v1/orders?state=all&minHeight=3&sortDesc=false": 10, "/v1/orders?ids=2,3": 2, "/v1/orders?state=live,cancelled": 10,
		"/v1/channels": 10, "/v1/channels?state=open": 8, "/v1/channels?state=settling,collected": 2, "/v1/channels?address=" + worker: 10, "/v1/channels?payer=" + client: 6,
		"/v1/channels?payee=" + client: 0, "/v1/channels?payer=" + owner + "&state=open": 4, "/v1/channels?ids=1": 1, "/v1/channels?sortDesc=false&minHeight=70": 8,
		"/v1/market/trades": 3, fmt.Sprintf("/v1/market/trades?sortDesc=false&minHeight=%d", tip-4): 2,
		"/v1/events": -1, "/v1/events?sortDesc=false&minHeight=3": -1, "/v1/events?maxHeight=2": -1, "/v1/events?kind=orderPlaced": 14, "/v1/events?kind=orderPlaced&maxHeight=2&sortDesc=false": 4, "/v1/events?kind=sectorCommitted": 6,
		"/v1/accounts/" + client + "/events": -1, "/v1/miners/t01000/events": -1, "/v1/sectors/t01000/7/events": -1, "/v1/deals/1/events": -1, "/v1/orders/2/events": -1,
		"/v1/channels/1/events": 2, "/v1/channels/3/events": 2, "/v1/sectors/t01000/7/proofs": -1, "/v1/deals/1/proofs": -1, "/v1/deals/1/payments": -1, "/v1/sectors/t01000/8/proofs": 0,
		"/v1/market/asks": 5, "/v1/market/bids": -1,
		"/v1/rewards": tip, "/v1/rewards?minHeight=5&maxHeight=9&sortDesc=false&address=" + chain.FormatAddress(addressOf(n.t, "val"), n.params.Network): 5, "/v1/rewards?address=t01000": 0,
		"/v1/fees": tip, "/v1/fees?maxHeight=9": 9, "/v1/faults": 0, "/v1/miners/t01000/faults": 0, "/v1/params/history": 0,
		"/v1/proposals": 3, "/v1/proposals?state=all": 3, "/v1/proposals?sortDesc=true": 3,
		"/v1/accounts": 4, "/v1/accounts/" + client + "/balances": -1, "/v1/accounts/t01000/balances?sortDesc=false": -1,
	}
}

// TestPaging goes through every list by pages of one and of two, and gets what
// one page shows: nothing twice, nothing left out.
func TestPaging(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	n.crowd()
	api, _ := serve(t, n)
	h := api.Handler()
	covered := map[string]bool{}
	for path, want := range lists(n) {
		covered[pattern(t, api, path)] = true
		if strings.Contains(path, "ids=") {
			if l := decode[List[json.RawMessage]](t, h, path); len(l.Items) != want || l.Next != "" {
				t.Errorf("%s: %d items, want %d, next %q", path, len(l.Items), want, l.Next)
			}
			continue
		}
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		whole := decode[List[json.RawMessage]](t, h, path+sep+"limit=500")
		if whole.Next != "" || len(whole.Items) != want && want >= 0 {
			t.Errorf("%s: %d items, want %d", path, len(whole.Items), want)
		}
		for _, size := range []int{1, 2} {
			var items []json.RawMessage
			cursor := ""
			for {
				l := decode[List[json.RawMessage]](t, h, fmt.Sprintf("%s%slimit=%d%s", path, sep, size, cursor))
				if len(l.Items) > size {
					t.Fatalf("%s: %d items in a page of %d", path, len(l.Items), size)
				}
				items = append(items, l.Items...)
				if l.Next == "" {
					break
				}
				cursor = "&cursor=" + l.Next
			}
			if !slices.EqualFunc(items, whole.Items, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
				t.Errorf("%s: pages of %d give %d items, one page %d, or others", path, size, len(items), len(whole.Items))
			}
		}
	}
	for _, r := range api.routes() {
		if slices.Contains(r.query, "cursor") && !covered[r.pattern()] {
			t.Errorf("no list of %s is gone through", r.pattern())
		}
	}
}

// pattern is the route of an address.
func pattern(t testing.TB, api *API, path string) string {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, path, nil)
	must(t, err)
	_, p := api.mux().Handler(r)
	return p
}

// TestOtherOrder asks for lists from the other end.
func TestOtherOrder(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	n.crowd()
	api, _ := serve(t, n)
	for _, path := range []string{"/v1/blocks?limit=500", "/v1/messages?limit=500", "/v1/sectors?limit=500", "/v1/deals?state=active,matched", "/v1/orders?state=all", "/v1/channels?state=open,collected", "/v1/market/trades?", "/v1/proposals?state=all"} {
		down := decode[List[json.RawMessage]](t, api.Handler(), path+"&sortDesc=true").Items
		up := decode[List[json.RawMessage]](t, api.Handler(), path+"&sortDesc=false").Items
		slices.Reverse(up)
		if len(down) < 2 || !slices.EqualFunc(up, down, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
			t.Errorf("%s: %d items down, %d up, or others", path, len(down), len(up))
		}
	}
}

// TestCursors gives lists the cursors of others, forged ones, and one that was
// good until its rows were pruned.
func TestCursors(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	n.crowd()
	api, _ := serve(t, n)
	h := api.Handler()
	next := decode[List[json.RawMessage]](t, h, "/v1/blocks?limit=1").Next
	raw, err := base64.RawURLEncoding.DecodeString(next)
	must(t, err)
	forged := func(row string) string {
		return base64.RawURLEncoding.EncodeToString(append(raw[:checkSize:checkSize], row...))
	}
	for _, path := range []string{"/v1/messages?cursor=" + next, "/v1/deals?cursor=" + next, "/v1/blocks?sortDesc=false&cursor=" + next, "/v1/blocks?cursor=A" + next,
		"/v1/blocks?cursor=", "/v1/blocks?cursor=" + forged(""), "/v1/blocks?cursor=" + forged("1234567"), "/v1/blocks?cursor=" + forged(strings.Repeat("x", 2000)), "/v1/blocks?cursor=" + next + "%00"} {
		if code, body := get(t, h, path); code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if l := decode[List[*Block]](t, h, "/v1/blocks?cursor="+forged("\xff\xff\xff\xff\xff\xff\xff\xff")); l.Items[0].Height != n.store.View().Height() {
		t.Errorf("a forged place above the tip: %+v", l.Items[0])
	}
	kept := newNetwork(t, func(p *consensus.Params) { p.StateRetention = 3 * p.Period() })
	for kept.store.Oldest() < 5 {
		kept.block()
	}
	late, _ := serve(t, kept)
	first, _, _ := late.Index().Tip()
	for path, code := range map[string]int{"/v1/blocks?cursor=" + forged(string(place(uint64(first)-1))): http.StatusGone, "/v1/blocks?cursor=" + forged(string(place(uint64(first)))): http.StatusOK,
		fmt.Sprintf("/v1/messages?minHeight=%d", first-1): http.StatusGone, fmt.Sprintf("/v1/blocks?minHeight=%d", first): http.StatusOK, "/v1/blocks?maxHeight=1": http.StatusOK} {
		got, body := get(t, late.Handler(), path)
		var p Problem
		must(t, json.Unmarshal([]byte(body), &p))
		if got != code || code == http.StatusGone && p.Oldest != first {
			t.Errorf("%s: %d %s; history from %d", path, got, body, first)
		}
	}
	for path, code := range map[string]int{"/v1/blocks?minHeight=9&maxHeight=8": 400, "/v1/blocks?minHeight=-1": 400, "/v1/blocks?sortDesc=yes": 400, "/v1/deals?ids=": 400, "/v1/deals?ids=1,x": 400,
		"/v1/deals?ids=1&limit=1": 400, "/v1/deals?ids=1" + strings.Repeat(",2", maxIDs): 400, "/v1/deals?state=": 400, "/v1/deals?state=active,odd": 400,
		"/v1/blocks?minHeight=9223372036854775807": 200, "/v1/blocks?maxHeight=9223372036854775807": 200, "/v1/blocks?minHeight=9223372036854775808": 400} {
		if got, body := get(t, h, path); got != code {
			t.Errorf("%s: %d, want %d: %s", path, got, code, body)
		}
	}
}

// FuzzCursor gives every list any bytes for a cursor: no answer is the node's fault.
func FuzzCursor(f *testing.F) {
	n := newNetwork(f)
	n.populate()
	api, _ := serve(f, n)
	var all []string
	for path := range lists(n) {
		if !strings.Contains(path, "ids=") {
			all = append(all, path)
		}
	}
	slices.Sort(all)
	f.Add(uint(0), []byte{0, 0, 0, 0, 0, 0, 0, 9}, "")
	f.Add(uint(3), bytes.Repeat([]byte{0xff}, 12), "x")
	f.Fuzz(func(t *testing.T, which uint, row []byte, text string) {
		path := all[which%uint(len(all))]
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		r, err := http.NewRequest(http.MethodGet, path, nil)
		must(t, err)
		q := &query{r: r, values: r.URL.Query()}
		for _, cursor := range []string{q.cursor(append([]byte{}, row...)), text} {
			w := asked(api.Handler(), "GET", path+sep+"cursor="+url.QueryEscape(cursor))
			if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
				t.Fatalf("%s with cursor %q: %d %s", path, cursor, w.Code, w.Body)
			}
		}
	})
}

// TestDepth compares the levels that the index carries with those of the book
// itself, block by block, and in an index that begins late.
func TestDepth(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	api, _ := serve(t, n)
	check := func(api *API) {
		t.Helper()
		b := decode[Book](t, api.Handler(), "/v1/market/book?depth=500")
		book := n.store.View().Book()
		if b.Height != n.store.View().Height() || !slices.Equal(b.Bids, levels(book.BidLevels(500))) || !slices.Equal(b.Asks, levels(book.AskLevels(500))) {
			t.Fatalf("height %d: book of height %d: bids %+v, asks %+v", n.store.View().Height(), b.Height, b.Bids, b.Asks)
		}
	}
	check(api)
	for i := range uint64(8) {
		n.all(n.message("client", 0, n.bid(1+i%3)), n.message("worker", 0, n.ask(3+i%2)))
		check(api)
	}
	n.all(n.message("client", 0, n.bid(4)), n.message("client", 1, &chain.CancelOrder{Order: 5}))
	for range n.params.MatchDelay + 2 {
		n.block()
		check(api)
	}
	late, _ := serve(t, n)
	check(late)
	if b := decode[Book](t, late.Handler(), "/v1/market/book?depth=1"); len(b.Bids) != 1 || len(b.Asks) != 1 {
		t.Errorf("depth 1: %+v", b)
	}
}

// TestNext lists what ends next: sectors and deals in force, the first to end
// before the others.
func TestNext(t *testing.T) {
	api, _ := Busy(t, 0, 3)
	h := api.Handler()
	live := decode[List[*Sector]](t, h, "/v1/sectors?state=active,faulty").Items
	slices.SortStableFunc(live, func(a, b *Sector) int { return int(a.Expiration) - int(b.Expiration) })
	if len(live) != 4 || live[0].Number != 7 || live[0].Expiration >= live[3].Expiration {
		t.Fatalf("sectors in force: %+v", live)
	}
	for _, path := range []string{"/v1/sectors?sortField=expiration", "/v1/miners/t01000/sectors?sortField=expiration"} {
		if got := decode[List[*Sector]](t, h, path).Items; !reflect.DeepEqual(got, live) {
			t.Errorf("%s: %+v, want %+v", path, got, live)
		}
		got := decode[List[*Sector]](t, h, path+"&sortDesc=true").Items
		if slices.Reverse(got); !reflect.DeepEqual(got, live) {
			t.Errorf("%s turned round: %+v, want %+v", path, got, live)
		}
	}
	d := decode[List[*Deal]](t, h, "/v1/deals?sortField=end&miner=t01000").Items
	if want := decode[List[*Deal]](t, h, "/v1/deals?state=active").Items; len(d) != 1 || !reflect.DeepEqual(d, want) {
		t.Errorf("deals by end %+v, want %+v", d, want)
	}
}
