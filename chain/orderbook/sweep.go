package orderbook

import (
	"github.com/perdure/perdure/chain"
)

// seeker is an ask that searches the bids in this block. It always stands at a
// bid that it has to look at.
type seeker struct {
	ask          *entry
	as           searcher
	bids         merge
	visits, hops uint64
	stopped      bool // it has used up its visits or hops and goes on in the next block
	over         bool // all bids are passed that its price allows
}

// ahead is the order in which seekers have their turns: the one that stands at
// the best bid first, of those at one bid the best ask.
func ahead(a, b *seeker) bool {
	c := a.bids.at.rank.compare(&b.bids.at.rank)
	return c < 0 || c == 0 && a.ask.rank.compare(&b.ask.rank) < 0
}

// first returns the best entries of a tree.
func first(t tree, most uint64) []*entry {
	out := make([]*entry, 0, min(most, uint64(t.size)))
	for c := t.start(); c.entry() != nil && uint64(len(out)) < most; c.next() {
		out = append(out, c.entry())
	}
	return out
}

// sweep goes through the bids that search or that a searching ask looks at,
// best first.
func (m *matcher) sweep() {
	all, waiting := m.seekers()
	for turn := 0; m.err == nil && (len(waiting) > 0 || turn < len(m.turns)); {
		if len(waiting) > 0 && (turn == len(m.turns) || waiting[0].bids.at.rank.compare(&m.turns[turn].rank) <= 0) {
			k := waiting[0]
			if !m.gone(k.ask) && !m.show(k) {
				break
			}
			if m.gone(k.ask) || k.stopped || !m.stand(k) {
				waiting = dropFirst(waiting, ahead)
			} else {
				sink(waiting, 0, ahead)
			}
			continue
		}
		if !m.search(m.turns[turn]) {
			break
		}
		turn++
	}
	for _, k := range all {
		switch {
		case m.gone(k.ask):
		case k.over:
			m.rest(k.ask)
		default:
			m.pause(k.ask, &m.book.bids, bidRank(&k.ask.order.From), k.bids.at)
		}
	}
}

// seekers are the asks that have their turn, and of them, as a heap, those that
// have a bid to look at.
func (m *matcher) seekers() (all, waiting []*seeker) {
	for _, e := range first(m.book.asks.seek, m.rules.Searches) {
		from := bidRank(&e.order.From)
		k := &seeker{ask: e, as: searcher{terms: &e.terms, order: e.order}}
		k.bids.begin(&m.book.bids, &from)
		all = append(all, k)
		if m.stand(k) {
			waiting = append(waiting, k)
		}
	}
	for i := len(waiting)/2 - 1; i >= 0; i-- {
		sink(waiting, i, ahead)
	}
	return all, waiting
}

// stand moves an ask on to the first bid, from where it stands, that it has to
// look at: neither one whose own search will come to it in this block, nor one
// whose terms do not suit it. It reports false if there is none or if the ask
// has to stop before.
func (m *matcher) stand(k *seeker) bool {
	for {
		bid := k.bids.at
		switch {
		case bid == nil || bid.order.Bid.MaxPrice.Less(k.ask.order.Ask.Price):
			k.over = true
			return false
		case m.turn(bid) && comes(bid, k.ask):
			k.bids.next()
		case !k.as.clashes(bid):
			return true
		case k.hops == m.rules.Hops:
			k.stopped = true
			return false
		default:
			k.hops++
			m.out.Hops++
			k.bids.hop(&k.as)
		}
	}
}

// turn reports whether a bid searches in this block.
func (m *matcher) turn(bid *entry) bool {
	return bid.order.State == chain.OrderSearching && len(m.turns) > 0 && bid.rank.compare(&m.turns[len(m.turns)-1].rank) <= 0
}

// comes reports whether a bid's own search will come to an ask, in this block or later.
func comes(bid, ask *entry) bool {
	from := askRank(&bid.order.From)
	return bid.order.State == chain.OrderSearching && ask.rank.compare(&from) > 0
}

// show lets an ask look at the bid that it stands at, and moves it on unless it
// has used up its visits. A bid whose own search will come to the ask in a later
// block counts as a visit. It reports whether the block goes on.
func (m *matcher) show(k *seeker) bool {
	bid := k.bids.at
	switch theirs := comes(bid, k.ask); {
	case m.gone(bid):
	case k.visits == m.rules.Visits:
		k.stopped = true
		return true
	case !theirs && !m.room():
		return false
	default:
		k.visits++
		if !theirs {
			b, a := m.of(bid), m.of(k.ask)
			m.visit(&b, &a)
		}
	}
	k.bids.next()
	return true
}

// asksFor is what a bid's search goes through: the asks after its From, of the
// miners that it allows if it names any.
func (m *matcher) asksFor(bid *chain.Order) path {
	from := askRank(&bid.From)
	if len(bid.Bid.Allow) > 0 {
		return m.book.asksOf(bid.Bid.Allow, &from)
	}
	m.asks.begin(&m.book.asks, &from)
	return &m.asks
}

// search lets a bid look at the asks after its From. It reports whether the
// block goes on.
func (m *matcher) search(e *entry) bool {
	bid := m.of(e)
	if bid.gone() {
		return true
	}
	asks, limit := m.asksFor(e.order), e.order.Bid.MaxPrice
	as := &m.bid
	*as = searcher{terms: &e.terms, order: bid.order()}
	var visits, hops uint64
	for {
		at := asks.entry()
		if at == nil || limit.Less(at.rank.price) {
			m.rest(e)
			return true
		}
		ask := m.of(at)
		switch {
		case ask.gone():
			asks.pass(ask.work)
		case as.clashes(at):
			if hops == m.rules.Hops {
				m.pause(e, &m.book.asks, askRank(&e.order.From), at)
				return true
			}
			hops++
			m.out.Hops++
			asks.hop(as)
		case visits == m.rules.Visits || !m.room():
			m.pause(e, &m.book.asks, askRank(&e.order.From), at)
			return visits == m.rules.Visits
		default:
			visits++
			m.visit(&bid, &ask)
			if bid.gone() {
				return true
			}
			as.order = bid.order()
			asks.next()
		}
	}
}

// rest ends an order's search.
func (m *matcher) rest(e *entry) {
	s := m.of(e)
	o := m.edit(&s)
	o.State, o.From = chain.OrderResting, chain.Place{}
}

// pause notes how far a search has come: to the order before the one of the
// other side at which it stands.
func (m *matcher) pause(e *entry, other *side, from rank, at *entry) {
	if last := other.before(&at.rank); last != nil && last.rank.compare(&from) > 0 {
		s := m.of(e)
		m.edit(&s).From = PlaceOf(last.order)
	}
}
