package orderbook

import (
	"iter"

	"github.com/perdure/perdure/chain"
)

// path is the sequence of orders that a search goes through.
type path interface {
	entry() *entry   // where it stands; nil: behind the last
	next()           // to the following order
	pass()           // the same, if the order is gone
	hop(x *searcher) // over a run of orders, of the group of the one at which it stands, that do not suit x
}

// merge goes through the orders of one side, the best first. Groups whose first
// order it has not come to are not opened.
type merge struct {
	spent   spent
	waiting []*group // not opened, by head
	open    []*lane  // as a heap: the one that stands at the best order first
	at      *entry
	opened  bool // at is that of open[0], else of waiting[0]
}

// lane is a group that is open.
type lane struct {
	cursor
	of   *group
	gone bool // all orders before it are
}

// spent remembers for the searches of one block where the first order of a group
// is that is not gone, so that not every one passes over all that are.
type spent map[*group]cursor

// after returns a path that stands at the first order after r; known may be nil.
func (s *side) after(r *rank, known spent) *merge {
	m := &merge{waiting: s.byHead, spent: known}
	m.add(s.seek, r)
	for len(m.waiting) > 0 && m.waiting[0].head.rank.compare(r) <= 0 {
		m.add(m.waiting[0].tree, r)
		m.waiting = m.waiting[1:]
	}
	for i := len(m.open)/2 - 1; i >= 0; i-- {
		sink(m.open, i, sooner)
	}
	m.choose()
	return m
}

// add opens a tree after r, if there is anything.
func (m *merge) add(t tree, r *rank) {
	if t.size == 0 {
		return
	}
	if c := t.seek(r); c.entry() != nil {
		m.open = append(m.open, &lane{cursor: c})
	}
}

func sooner(a, b *lane) bool { return a.entry().rank.compare(&b.entry().rank) < 0 }

func (m *merge) choose() {
	m.at, m.opened = nil, len(m.open) > 0
	if m.opened {
		m.at = m.open[0].entry()
	}
	if len(m.waiting) > 0 && (m.at == nil || m.waiting[0].head.rank.compare(&m.at.rank) < 0) {
		m.at, m.opened = m.waiting[0].head, false
	}
}

func (m *merge) entry() *entry { return m.at }

func (m *merge) next() {
	l := m.current()
	l.gone = false
	l.next()
	m.settle()
}

func (m *merge) pass() {
	if !m.opened {
		if c, known := m.spent[m.waiting[0]]; known {
			m.current().cursor = c
			m.settle()
			return
		}
	}
	l := m.current()
	l.next()
	if l.gone && m.spent != nil {
		m.spent[l.of] = l.cursor
	}
	m.settle()
}

// current returns the lane that stands at the best order, which is then the
// first of those that are open.
func (m *merge) current() *lane {
	if !m.opened {
		g := m.waiting[0]
		m.waiting, m.opened = m.waiting[1:], true
		m.open = append(m.open, &lane{g.tree.seek(&rank{}), g, true})
		last := len(m.open) - 1
		m.open[0], m.open[last] = m.open[last], m.open[0]
		rise(m.open, last, sooner)
	}
	return m.open[0]
}

// settle puts the first cursor, which has moved, where it belongs.
func (m *merge) settle() {
	if m.open[0].entry() == nil {
		m.open = dropFirst(m.open, sooner)
	} else {
		sink(m.open, 0, sooner)
	}
	m.choose()
}

func (m *merge) hop(x *searcher) {
	if !m.opened && x.excludes(&m.waiting[0].tree.root.hull) {
		m.waiting = m.waiting[1:]
		m.choose()
		return
	}
	l := m.current()
	l.gone = false
	x.hop(&l.cursor)
	m.settle()
}

// all goes through the entries of a side in order.
func (s *side) all() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for m := s.after(&rank{}, nil); m.at != nil; m.next() {
			if !yield(m.at) {
				return
			}
		}
	}
}

// named goes through the asks of the few miners that a bid allows; a miner's
// asks are a group of their own.
type named struct {
	asks *side
	each []cursor // of Book.miners, one a miner
	ids  []chain.MinerID
	best int    // whose cursor is the first
	at   *entry // what the asks have at its rank
}

// asksOf returns a path through the asks of some miners after a place.
func (b *Book) asksOf(ids []chain.MinerID, from *chain.Place) *named {
	n := &named{asks: &b.asks, ids: ids}
	for _, id := range ids {
		r := minersPlace(id, from)
		n.each = append(n.each, b.miners.seek(&r))
	}
	n.choose()
	return n
}

// minerRank is an ask's rank among those of its miner.
func minerRank(ask *chain.Order) rank {
	p := PlaceOf(ask)
	return minersPlace(ask.Ask.Miner, &p)
}

// minersPlace is the rank of a place among the asks of a miner.
func minersPlace(id chain.MinerID, p *chain.Place) rank {
	return rank{key: id, price: p.Price, placed: p.Placed, tie: p.Tie, id: p.ID}
}

func (n *named) choose() {
	var first *chain.Order
	var least rank
	for i := range n.each {
		e := n.each[i].entry()
		if e == nil || e.rank.key != n.ids[i] { // behind the miner's last ask
			continue
		}
		p := PlaceOf(e.order)
		if r := askRank(&p); first == nil || r.compare(&least) < 0 {
			first, least, n.best = e.order, r, i
		}
	}
	if n.at = nil; first != nil {
		n.at = n.asks.get(first, &least)
	}
}

func (n *named) entry() *entry { return n.at }

func (n *named) next() {
	n.each[n.best].next()
	n.choose()
}

func (n *named) pass() { n.next() }

func (n *named) hop(x *searcher) {
	x.hop(&n.each[n.best])
	n.choose()
}
