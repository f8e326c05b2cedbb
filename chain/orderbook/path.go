package orderbook

import (
	"iter"

	"github.com/perdure/perdure/chain"
)

// path is the sequence of orders that a search goes through.
type path interface {
	entry() *entry   // where it stands; nil: behind the last
	next()           // to the following order
	pass(*working)   // the same, if the order is gone
	hop(x *searcher) // over a run of orders, of the group of the one at which it stands, that do not suit x
}

// merge goes through the orders of one side, the best first. Groups whose first
// order it has not come to are not opened.
type merge struct {
	side    *side
	waiting cursor  // of the heads of groups that are not opened
	open    []*lane // as a heap: the one that stands at the best order first
	at      *entry
	opened  bool    // at is that of open[0], else of the first that waits
	lanes   []*lane // all that were ever made, for another search to use
	used    int     // of lanes
}

// lane is a group that is open.
type lane struct {
	cursor
	run *working // the first of the orders just before it, without a gap, that are gone; nil: none is
}

// begin puts a merge at the first order of a side after r.
func (m *merge) begin(s *side, r *rank) {
	m.side, m.waiting, m.open, m.used = s, s.heads.start(), m.open[:0], 0
	m.add(s.seek.seek(r))
	for ; m.waiting.entry() != nil && m.waiting.entry().rank.compare(r) <= 0; m.waiting.next() {
		m.add(s.groupOf(m.waiting.entry()).seek(r))
	}
	for i := len(m.open)/2 - 1; i >= 0; i-- {
		sink(m.open, i, sooner)
	}
	m.choose()
}

// add opens a tree where a cursor stands, if that is not behind the last.
func (m *merge) add(c cursor) {
	if c.entry() != nil {
		m.open = append(m.open, m.lane(c))
	}
}

// lane returns a lane that no other cursor of this search has.
func (m *merge) lane(c cursor) *lane {
	if m.used == len(m.lanes) {
		m.lanes = append(m.lanes, new(lane))
	}
	l := m.lanes[m.used]
	m.used++
	*l = lane{cursor: c}
	return l
}

func sooner(a, b *lane) bool { return a.entry().rank.compare(&b.entry().rank) < 0 }

func (m *merge) choose() {
	m.at, m.opened = nil, len(m.open) > 0
	if m.opened {
		m.at = m.open[0].entry()
	}
	if head := m.waiting.entry(); head != nil && (m.at == nil || head.rank.compare(&m.at.rank) < 0) {
		m.at, m.opened = head, false
	}
}

func (m *merge) entry() *entry { return m.at }

func (m *merge) next() {
	l := m.current()
	l.run = nil
	l.cursor.next()
	m.settle()
}

// pass goes as far as any search of the block has found orders to be gone that
// stand one after the other.
func (m *merge) pass(gone *working) {
	l := m.current()
	if gone.past != nil {
		l.cursor = *gone.past
	} else {
		l.cursor.next()
	}
	if l.run == nil {
		l.run = gone
	}
	if l.run.past == nil {
		l.run.past = new(cursor)
	}
	*l.run.past = l.cursor
	m.settle()
}

// current returns the lane that stands at the best order, which is then the
// first of those that are open.
func (m *merge) current() *lane {
	if !m.opened {
		m.open, m.opened = append(m.open, m.lane(m.side.groupOf(m.at).start())), true
		m.waiting.next()
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
	if !m.opened && x.excludes(&m.side.groupOf(m.at).root.hull) {
		m.waiting.next()
		m.choose()
		return
	}
	l := m.current()
	l.run = nil
	x.hop(&l.cursor)
	m.settle()
}

// all goes through the entries of a side in order.
func (s *side) all() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		var m merge
		for m.begin(s, &rank{}); m.at != nil; m.next() {
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
	best int      // whose cursor is the first
	at   *entry   // what the asks have at its rank
}

// asksOf returns a path through the asks of some miners after a rank.
func (b *Book) asksOf(ids []chain.MinerID, from *rank) *named {
	n := &named{asks: &b.asks}
	for _, id := range ids {
		n.each = append(n.each, b.miners.tree(id).seek(from))
	}
	n.choose()
	return n
}

func (n *named) choose() {
	var first *entry
	for i := range n.each {
		if e := n.each[i].entry(); e != nil && (first == nil || e.rank.compare(&first.rank) < 0) {
			first, n.best = e, i
		}
	}
	if n.at = nil; first != nil {
		n.at = n.asks.get(first.order, &first.rank)
	}
}

func (n *named) entry() *entry { return n.at }

func (n *named) next() {
	n.each[n.best].next()
	n.choose()
}

func (n *named) pass(*working) { n.next() }

func (n *named) hop(x *searcher) {
	x.hop(&n.each[n.best])
	n.choose()
}
