package consensus

import (
	"fmt"
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
	verbs["replace"] = func(s *script, a args) chain.Body {
		b := &chain.ReplaceOrder{Order: a.number("order"), Copies: a.number("copies", 0), Capacity: a.size("capacity", 0)}
		if a.has("expiry") {
			b.Expiry = s.until(a, "expiry", 0)
		}
		return b
	}
	verbs["renewal"] = func(_ *script, a args) chain.Body {
		b := &chain.SetRenewal{Deals: a.numbers("deals")}
		if a.has("renew") {
			b.Renew = &chain.Renewal{Count: a.number("renew"), MaxPrice: a.amount("renewprice"), Duration: a.number("renewfor", 60)}
		}
		return b
	}
	verbs["receipts"] = func(s *script, a args) chain.Body {
		return &chain.PublishReceipts{Miner: a.number("miner"), Root: [32]byte(seed("receipts", a.text("root"))), Count: a.number("count", 1),
			Bytes: a.number("bytes"), From: chain.Height(a.number("from")), To: chain.Height(a.number("to"))}
	}
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
// expiry= (+100), root=NAME, region=TAG,TAG public=1, peer= (p), renew=COUNT renewprice= renewfor= (duration).
func bidVerb(s *script, a args) chain.Body {
	name := a.text("piece")
	b := &chain.PlaceBid{Terms: chain.BidTerms{PieceCID: pieceCID(name), PaddedSize: a.size("size"), PayloadRoot: rootCID(a.t, name),
		Part: a.number("part", 0), Parts: a.number("parts", 1), Duration: a.number("duration", 60), MaxPrice: a.amount("price"),
		Copies: a.number("copies", 1), MinCollateral: a.amount("collateral"), Expiry: s.until(a, "expiry", 100),
		Allow: a.numbers("allow"), Deny: a.numbers("deny"), ClientPeer: []byte("p"), Public: a.has("public")}}
	if a.has("region") {
		b.Terms.Regions = strings.Split(a.text("region"), ",")
	}
	if a.has("renew") {
		b.Terms.Renew = &chain.Renewal{Count: a.number("renew"), MaxPrice: a.amount("renewprice"), Duration: a.number("renewfor", b.Terms.Duration)}
	}
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
// (128), max= (2KiB), shortest= (60), longest= (600), collateral=, expiry= (+100), refresh= (0),
// region=TAG, retrieval=, unseal=.
func askVerb(s *script, a args) chain.Body {
	region := ""
	if a.has("region") {
		region = a.text("region")
	}
	return &chain.PlaceAsk{Terms: chain.AskTerms{Miner: a.number("miner"), Price: a.amount("price"), Capacity: a.size("capacity"),
		MinPiece: a.size("min", 128), MaxPiece: a.size("max", 2<<10), MinDuration: a.number("shortest", 60),
		MaxDuration: a.number("longest", 600), Collateral: a.amount("collateral"), Expiry: s.until(a, "expiry", 100), Refresh: a.number("refresh", 0),
		Region: region, RetrievalPrice: a.amount("retrieval"), UnsealPrice: a.amount("unseal")}}
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
