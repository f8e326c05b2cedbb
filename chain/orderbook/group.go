package orderbook

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/perdure/perdure/chain"
)

// groups is how many groups a side's orders are divided into.
const groups = 1024

// group is the part of the orders at rest whose terms are alike. A search passes
// over misfits group by group: a wall of orders that fail for several reasons by
// turns is a few groups of which each fails for one.
type group struct {
	owner  *batch
	number uint16
	tree   tree
	head   *entry // the first
}

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
	owner    *batch // who may change the slices
	bids     bool
	seek     tree
	resting  int
	byNumber []*group
	byHead   []*group // sealed ones, by rank of the head
}

func (s *side) size() int { return s.resting + s.seek.size }

// at returns where the group of a number is or would be.
func (s *side) at(number uint16) (int, bool) {
	return slices.BinarySearchFunc(s.byNumber, number, func(g *group, n uint16) int { return cmp.Compare(g.number, n) })
}

// own returns the group of a number for the batch to change.
func (s *side) own(number uint16, by *batch) *group {
	if s.owner != by {
		s.owner, s.byNumber = by, slices.Clone(s.byNumber)
	}
	i, found := s.at(number)
	switch {
	case !found:
		s.byNumber = slices.Insert(s.byNumber, i, &group{owner: by, number: number, tree: tree{bids: s.bids}})
	case s.byNumber[i].owner != by:
		g := *s.byNumber[i]
		g.owner = by
		s.byNumber[i] = &g
	}
	return s.byNumber[i]
}

// put puts an entry in, or in the place of one of the same rank that searches or
// rests as it does.
func (s *side) put(e *entry, by *batch) {
	if e.order.State == chain.OrderSearching {
		s.seek = s.seek.set(e, by)
		return
	}
	g := s.own(groupOf(e.order), by)
	was := g.tree.size
	g.tree = g.tree.set(e, by)
	s.resting += g.tree.size - was
}

// drop takes an order out that searches or rests as it says.
func (s *side) drop(o *chain.Order, r *rank, by *batch) bool {
	if o.State == chain.OrderSearching {
		was := s.seek.size
		s.seek = s.seek.remove(r, by)
		return s.seek.size < was
	}
	number := groupOf(o)
	if i, found := s.at(number); !found || s.byNumber[i].tree.get(r) == nil {
		return false
	}
	g := s.own(number, by)
	g.tree = g.tree.remove(r, by)
	s.resting--
	return true
}

// get returns the entry of an order as it stands, or nil.
func (s *side) get(o *chain.Order, r *rank) *entry {
	if e := s.seek.get(r); e != nil {
		return e
	}
	if i, found := s.at(groupOf(o)); found {
		return s.byNumber[i].tree.get(r)
	}
	return nil
}

// before returns the last entry before r, or nil.
func (s *side) before(r *rank) *entry {
	last := s.seek.before(r)
	for _, g := range s.byNumber {
		if e := g.tree.before(r); last == nil || e != nil && last.rank.compare(&e.rank) < 0 {
			last = e
		}
	}
	return last
}

// seal ends a batch: hulls are exact, empty groups are gone and the others stand
// by their heads.
func (s *side) seal(by *batch) {
	s.seek.seal(by)
	if s.owner != by {
		return
	}
	s.byNumber = slices.DeleteFunc(s.byNumber, func(g *group) bool { return g.tree.size == 0 })
	heads := make([]*group, 0, len(s.byNumber))
	for _, g := range s.byHead {
		if i, found := s.at(g.number); found && s.byNumber[i] == g {
			heads = append(heads, g) // not touched
		}
	}
	for _, g := range s.byNumber {
		if g.owner != by {
			continue
		}
		g.tree.seal(by)
		g.head = g.tree.first()
		i, _ := slices.BinarySearchFunc(heads, &g.head.rank, func(h *group, r *rank) int { return h.head.rank.compare(r) })
		heads = slices.Insert(heads, i, g)
	}
	s.byHead = heads
}
