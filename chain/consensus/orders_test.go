package consensus

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/orderbook"
)

func init() {
	verbs["bid"] = bidVerb
	verbs["ask"] = askVerb
	verbs["cancel"] = func(_ *script, a args) chain.Body { return &chain.CancelOrder{Order: a.number("order")} }
	verbs["accept"] = func(_ *script, a args) chain.Body {
		return &chain.AcceptData{Miner: a.number("miner"), Deals: a.numbers("deals")}
	}
	verbs["settle"] = func(_ *script, a args) chain.Body { return &chain.SettleDeals{Deals: a.numbers("deals")} }
}

// rootCID is the payload root that a name stands for.
func rootCID(t testing.TB, name string) cid.Cid {
	t.Helper()
	h, err := multihash.Encode(seed("root", name), multihash.SHA2_256)
	must(t, err)
	return cid.NewCidV1(cid.Raw, h)
}

// until reads key=+N, blocks after the next one, or key=HEIGHT.
func (s *script) until(a args, key string, fallback uint64) chain.Height {
	a.t.Helper()
	if !a.has(key) {
		return s.height + 1 + chain.Height(fallback)
	}
	text, relative := strings.CutPrefix(a.text(key), "+")
	n, err := strconv.ParseUint(text, 10, 64)
	must(a.t, err)
	if relative {
		n += uint64(s.height) + 1
	}
	return chain.Height(n)
}

// bidVerb reads piece=NAME, size=, price=, and if they are not the usual:
// duration= (60), copies= (1), collateral=, allow=, deny=, part= (0), parts= (1),
// expiry= (+100), root=NAME, peer= (p).
func bidVerb(s *script, a args) chain.Body {
	name := a.text("piece")
	b := &chain.PlaceBid{Terms: chain.BidTerms{PieceCID: pieceCID(name), PaddedSize: a.size("size"), PayloadRoot: rootCID(a.t, name),
		Part: a.number("part", 0), Parts: a.number("parts", 1), Duration: a.number("duration", 60), MaxPrice: a.amount("price"),
		Copies: a.number("copies", 1), MinCollateral: a.amount("collateral"), Expiry: s.until(a, "expiry", 100),
		Allow: a.numbers("allow"), Deny: a.numbers("deny"), ClientPeer: []byte("p")}}
	if a.has("peer") {
		b.Terms.ClientPeer = []byte(a.text("peer"))
	}
	switch {
	case a.has("root") && a.text("root") == "piece":
		b.Terms.PayloadRoot = b.Terms.PieceCID
	case a.has("root"):
		b.Terms.PayloadRoot = rootCID(a.t, a.text("root"))
	}
	if name == "root" {
		b.Terms.PieceCID = b.Terms.PayloadRoot
	}
	return b
}

// askVerb reads miner=, price=, capacity=, and if they are not the usual: min=
// (128), max= (2KiB), shortest= (60), longest= (600), collateral=, expiry= (+100).
func askVerb(s *script, a args) chain.Body {
	return &chain.PlaceAsk{Terms: chain.AskTerms{Miner: a.number("miner"), Price: a.amount("price"), Capacity: a.size("capacity"),
		MinPiece: a.size("min", 128), MaxPiece: a.size("max", 2<<10), MinDuration: a.number("shortest", 60),
		MaxDuration: a.number("longest", 600), Collateral: a.amount("collateral"), Expiry: s.until(a, "expiry", 100)}}
}

// showBook prints the book as a trader reads it: asks down to the lowest price,
// a line, bids from the highest.
func (s *script) showBook() string {
	var out strings.Builder
	asks := s.view.book.AskLevels(100)
	for i := len(asks) - 1; i >= 0; i-- {
		s.level(&out, asks[i])
	}
	out.WriteString("--\n")
	for _, l := range s.view.book.BidLevels(100) {
		s.level(&out, l)
	}
	return out.String()
}

func (s *script) level(out *strings.Builder, l orderbook.Level) {
	fmt.Fprintf(out, "%s %s in %d orders\n", strings.ReplaceAll(l.Price.Human(), " ", ""), chain.FormatSize(l.Size), l.Orders)
}

// checkMarket holds orders and deals against what their records promise.
func (n *network) checkMarket() {
	n.t.Helper()
	rules := n.params.Matching()
	each(n, chain.TableOrder, func(_ chain.Key, o *chain.Order) {
		switch {
		case o.Bid != nil:
			if o.Succeeds != nil {
				n.checkRepairBid(o)
				return
			}
			price, deposit, err := rules.Share(o.Bid, o.NoShows)
			must(n.t, err)
			var want sum
			for range o.Copies {
				want.add(n.t, price, deposit)
			}
			if o.Locked != want.total || o.Copies+uint64(len(o.Miners)) != o.Bid.Copies || o.Copies == 0 {
				n.t.Fatalf("height %d: bid %d holds %s for %d of %d copies, want %s", n.height, o.ID, o.Locked, o.Copies, o.Bid.Copies, want.total)
			}
		case o.Free < o.Ask.MinPiece:
			n.t.Fatalf("height %d: ask %d stays with %d bytes, its least piece is %d", n.height, o.ID, o.Free, o.Ask.MinPiece)
		}
	})
	each(n, chain.TableDeal, n.checkDeal)
	n.checkCopies()
}

// checkRepairBid checks that a bid of the chain's own can pay for what it promises.
func (n *network) checkRepairBid(o *chain.Order) {
	n.t.Helper()
	price, err := chain.DealPrice(o.Bid.MaxPrice, o.Bid.PaddedSize, o.Bid.Duration)
	must(n.t, err)
	need, err := price.Add(o.Succeeds.Fetch)
	must(n.t, err)
	if o.Locked.Less(need) || o.Copies != 1 || !o.Succeeds.Reserve.IsZero() || o.Bid.Expiry > o.Succeeds.By {
		n.t.Fatalf("height %d: bid %d of the chain's own holds %s for %d copies, its promises need %s; %+v", n.height, o.ID, o.Locked,
			o.Copies, need, *o.Succeeds)
	}
}

// checkCopies compares who is said to hold copies of a piece with the deals and
// orders themselves: nobody is left out, nobody is there twice.
func (n *network) checkCopies() {
	n.t.Helper()
	want := map[uint64]int{} // by bid
	each(n, chain.TableDeal, func(_ chain.Key, d *chain.Deal) {
		var c chain.Copies
		if over := d.State >= chain.DealCompleted; over || !n.record(chain.CopiesKey(d.Bid), &c) {
			return
		}
		want[d.Bid]++
		if !slices.ContainsFunc(c.Holders, func(h chain.Holder) bool {
			return h.Deal == d.ID && h.Miner == d.Miner && h.Holds == (d.State != chain.DealMatched)
		}) {
			n.t.Fatalf("height %d: deal %d is not among the copies of bid %d: %+v", n.height, d.ID, d.Bid, c)
		}
	})
	each(n, chain.TableOrder, func(_ chain.Key, o *chain.Order) {
		if o.Succeeds != nil {
			want[o.Succeeds.Bid]++
		}
	})
	each(n, chain.TableCopies, func(k chain.Key, c *chain.Copies) {
		bid := binary.BigEndian.Uint64([]byte(k.ID))
		if got := len(c.Holders) + len(c.Orders); got == 0 || got != want[bid] {
			n.t.Fatalf("height %d: bid %d has %d copies, deals and orders say %d", n.height, bid, got, want[bid])
		}
		seen := map[chain.MinerID]bool{}
		for _, h := range c.Holders {
			if seen[h.Miner] {
				n.t.Fatalf("height %d: miner %d has two copies of bid %d", n.height, h.Miner, bid)
			}
			seen[h.Miner] = true
		}
	})
}

// checkDeal checks that a deal's money follows from its state and heights.
func (n *network) checkDeal(_ chain.Key, d *chain.Deal) {
	n.t.Helper()
	left := d.Total
	switch d.State {
	case chain.DealActive:
		covered := uint64(d.PaidThrough-d.Activated) - d.FaultBlocks
		earned, err := d.Total.MulDiv(covered, d.Duration)
		must(n.t, err)
		left, err = d.Total.Sub(earned)
		must(n.t, err)
	case chain.DealCompleted, chain.DealVoid, chain.DealLost:
		left = chain.Amount{}
		if !d.Collateral.IsZero() {
			n.t.Fatalf("height %d: deal %d is over and holds collateral", n.height, d.ID)
		}
	}
	if d.Unspent != left {
		n.t.Fatalf("height %d: %s deal %d holds %s of its price, want %s", n.height, d.State, d.ID, d.Unspent, left)
	}
	if next := d.Succeeds; next != nil && (!next.Reserve.IsZero() && d.State > chain.DealAccepted || !d.ClientDeposit.IsZero()) {
		n.t.Fatalf("height %d: %s deal %d of a repair holds %s in reserve and a client's deposit of %s", n.height, d.State, d.ID,
			next.Reserve, d.ClientDeposit)
	}
	if !d.ClientDeposit.IsZero() && d.State != chain.DealMatched || !d.MinerDeposit.IsZero() && d.State > chain.DealAccepted {
		n.t.Fatalf("height %d: %s deal %d holds deposits of %s and %s", n.height, d.State, d.ID, d.ClientDeposit, d.MinerDeposit)
	}
}
