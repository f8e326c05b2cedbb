package orderbook

import (
	"math/bits"

	"github.com/perdure/perdure/chain"
)

// groups is how many groups a side's orders at rest are divided into. A group is
// of orders whose terms are alike. A search passes over misfits group by group: a
// wall of orders that fail for several reasons by turns is a few groups of which
// each fails for one.
const groups = 1024

// groupOf is the group of an order: FNV-1a, of 32 bits, over the lengths in bits
// of size and duration bounds and collateral and the bytes of an ask's region,
// modulo groups.
func groupOf(o *chain.Order) uint16 {
	const basis, prime = 2166136261, 16777619
	h := uint32(basis)
	add := func(b byte) { h = (h ^ uint32(b)) * prime }
	t, region := bounds(o), ""
	if o.Ask != nil {
		region = o.Ask.Region
	}
	for _, v := range []uint64{t.size.low, t.size.high, t.duration.low, t.duration.high} {
		add(byte(bits.Len64(v)))
	}
	add(byte(t.stake.BitLen()))
	for i := range len(region) {
		add(region[i])
	}
	return uint16(h % groups)
}

// side is one side of a book: the orders that rest, by groups, and apart from
// them those that still search, so that an order which trades as soon as it
// comes touches the few only.
type side struct {
	seek    tree
	resting int
	groups  radix
	heads   tree  // the first order of each group
	sealed  radix // the groups of which these are the heads
}

// groupOf returns the group of an order that rests.
func (s *side) groupOf(e *entry) tree { return s.groups.tree(uint64(groupOf(e.order))) }

func (s *side) size() int { return s.resting + s.seek.size }

// put puts an entry in, or in the place of one of the same rank that searches or
// rests as it does.
func (s *side) put(e *entry, by *batch) {
	if e.order.State == chain.OrderSearching {
		s.seek = s.seek.set(e, by)
		return
	}
	number := uint64(groupOf(e.order))
	t := s.groups.tree(number).set(e, by)
	s.groups.put(number, t, by)
	s.resting += t.size
}

// drop takes an order out that searches or rests as it says.
func (s *side) drop(o *chain.Order, r *rank, by *batch) bool {
	if o.State == chain.OrderSearching {
		was := s.seek.size
		s.seek = s.seek.remove(r, by)
		return s.seek.size < was
	}
	number := uint64(groupOf(o))
	t := s.groups.tree(number).remove(r, by)
	if t.size == 0 {
		return false
	}
	s.groups.put(number, t, by)
	s.resting--
	return true
}

// get returns the entry of an order as it stands, or nil.
func (s *side) get(o *chain.Order, r *rank) *entry {
	if e := s.seek.get(r); e != nil {
		return e
	}
	return s.groups.tree(uint64(groupOf(o))).get(r)
}

// before returns the last entry before r, or nil.
func (s *side) before(r *rank) *entry {
	last := s.seek.before(r)
	for c := s.heads.start(); c.entry() != nil && c.entry().rank.compare(r) < 0; c.next() {
		if e := s.groupOf(c.entry()).before(r); last == nil || last.rank.compare(&e.rank) < 0 {
			last = e
		}
	}
	return last
}

// seal ends a batch: hulls are exact, empty groups are gone and the heads are
// those that the groups have now.
func (s *side) seal(by *batch) {
	s.seek.seal(by)
	s.groups.seal(by, func(number uint64) {
		was, is := s.sealed.tree(number).first(), s.groups.tree(number).first()
		if was != nil && (is == nil || was.rank != is.rank) {
			s.heads = s.heads.remove(&was.rank, by)
		}
		if is != nil && is != was {
			s.heads = s.heads.set(is, by)
		}
	})
	s.heads.seal(by)
	s.sealed = s.groups
}
