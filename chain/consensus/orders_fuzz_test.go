package consensus

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/perdure/perdure/chain"
)

// fork is a network that goes its own way from here on; the state is shared and never changes.
func (n *network) fork(t testing.TB) *network {
	c := *n
	c.t = t
	return &c
}

// traders is a network with one miner and money to trade with.
func traders(t testing.TB) *network {
	t.Helper()
	return minerNetwork(t, testParams(), fakeVerifier{}, 2<<10)
}

func amountOf(b []byte) chain.Amount {
	a, _ := chain.AmountFromBig(new(big.Int).SetBytes(b[:min(len(b), 16)]))
	return a
}

func listOf(b []byte) (out []chain.MinerID) {
	for _, x := range b[:min(len(b), 64)] {
		out = append(out, 900+uint64(x))
	}
	return out
}

// FuzzOrders places one order with any terms, then its fitting counterpart. The
// harness checks after every block that no money came or went and that what is
// locked follows from the terms.
func FuzzOrders(f *testing.F) {
	price := chain.PDR(1).Big().Bytes()
	f.Add(true, uint64(1024), uint64(60), uint64(1), uint64(100), uint64(0), uint64(1), price, price, []byte{})
	f.Add(true, uint64(2048), uint64(600), uint64(16), uint64(20_000), uint64(3), uint64(4), []byte{255}, []byte{}, []byte{99, 100, 101})
	f.Add(true, uint64(1)<<63, ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), slices.Repeat([]byte{255}, 16), price, []byte{3, 2})
	f.Add(false, uint64(2048), uint64(600), uint64(1<<40), uint64(100), uint64(128), uint64(60), price, price, []byte{})
	f.Add(false, uint64(128), ^uint64(0), ^uint64(0), ^uint64(0), uint64(0), ^uint64(0), price, slices.Repeat([]byte{255}, 16), []byte{})
	base := traders(f)
	f.Fuzz(func(t *testing.T, bid bool, size, duration, count, life, x, y uint64, price, collateral, list []byte) {
		n := base.fork(t)
		expiry := n.height + 1 + chain.Height(life)
		var order, answer chain.Body
		if bid {
			b := &chain.PlaceBid{Terms: chain.BidTerms{PieceCID: pieceCID("a"), PayloadRoot: rootCID(t, "a"), PaddedSize: size,
				Part: x, Parts: y, Duration: duration, MaxPrice: amountOf(price), Copies: count, MinCollateral: amountOf(collateral),
				Expiry: expiry, Allow: listOf(list), ClientPeer: []byte("p")}}
			order = b
			answer = &chain.PlaceAsk{Terms: chain.AskTerms{Miner: chain.FirstMinerID, Price: b.Terms.MaxPrice, Capacity: 2 * size,
				MinPiece: size, MaxPiece: size, MinDuration: duration, MaxDuration: duration, Collateral: b.Terms.MinCollateral, Expiry: expiry}}
		} else {
			a := &chain.PlaceAsk{Terms: chain.AskTerms{Miner: chain.FirstMinerID, Price: amountOf(price), Capacity: count, MinPiece: x, MaxPiece: size,
				MinDuration: y, MaxDuration: duration, Collateral: amountOf(collateral), Expiry: expiry}}
			order = a
			answer = &chain.PlaceBid{Terms: chain.BidTerms{PieceCID: pieceCID("a"), PayloadRoot: rootCID(t, "a"), PaddedSize: size, Parts: 1,
				Duration: duration, MaxPrice: a.Terms.Price, Copies: 1, MinCollateral: a.Terms.Collateral, Expiry: expiry, ClientPeer: []byte("p")}}
		}
		n.trade(order, answer, bid && len(list) == 0)
	})
}

// trade places two orders that suit each other and expects a deal if both were taken.
func (n *network) trade(order, answer chain.Body, certain bool) {
	n.t.Helper()
	_, results := n.block(n.message("worker", 0, order), n.message("worker", 1, answer))
	for _, r := range results {
		if r.Code != CodeOK && r.Code != CodeFailed {
			n.t.Fatalf("order ends with %s: %s", r.Code, r.Error)
		}
		certain = certain && r.Code == CodeOK
	}
	deals := 0
	for _, e := range n.advance(int(n.params.MatchDelay)) {
		if e.Kind == EventDealMatched {
			deals++
		}
	}
	if certain && deals != 1 {
		n.t.Fatalf("two orders that suit each other made %d deals", deals)
	}
	cancel := make([][]byte, 0, 2)
	for id := range uint64(2) {
		cancel = append(cancel, n.message("worker", id, &chain.CancelOrder{Order: id + 1}))
	}
	n.block(cancel...)
	if left := n.view.keys(chain.TableOrder); len(left) != 0 || n.view.book.Len() != 0 {
		n.t.Fatalf("%d orders stay after both were filled or cancelled", len(left))
	}
}

// TestListing puts the orders of one block into every sequence that a proposer
// may choose: who trades with whom stays the same.
func TestListing(t *testing.T) {
	names := []named{{"o1", chain.PDR(100)}, {"o2", chain.PDR(100)}, {"c1", chain.PDR(100)}, {"c2", chain.PDR(100)}, {"c3", chain.PDR(100)}}
	s := &script{memory: map[string]any{"names": names}}
	s.network = newNetwork(t, testParams(), fakeVerifier{}, names)
	send := func(lines ...string) {
		ahead := map[string]uint64{}
		var messages [][]byte
		for _, l := range lines {
			messages = append(messages, s.message(l, ahead))
		}
		s.mustAll(messages...)
	}
	send("o1: create-miner fund=50PDR", "o2: create-miner fund=50PDR")
	lines := []string{
		"o1: ask miner=1000 price=5 capacity=2KiB min=1KiB", "o2: ask miner=1001 price=5 capacity=2KiB min=1KiB",
		"c1: bid piece=a size=1KiB price=9", "c2: bid piece=b size=1KiB price=9", "c3: bid piece=c size=1KiB price=9 copies=2",
		"c1: bid piece=d size=1KiB price=9",
	}
	base, first := s.network, ""
	src := rand.New(rand.NewPCG(1, 7))
	for range 40 {
		s.network = base.fork(t)
		src.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		if slices.Index(lines, "c1: bid piece=d size=1KiB price=9") < slices.Index(lines, "c1: bid piece=a size=1KiB price=9") {
			continue // one sender's nonces fix the sequence of its messages
		}
		send(lines...)
		s.advance(int(s.params.MatchDelay))
		var trades []string
		each(s.network, chain.TableDeal, func(_ chain.Key, d *chain.Deal) {
			trades = append(trades, fmt.Sprintf("%s from %d to %s", d.PieceCID, d.Miner, d.Client))
		})
		slices.Sort(trades)
		if got := fmt.Sprint(trades); first == "" {
			first = got
		} else if got != first {
			t.Fatalf("listed as %q\n got %s\nwant %s", lines, got, first)
		}
		if len(trades) != 4 {
			t.Fatalf("%d deals, want the 4 that two asks of 2 KiB can hold", len(trades))
		}
	}
}

// TestPayTelescopes settles a deal at random heights, with and without faults:
// what is released in all is the price's share of the covered heights, and all
// of it when there was no fault.
func TestPayTelescopes(t *testing.T) {
	src := rand.New(rand.NewPCG(2, 7))
	base := traders(t)
	for round := range 200 {
		s, err := newState(base.params, base.view, fakeVerifier{})
		must(t, err)
		d := &chain.Deal{ID: 1, State: chain.DealActive, Client: addressOf(t, "worker"), Miner: chain.FirstMinerID, PieceCID: pieceCID("a"),
			PayloadRoot: rootCID(t, "a"), Total: chain.Atto(1 + src.Uint64N(1<<40)), Duration: 1 + src.Uint64N(1000), Activated: 50, PaidThrough: 50}
		d.Unspent, d.End = d.Total, d.Activated+chain.Height(d.Duration)
		must(t, s.lock(d.Client, d.Total))
		sec := &chain.Sector{Miner: d.Miner, PaidThrough: d.Activated}
		faults, at := uint64(0), sec.PaidThrough
		for d.State == chain.DealActive {
			at += chain.Height(src.Uint64N(100))
			if round%2 == 1 && src.IntN(4) == 0 {
				must(t, s.settleDeal(d, sec, at)) // the fault settles what was proven
				from := min(at, d.End)
				at += chain.Height(src.Uint64N(100))
				sec.PaidThrough = at
				faults += uint64(min(at, d.End) - from)
				continue
			}
			must(t, s.settleDeal(d, sec, at))
		}
		if d.FaultBlocks != faults || round%2 == 0 && faults != 0 {
			t.Fatalf("round %d: %d heights were faulty, the deal says %d", round, faults, d.FaultBlocks)
		}
		want, err := d.Total.MulDiv(d.Duration-faults, d.Duration)
		must(t, err)
		paid := chain.Amount{}
		for _, e := range s.events {
			if e.Kind == EventDealPaid {
				if paid, err = paid.Add(e.Amount); err != nil {
					t.Fatal(err)
				}
			}
		}
		if paid != want || !d.Unspent.IsZero() || s.global.Supply.Locked != base.global().Supply.Locked {
			t.Fatalf("round %d: paid %s, want %s; %s still locked", round, paid, want, d.Unspent)
		}
	}
}
