package orderbook

import (
	"bytes"
	"slices"
	"strings"

	"github.com/perdure/perdure/chain"
)

// naive is the slow, obvious market that Book must equal: slices that are
// sorted afresh and a walk over all pairs.
type naive struct{ orders map[uint64]*chain.Order }

// before is the order of one side, in words of the rule.
func before(a, b chain.Place, bids bool) bool {
	if b.ID == 0 {
		return false
	}
	if a.ID == 0 {
		return true
	}
	if a.Price != b.Price {
		return a.Price.Less(b.Price) != bids
	}
	if a.Placed != b.Placed {
		return a.Placed < b.Placed
	}
	if a.Tie != b.Tie {
		return bytes.Compare(a.Tie[:], b.Tie[:]) < 0
	}
	return a.ID < b.ID
}

func (n *naive) side(bids bool) []*chain.Order {
	var out []*chain.Order
	for _, o := range n.orders {
		if (o.Bid != nil) == bids && o.State != chain.OrderWaiting {
			c := *o
			c.Miners, c.Owners = slices.Clone(o.Miners), slices.Clone(o.Owners)
			out = append(out, &c)
		}
	}
	slices.SortFunc(out, func(a, b *chain.Order) int {
		if before(PlaceOf(a), PlaceOf(b), bids) {
			return -1
		}
		return 1
	})
	return out
}

// block is one block of the naive market.
type block struct {
	now        chain.Height
	rules      *Rules
	bids, asks []*chain.Order  // as the block found them, best first
	turn       map[uint64]bool // searches in this block
	gone       map[uint64]bool
	trades     []pair
	full       bool // a visit was due and the block could make no more trades
}

type pair struct {
	bid, ask uint64
	total    chain.Amount
}

// looker is an ask that searches the bids, at one of which it stands.
type looker struct {
	ask          *chain.Order
	bids         *lanes
	visits, hops uint64
	stopped      bool
	over         bool
}

// lanes are orders of one side by group, of each of which an end is still ahead;
// what comes next is the best of them.
type lanes struct {
	all   []*chain.Order // of the side, best first
	ahead [][]int        // places in all
}

// lanesOf divides the orders of a side after a place. Those that search are a
// group; if only some miners are allowed, each of them is one.
func lanesOf(all []*chain.Order, from chain.Place, bids bool, allow []chain.MinerID) *lanes {
	l := &lanes{all: all}
	lane := map[int]int{}
	for i, o := range all {
		if !before(from, PlaceOf(o), bids) || len(allow) > 0 && !slices.Contains(allow, o.Ask.Miner) {
			continue
		}
		key := int(groupOf(o))
		switch {
		case len(allow) > 0:
			key = int(o.Ask.Miner)
		case o.State == chain.OrderSearching:
			key = -1
		}
		if _, known := lane[key]; !known {
			lane[key] = len(l.ahead)
			l.ahead = append(l.ahead, nil)
		}
		l.ahead[lane[key]] = append(l.ahead[lane[key]], i)
	}
	return l
}

// best returns the lane of the order that comes next, or -1 behind the last.
func (l *lanes) best() int {
	best := -1
	for i, lane := range l.ahead {
		if len(lane) > 0 && (best < 0 || lane[0] < l.ahead[best][0]) {
			best = i
		}
	}
	return best
}

// at returns the place of the order that comes next, or how many there are.
func (l *lanes) at() int {
	if i := l.best(); i >= 0 {
		return l.ahead[i][0]
	}
	return len(l.all)
}

// pass takes off the order that comes next.
func (l *lanes) pass() {
	lane := &l.ahead[l.best()]
	*lane = (*lane)[1:]
}

func (n *naive) match(now chain.Height, rules *Rules) []pair {
	b := &block{now: now, rules: rules, bids: n.side(true), asks: n.side(false), turn: map[uint64]bool{}, gone: map[uint64]bool{}}
	for _, side := range [][]*chain.Order{b.bids, b.asks} {
		taken := uint64(0)
		for _, o := range side {
			if o.State == chain.OrderSearching && taken < rules.Searches {
				b.turn[o.ID] = true
				taken++
			}
		}
	}
	b.run()
	for _, o := range append(b.bids, b.asks...) {
		if b.gone[o.ID] {
			delete(n.orders, o.ID)
		} else {
			n.orders[o.ID] = o
		}
	}
	return b.trades
}

func (b *block) run() {
	var lookers []*looker
	for _, a := range b.asks {
		if b.turn[a.ID] {
			k := &looker{ask: a, bids: lanesOf(b.bids, a.From, true, nil)}
			b.stand(k)
			lookers = append(lookers, k)
		}
	}
	for i, bid := range b.bids {
		for _, k := range lookers {
			if k.bids.at() == i && !k.over && !k.stopped && !b.gone[k.ask.ID] && !b.full {
				b.look(k)
			}
		}
		if b.turn[bid.ID] && !b.full {
			b.search(bid)
		}
		if b.full {
			break
		}
	}
	for _, k := range lookers {
		if k.over {
			k.ask.State, k.ask.From = chain.OrderResting, chain.Place{}
		} else if i := k.bids.at(); i > 0 && !b.gone[k.ask.ID] && before(k.ask.From, PlaceOf(b.bids[i-1]), true) {
			k.ask.From = PlaceOf(b.bids[i-1])
		}
	}
}

// comesTo says that a bid's own search will come to an ask.
func comesTo(bid, ask *chain.Order) bool {
	return bid.State == chain.OrderSearching && before(bid.From, PlaceOf(ask), false)
}

// stand moves an ask on to a bid that it has to look at.
func (b *block) stand(k *looker) {
	for {
		at := k.bids.at()
		if at == len(b.bids) || b.bids[at].Bid.MaxPrice.Less(k.ask.Ask.Price) {
			k.over = true
			return
		}
		bid := b.bids[at]
		switch {
		case b.turn[bid.ID] && comesTo(bid, k.ask):
			k.bids.pass()
		case suits(bid.Bid, k.ask) && takes(bid.Bid, k.ask) && near(bid.Bid, k.ask):
			return
		case k.hops == b.rules.Hops:
			k.stopped = true
			return
		default:
			k.hops++
			k.bids.hopBids(k.ask)
		}
	}
}

// hopBids passes over bids of one lane that do not suit an ask.
func (l *lanes) hopBids(ask *chain.Order) {
	lane := &l.ahead[l.best()]
	next := func() *chain.Order { return l.all[(*lane)[0]] }
	for _, ok := range numeric {
		for len(*lane) > 0 && !ok(next().Bid, ask.Ask) {
			*lane = (*lane)[1:]
		}
	}
	for _, ok := range []func(*chain.BidTerms, *chain.Order) bool{takes, near} {
		if len(*lane) > 0 && !ok(next().Bid, ask) {
			*lane = (*lane)[1:]
		}
	}
}

// look lets an ask look at the bid that it stands at.
func (b *block) look(k *looker) {
	bid := b.bids[k.bids.at()]
	theirs := comesTo(bid, k.ask)
	switch {
	case b.gone[bid.ID]:
	case k.visits == b.rules.Visits:
		k.stopped = true
		return
	case !theirs && uint64(len(b.trades)) == b.rules.Trades:
		b.full = true
		return
	default:
		k.visits++
		if !theirs {
			b.visit(bid, k.ask)
		}
	}
	k.bids.pass()
	if !b.gone[k.ask.ID] {
		b.stand(k)
	}
}

// search is a bid's turn.
func (b *block) search(bid *chain.Order) {
	asks := lanesOf(b.asks, bid.From, false, bid.Bid.Allow)
	visits, hops := uint64(0), uint64(0)
	for !b.gone[bid.ID] {
		at := asks.at()
		if at == len(b.asks) || bid.Bid.MaxPrice.Less(b.asks[at].Ask.Price) {
			bid.State, bid.From = chain.OrderResting, chain.Place{}
			return
		}
		stop := false
		switch a := b.asks[at]; {
		case b.gone[a.ID]:
			asks.pass()
		case !suits(bid.Bid, a) || !near(bid.Bid, a) || !free(bid, a):
			if stop = hops == b.rules.Hops; !stop {
				hops++
				asks.hopAsks(bid)
			}
		case visits == b.rules.Visits:
			stop = true
		case uint64(len(b.trades)) == b.rules.Trades:
			b.full, stop = true, true
		default:
			visits++
			b.visit(bid, a)
			asks.pass()
		}
		if stop {
			if at > 0 && before(bid.From, PlaceOf(b.asks[at-1]), false) {
				bid.From = PlaceOf(b.asks[at-1])
			}
			return
		}
	}
}

// free says that a bid takes an ask's miner and has no copy with it or its owner.
func free(bid, ask *chain.Order) bool {
	return takes(bid.Bid, ask) && !slices.Contains(bid.Miners, ask.Ask.Miner) && !slices.Contains(bid.Owners, ask.Owner)
}

// hopAsks passes over asks of one lane that do not suit a bid.
func (l *lanes) hopAsks(bid *chain.Order) {
	lane := &l.ahead[l.best()]
	next := func() *chain.Order { return l.all[(*lane)[0]] }
	for _, ok := range numeric {
		for len(*lane) > 0 && !ok(bid.Bid, next().Ask) {
			*lane = (*lane)[1:]
		}
	}
	if len(*lane) > 0 && !free(bid, next()) {
		for first := next(); len(*lane) > 0 && next().Ask.Miner == first.Ask.Miner && next().Owner == first.Owner; {
			*lane = (*lane)[1:]
		}
	}
	if len(*lane) > 0 && !near(bid.Bid, next()) {
		for first := next(); len(*lane) > 0 && next().Ask.Region == first.Ask.Region; {
			*lane = (*lane)[1:]
		}
	}
}

// numeric are the conditions on numbers that never change.
var numeric = []func(b *chain.BidTerms, a *chain.AskTerms) bool{
	func(b *chain.BidTerms, a *chain.AskTerms) bool { return b.PaddedSize <= min(a.MaxPiece, a.Capacity) },
	func(b *chain.BidTerms, a *chain.AskTerms) bool { return a.MinPiece <= b.PaddedSize },
	func(b *chain.BidTerms, a *chain.AskTerms) bool { return b.Duration <= a.MaxDuration },
	func(b *chain.BidTerms, a *chain.AskTerms) bool { return a.MinDuration <= b.Duration },
	func(b *chain.BidTerms, a *chain.AskTerms) bool { return b.MinCollateral.Cmp(a.Collateral) <= 0 },
}

func suits(b *chain.BidTerms, ask *chain.Order) bool {
	return !slices.ContainsFunc(numeric, func(ok func(*chain.BidTerms, *chain.AskTerms) bool) bool { return !ok(b, ask.Ask) })
}

// takes says that a bid's lists let the miner store for it.
func takes(b *chain.BidTerms, ask *chain.Order) bool {
	return (len(b.Allow) == 0 || slices.Contains(b.Allow, ask.Ask.Miner)) && !slices.Contains(b.Deny, ask.Ask.Miner)
}

// near says that the ask claims a region that the bid wants; tests have regions
// of one and of two words.
func near(b *chain.BidTerms, ask *chain.Order) bool {
	wider, _, _ := strings.Cut(ask.Ask.Region, "-")
	return len(b.Regions) == 0 || slices.Contains(b.Regions, ask.Ask.Region) || slices.Contains(b.Regions, wider)
}

func (b *block) visit(bid, a *chain.Order) {
	if !mayTrade(bid, a, b.now, b.rules) {
		return
	}
	total, _ := chain.DealPrice(a.Ask.Price, bid.Bid.PaddedSize, bid.Bid.Duration)
	if bid.Succeeds != nil {
		bid.Locked = chain.Amount{} // all goes into the deal
	} else {
		price, deposit, _ := b.rules.Share(bid.Bid, bid.NoShows)
		bid.Locked = less(bid.Locked, price, deposit)
	}
	collateral, stake, _ := b.rules.Stake(a.Ask, bid.Bid.PaddedSize, a.NoShows)
	a.Locked = less(a.Locked, collateral, stake)
	bid.Copies--
	a.Free -= bid.Bid.PaddedSize
	bid.Miners, bid.Owners = append(bid.Miners, a.Ask.Miner), append(bid.Owners, a.Owner)
	b.gone[bid.ID] = bid.Copies == 0
	b.gone[a.ID] = !stands(a, b.rules)
	b.trades = append(b.trades, pair{bid.ID, a.ID, total})
}

func less(a chain.Amount, by ...chain.Amount) chain.Amount {
	for _, x := range by {
		var err error
		if a, err = a.Sub(x); err != nil {
			panic(err)
		}
	}
	return a
}

// stands reports whether an ask can still sell its smallest piece.
func stands(a *chain.Order, r *Rules) bool {
	return a.Free >= a.Ask.MinPiece && escrowFor(a, a.Ask.MinPiece, r)
}

func escrowFor(a *chain.Order, size uint64, r *Rules) bool {
	collateral, deposit, _ := r.Stake(a.Ask, size, a.NoShows)
	sum, _ := collateral.Add(deposit)
	return sum.Cmp(a.Locked) <= 0
}

// mayTrade lists what both sides of a trade agreed to, one line each.
func mayTrade(b, a *chain.Order, now chain.Height, r *Rules) bool {
	for _, ok := range []bool{
		b.Copies > 0,
		a.Ask.Price.Cmp(b.Bid.MaxPrice) <= 0,
		a.Free >= b.Bid.PaddedSize,
		suits(b.Bid, a),
		now <= a.Ask.Expiry,
		now <= b.Bid.Expiry,
		near(b.Bid, a),
		free(b, a),
		escrowFor(a, b.Bid.PaddedSize, r),
	} {
		if !ok {
			return false
		}
	}
	return true
}
