package orderbook

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/perdure/perdure/chain"
)

// Golden scripts, testdata/*.txt:
//
//	book [visits=N] [hops=N] [searches=N] [trades=N]   an empty book; limits that are not given do not bind
//	place                                     orders that enter the book, one a line:
//	    ask PRICE miner=M size=KIB [owner=O] ...   capacity in KiB; owner is the miner's number if not given
//	    bid PRICE size=KIB [copies=N] [owner=O] ...
//	    keys of both: placed=HEIGHT (1) tie=N (0) expiry=HEIGHT (1000) noshows=N
//	    of asks: min= max= (KiB; 1 and 64) shortest= longest= (1 and 100) collateral= (0) locked= (ample) region=
//	    of bids: duration= (10) collateral= (0) allow=1,2 deny=1,2 region=A,B; escrow=: one of the chain's own with so much
//	    locked, which not=OWNERS may not have
//	cancel ID
//	match [at=HEIGHT]                         one block: its trades, orders filled and the book after it
//
// Prices are attoPDR per KiB per block. IDs count from 1 in the order of placing.
// Every match is also made by the naive matcher and compared.

type script struct {
	*market
	t *testing.T
}

func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if !strings.HasSuffix(path, ".txt") {
			return
		}
		s := &script{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.t = t
			return s.run(d)
		})
	})
}

func (s *script) run(d *datadriven.TestData) string {
	switch d.Cmd {
	case "book":
		rules := wideRules
		rules.NoShowFloor = chain.Amount{}
		d.MaybeScanArgs(s.t, "visits", &rules.Visits)
		d.MaybeScanArgs(s.t, "hops", &rules.Hops)
		d.MaybeScanArgs(s.t, "searches", &rules.Searches)
		d.MaybeScanArgs(s.t, "trades", &rules.Trades)
		s.market = newMarket(s.t, &byteSource{}, rules)
		return "ok\n"
	case "place":
		s.market.t = s.t
		for _, line := range strings.Split(d.Input, "\n") {
			s.place(s.parse(strings.Fields(line)))
		}
		return s.show()
	case "cancel":
		id, err := strconv.ParseUint(d.CmdArgs[0].Key, 10, 64)
		must(s.t, err)
		s.book = without(s.book, s.naive.orders[id])
		delete(s.naive.orders, id)
		return s.show()
	case "match":
		s.market.t = s.t
		var at uint64
		if d.MaybeScanArgs(s.t, "at", &at) {
			s.now = chain.Height(at - 1)
		}
		return s.matched()
	}
	s.t.Fatalf("unknown command %q", d.Cmd)
	return ""
}

// matched runs one block and prints what it did.
func (s *script) matched() string {
	before := s.book
	s.block()
	_, out, err := before.Match(s.now, &s.rules)
	must(s.t, err)
	var b strings.Builder
	for _, t := range out.Trades {
		fmt.Fprintf(&b, "bid %d takes ask %d (miner %d) for %s, %s repaid", t.Bid.ID, t.Ask.ID, t.Ask.Ask.Miner, t.Total, t.Refund)
		if t.Bid.Succeeds != nil {
			fmt.Fprintf(&b, ", %s stays with the deal", t.Reserve)
		}
		b.WriteByte('\n')
	}
	for _, f := range out.Filled {
		fmt.Fprintf(&b, "%d filled\n", f.Order.ID)
	}
	fmt.Fprintf(&b, "%d visits", out.Visits)
	if out.Hops > 0 {
		fmt.Fprintf(&b, ", %d hops", out.Hops)
	}
	b.WriteByte('\n')
	return b.String() + s.show()
}

// show prints the book as a trader reads it: asks down to the lowest price, a
// line, bids from the highest; a mark on those that still search.
func (s *script) show() string {
	var asks, bids []string
	for o := range s.book.Asks() {
		line := fmt.Sprintf("%2d ask %s: %d KiB of miner %d%s", o.ID, perKiB(o.Ask.Price), o.Free>>10, o.Ask.Miner, searching(o))
		asks = append([]string{line}, asks...)
	}
	for o := range s.book.Bids() {
		bids = append(bids, fmt.Sprintf("%2d bid %s: %d x %d KiB%s", o.ID, perKiB(o.Bid.MaxPrice), o.Copies, o.Bid.PaddedSize>>10, searching(o)))
	}
	return strings.Join(append(append(asks, "--"), bids...), "\n") + "\n"
}

func perKiB(price chain.Amount) string {
	a, _ := price.MulDiv(1, 1<<20)
	return a.String()
}

func searching(o *chain.Order) string {
	switch {
	case o.State == chain.OrderResting:
		return ""
	case o.From.ID == 0:
		return ", searches"
	}
	return fmt.Sprintf(", searches on after %d", o.From.ID)
}

// parse reads a line of place.
func (s *script) parse(fields []string) *chain.Order {
	s.t.Helper()
	a := pairs{s.t, map[string]string{}}
	for _, f := range fields[2:] {
		k, v, _ := strings.Cut(f, "=")
		a.of[k] = v
	}
	price := chain.Atto(a.parse(fields[1]) << 20)
	o := &chain.Order{ID: s.nextID, Placed: chain.Height(a.number("placed", 1)), State: chain.OrderSearching, NoShows: a.number("noshows", 0)}
	s.nextID++
	binary.BigEndian.PutUint64(o.Tie[:], a.number("tie", 0))
	expiry := chain.Height(a.number("expiry", 1000))
	if fields[0] == "bid" {
		o.Bid = &chain.BidTerms{PieceCID: somePiece, PayloadRoot: someRoot, PaddedSize: a.number("size", 1) << 10, Parts: 1,
			Duration: a.number("duration", 10), MaxPrice: price, Copies: a.number("copies", 1), Expiry: expiry,
			MinCollateral: chain.Atto(a.number("collateral", 0) << 20), Allow: a.list("allow"), Deny: a.list("deny")}
		if a.of["region"] != "" {
			o.Bid.Regions = strings.Split(a.of["region"], ",")
		}
		o.Copies, o.Owner = o.Bid.Copies, owner(a.number("owner", 50+o.ID))
		if a.of["escrow"] != "" {
			o.Succeeds, o.Locked = &chain.Succession{}, chain.Atto(a.number("escrow", 0))
			for _, n := range a.list("not") {
				o.Owners = append(o.Owners, owner(n))
			}
			return o
		}
		price, deposit, err := s.rules.Share(o.Bid, o.NoShows)
		must(s.t, err)
		share, err := price.Add(deposit)
		must(s.t, err)
		o.Locked, err = share.Mul(o.Copies)
		must(s.t, err)
		return o
	}
	o.Ask = &chain.AskTerms{Miner: a.number("miner", 0), Price: price, Capacity: a.number("size", 1) << 10, MinPiece: a.number("min", 1) << 10,
		MaxPiece: a.number("max", 64) << 10, MinDuration: a.number("shortest", 1), MaxDuration: a.number("longest", 100),
		Collateral: chain.Atto(a.number("collateral", 0) << 20), Expiry: expiry, Region: a.of["region"]}
	o.Free, o.Owner, o.Locked = o.Ask.Capacity, owner(a.number("owner", o.Ask.Miner)), chain.Atto(a.number("locked", 1<<50))
	return o
}

// pairs are the key=value pairs of a line.
type pairs struct {
	t  *testing.T
	of map[string]string
}

func (p pairs) parse(text string) uint64 {
	p.t.Helper()
	v, err := strconv.ParseUint(text, 10, 64)
	must(p.t, err)
	return v
}

func (p pairs) number(key string, fallback uint64) uint64 {
	p.t.Helper()
	if text, ok := p.of[key]; ok {
		return p.parse(text)
	}
	return fallback
}

func (p pairs) list(key string) (out []uint64) {
	p.t.Helper()
	if p.of[key] == "" {
		return nil
	}
	for _, f := range strings.Split(p.of[key], ",") {
		out = append(out, p.parse(f))
	}
	return out
}
