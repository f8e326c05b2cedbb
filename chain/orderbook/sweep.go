package orderbook

import (
	"slices"

	"github.com/perdure/perdure/chain"
)

// seeker is an ask that searches the bids in this block.
type seeker struct {
	ask     *entry
	from    rank         // the last bid it has passed
	price   chain.Amount // that a bid must allow
	visits  uint64
	passed  *entry // the last bid that it passed in this block; nil: none
	stopped bool   // it has used up its visits and is to go on
}

// seekers are the asks that search. An ask joins the sweep at the first bid
// after its From and is then shown every bid, until it has stopped, has sold
// out, or its price is too high for a bid and so for all that follow.
type seekers struct {
	all     []*seeker // in the order of the asks
	waiting []*seeker // not joined, by from
	joined  []*seeker // in the order of the asks
}

func newSeekers(t tree, most uint64) *seekers {
	s := &seekers{}
	for c := t.seek(&rank{}); c.entry() != nil && uint64(len(s.all)) < most; c.next() {
		o := c.entry().order
		s.all = append(s.all, &seeker{ask: c.entry(), from: bidRank(&o.From), price: o.Ask.Price})
	}
	s.waiting = slices.Clone(s.all)
	slices.SortStableFunc(s.waiting, func(a, b *seeker) int { return a.from.compare(&b.from) })
	return s
}

// join lets in the asks whose search reaches the bid.
func (s *seekers) join(bid *rank) {
	for len(s.waiting) > 0 && s.waiting[0].from.compare(bid) < 0 {
		k := s.waiting[0]
		s.waiting = s.waiting[1:]
		i, _ := slices.BinarySearchFunc(s.joined, k, func(a, b *seeker) int { return a.ask.rank.compare(&b.ask.rank) })
		s.joined = slices.Insert(s.joined, i, k)
	}
}

// sweep goes through the bids that search or that a searching ask has to see,
// best first.
func (m *matcher) sweep() {
	asks := newSeekers(m.book.seekAsk, m.rules.Searches)
	searching, searched := m.book.seekBid.seek(&rank{}), uint64(0)
	all, at := m.book.bids.seek(&rank{}), rank{}
	complete := true
	for complete && m.err == nil {
		bid := asks.sought(&all, &at)
		own := searching.entry()
		if searched == m.rules.Searches {
			own = nil
		}
		if bid == nil || own != nil && own.rank.compare(&bid.rank) < 0 {
			bid = own
		}
		if bid == nil {
			break
		}
		searches := own != nil && own.rank == bid.rank
		asks.join(&bid.rank)
		complete = m.show(bid, asks, searches)
		if searches {
			complete = complete && m.search(bid)
			searching.next()
			searched++
		}
		at = bid.rank
	}
	for _, k := range asks.all {
		m.settle(k, complete)
	}
}

// sought moves the cursor to the next bid that a searching ask has to see and
// returns it, or nil if there is none.
func (s *seekers) sought(all *cursor, at *rank) *entry {
	switch {
	case len(s.joined) > 0:
		all.advance(at)
	case len(s.waiting) > 0:
		all.advance(&s.waiting[0].from)
	default:
		return nil
	}
	return all.entry()
}

// show lets the asks that have joined visit a bid. The pairs that the bid's own
// search will come to are left to it; they count as visits unless the bid
// searches in this block. It reports whether the block goes on.
func (m *matcher) show(bid *entry, asks *seekers, searches bool) bool {
	order := bid.order
	from, limit := askRank(&order.From), order.Bid.MaxPrice
	stay := asks.joined[:0]
	for i, k := range asks.joined {
		if limit.Less(k.price) {
			break // this ask and those after it are too dear for all bids to come
		}
		if m.gone(k.ask) {
			continue
		}
		own := order.State == chain.OrderSearching && k.ask.rank.compare(&from) > 0
		if !m.gone(bid) && !(own && searches) {
			if k.visits == m.rules.Visits {
				k.stopped = true
				continue
			}
			if !own && !m.room() {
				asks.joined = append(stay, asks.joined[i:]...)
				return false
			}
			k.visits++
			if !own {
				m.visit(bid, k.ask)
			}
		}
		k.passed = bid
		stay = append(stay, k)
	}
	asks.joined = stay
	return true
}

// search lets a bid visit the asks after its From. It reports whether the block
// goes on.
func (m *matcher) search(bid *entry) bool {
	from, limit := askRank(&bid.order.From), bid.order.Bid.MaxPrice
	var last *entry
	visits := uint64(0)
	for c := m.book.asks.seek(&from); !m.gone(bid); c.next() {
		ask := c.entry()
		if ask == nil || limit.Less(ask.rank.price) {
			m.rest(bid)
			return true
		}
		if m.gone(ask) {
			continue
		}
		if visits == m.rules.Visits || !m.room() {
			m.pause(bid, last)
			return visits == m.rules.Visits
		}
		visits++
		last = ask
		m.visit(bid, ask)
	}
	return true
}

// settle writes down how far an ask's search came.
func (m *matcher) settle(k *seeker, complete bool) {
	switch {
	case m.gone(k.ask):
	case complete && !k.stopped:
		m.rest(k.ask)
	default:
		m.pause(k.ask, k.passed)
	}
}

// rest ends an order's search.
func (m *matcher) rest(e *entry) {
	o := m.edit(e).order
	o.State, o.From = chain.OrderResting, chain.Place{}
}

// pause notes the last order that a search has passed; nil changes nothing.
func (m *matcher) pause(e, last *entry) {
	if last != nil {
		m.edit(e).order.From = PlaceOf(last.order)
	}
}
