package orderbook

import (
	"bytes"
	"iter"
	"slices"

	"github.com/perdure/perdure/chain"
)

// rank is a Place in the form in which both sides sort ascending: a bid's
// price is counted down from the highest amount. The zero rank is before all.
type rank struct {
	key    uint64 // orders like price, roughly
	price  chain.Amount
	placed chain.Height
	tie    [32]byte
	id     uint64
}

func (r *rank) compare(o *rank) int {
	if r.key != o.key {
		return order(r.key < o.key)
	}
	if c := r.price.Cmp(o.price); c != 0 {
		return c
	}
	if r.placed != o.placed {
		return order(r.placed < o.placed)
	}
	if c := bytes.Compare(r.tie[:], o.tie[:]); c != 0 {
		return c
	}
	if r.id != o.id {
		return order(r.id < o.id)
	}
	return 0
}

func order(less bool) int {
	if less {
		return -1
	}
	return 1
}

// entry is an order at its rank. Entries never change. Pointers stand first: the
// collector of garbage reads no further.
type entry struct {
	order *chain.Order
	terms terms
	rank  rank
}

// width is the most items of a node: wide enough that an order's search runs
// along arrays, narrow enough that copying a path is cheap.
const width = 32

// batch stands for a run of changes to one book: nodes that it made are not
// shared yet, and it changes them in place. It has a size, so that no two
// batches have one address.
type batch struct{ _ byte }

// item is an entry of a leaf, or a bound in an inner node, with the key of its
// rank, so that most comparisons need not look further.
type item struct {
	key   uint64
	entry *entry
}

// node is an inner node or a leaf of a tree; it never changes once its batch is
// over. No node is empty.
type node struct {
	owner *batch // who may still change it; nil: nobody
	// items of a leaf are its entries. Item i of an inner node bounds child i:
	// what it holds is at or after item i (of child 0: whatever) and before item
	// i+1. A bound may be an entry that is gone.
	items    []item
	children []*node // nil in a leaf
	hull     terms   // of all entries below
	stale    bool    // the hull is wider than it has to be, until the batch is sealed
}

// tree is a persistent B+ tree of entries by rank: a change copies the path to
// its leaf, once a batch, and shares the rest. Nodes that run low are not joined, only empty
// ones go: the depth is logarithmic in the number of insertions.
//
// A root that is not a leaf has two children: the front, a leaf, and all others.
// What trades is what stands first, so most changes copy no more than those two.
//
// Each node knows the hull of the terms below it, so that a search finds the
// next order that meets a condition in logarithmic time. Nothing that anybody
// sees of a book depends on where its nodes begin and end.
type tree struct {
	root *node
	size int  // entries, or by how many changes have made it larger since it was had from a radix
	bids bool // whose hulls these are
}

// find returns the first item at or after r, and whether it is at r.
func (n *node) find(r *rank) (int, bool) {
	lo, hi := 0, len(n.items)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		it := &n.items[mid]
		switch {
		case it.key < r.key:
			lo = mid + 1
		case it.key > r.key:
			hi = mid
		default:
			switch c := it.entry.rank.compare(r); {
			case c == 0:
				return mid, true
			case c < 0:
				lo = mid + 1
			default:
				hi = mid
			}
		}
	}
	return lo, false
}

// child returns the index of the child that r belongs to.
func (n *node) child(r *rank) int {
	i, found := n.find(r)
	if found {
		return i
	}
	return max(i-1, 0)
}

// get returns the entry at r, or nil.
func (t tree) get(r *rank) *entry {
	if t.root == nil {
		return nil
	}
	n := t.root
	for n.children != nil {
		n = n.children[n.child(r)]
	}
	if i, found := n.find(r); found {
		return n.items[i].entry
	}
	return nil
}

// first returns the first entry, or nil.
func (t tree) first() *entry {
	if t.root == nil {
		return nil
	}
	n := t.root
	for n.children != nil {
		n = n.children[0]
	}
	return n.items[0].entry
}

// before returns the last entry before r, or nil.
func (t tree) before(r *rank) *entry {
	if t.root == nil {
		return nil
	}
	return t.root.before(r)
}

func (n *node) before(r *rank) *entry {
	if n.children == nil {
		if i, _ := n.find(r); i > 0 {
			return n.items[i-1].entry
		}
		return nil
	}
	for i := n.child(r); i >= 0; i-- {
		if e := n.children[i].before(r); e != nil {
			return e
		}
	}
	return nil
}

// own returns the node if the batch may change it, or else a copy that it may.
func (n *node) own(by *batch) *node {
	if n.owner == by {
		return n
	}
	c := &node{owner: by, hull: n.hull, items: append(make([]item, 0, len(n.items)+1), n.items...)}
	if n.children != nil {
		c.children = append(make([]*node, 0, len(n.children)+1), n.children...)
	}
	return c
}

// set returns the tree with e, in the place of an entry of the same rank if there is one.
func (t tree) set(e *entry, by *batch) tree {
	it, added := item{e.rank.key, e}, 1
	switch {
	case t.root == nil:
		t.root = &node{owner: by, hull: e.terms, items: []item{it}}
	case t.root.children == nil:
		t.root, added = t.root.grow(it, by, t.bids)
	default:
		t.root, added = t.root.setFront(it, by, t.bids)
	}
	t.size += added
	return t
}

// set returns the changed node, what it was split by if it grew too wide, and
// how many entries were added.
func (n *node) set(it item, by *batch, bids bool) (changed, split *node, added int) {
	n = n.own(by)
	n.hull.widen(&it.entry.terms, bids)
	if n.children == nil {
		i, found := n.find(&it.entry.rank)
		if found {
			n.stale = n.stale || n.items[i].entry.terms != it.entry.terms
			n.items[i] = it
			return n, nil, 0
		}
		n.items = slices.Insert(n.items, i, it)
		return n, n.cut(), 1
	}
	i := n.child(&it.entry.rank)
	below, right, added := n.children[i].set(it, by, bids)
	n.children[i] = below
	n.stale = n.stale || below.stale
	if right != nil {
		n.items = slices.Insert(n.items, i+1, right.items[0])
		n.children = slices.Insert(n.children, i+1, right)
	}
	return n, n.cut(), added
}

// cut moves the upper half of a node that is too wide into a new one.
func (n *node) cut() *node {
	if len(n.items) <= width {
		return nil
	}
	const half = width / 2
	n.stale = true
	right := &node{owner: n.owner, stale: true, hull: n.hull, items: slices.Clone(n.items[half:])}
	n.items = slices.Delete(n.items, half, len(n.items))
	if n.children != nil {
		right.children = slices.Clone(n.children[half:])
		n.children = slices.Delete(n.children, half, len(n.children))
	}
	return right
}

// remove returns the tree without the entry at r.
func (t tree) remove(r *rank, by *batch) tree {
	if t.root == nil {
		return t
	}
	root, found := t.root.remove(r, by)
	if !found {
		return t
	}
	if root != nil && root.children != nil {
		root = root.restore(by, t.bids)
	}
	t.root, t.size = root, t.size-1
	return t
}

// remove returns the node without the entry at r, nil if nothing is left of it,
// and whether the entry was there.
func (n *node) remove(r *rank, by *batch) (*node, bool) {
	if n.children == nil {
		i, found := n.find(r)
		switch {
		case !found:
			return n, false
		case len(n.items) == 1:
			return nil, true
		}
		n = n.own(by)
		n.stale = true
		n.items = slices.Delete(n.items, i, i+1)
		return n, true
	}
	i := n.child(r)
	below, found := n.children[i].remove(r, by)
	if !found {
		return n, false
	}
	if below == nil && len(n.children) == 1 {
		return nil, true
	}
	n = n.own(by)
	n.stale = true
	if below != nil {
		n.children[i] = below
		return n, true
	}
	n.items, n.children = slices.Delete(n.items, i, i+1), slices.Delete(n.children, i, i+1)
	return n, true
}

// seal makes the hulls of a tree exact that a batch has changed.
func (t tree) seal(by *batch) {
	if t.root != nil {
		t.root.seal(by, t.bids)
	}
}

func (n *node) seal(by *batch, bids bool) {
	if n.owner != by || !n.stale {
		return
	}
	n.stale = false
	if n.children == nil {
		n.hull = n.items[0].entry.terms
		for _, it := range n.items[1:] {
			n.hull.widen(&it.entry.terms, bids)
		}
		return
	}
	for i, c := range n.children {
		c.seal(by, bids)
		if i == 0 {
			n.hull = c.hull
		} else {
			n.hull.widen(&c.hull, bids)
		}
	}
}

// all goes through the entries in order.
func (t tree) all() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for c := t.seek(&rank{}); c.entry() != nil; c.next() {
			if !yield(c.entry()) {
				return
			}
		}
	}
}
