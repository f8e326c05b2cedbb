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
	price  chain.Amount
	placed chain.Height
	tie    [32]byte
	id     uint64
}

func (r *rank) compare(o *rank) int {
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

// entry is an order at its rank. Entries never change.
type entry struct {
	rank  rank
	order *chain.Order
}

// width is the most items of a node: wide enough that an order's search runs
// along arrays, narrow enough that copying a path is cheap.
const width = 64

// batch stands for a run of changes to one book: nodes that it made are not
// shared yet, and it changes them in place. It has a size, so that no two
// batches have one address.
type batch struct{ _ byte }

// node is an inner node or a leaf of a tree; it never changes once its batch is
// over. No node is empty.
type node struct {
	owner *batch // who may still change it; nil: nobody
	// items of a leaf are its entries. Item i of an inner node bounds child i:
	// what it holds is at or after item i (of child 0: whatever) and before item
	// i+1. A bound may be an entry that is gone.
	items    []*entry
	children []*node // nil in a leaf
}

// tree is a persistent B+ tree of entries by rank: a change copies the path to
// its leaf, once a batch, and shares the rest. Nodes that run low are not joined, only empty
// ones go: the depth is logarithmic in the number of insertions.
type tree struct {
	root *node
	size int
}

// find returns the first item at or after r, and whether it is at r.
func (n *node) find(r *rank) (int, bool) {
	lo, hi := 0, len(n.items)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch c := n.items[mid].rank.compare(r); {
		case c == 0:
			return mid, true
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
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
		return n.items[i]
	}
	return nil
}

// own returns the node if the batch may change it, or else a copy that it may.
func (n *node) own(by *batch) *node {
	if n.owner == by {
		return n
	}
	c := &node{owner: by, items: append(make([]*entry, 0, len(n.items)+1), n.items...)}
	if n.children != nil {
		c.children = append(make([]*node, 0, len(n.children)+1), n.children...)
	}
	return c
}

// set returns the tree with e, in the place of an entry of the same rank if there is one.
func (t tree) set(e *entry, by *batch) tree {
	if t.root == nil {
		return tree{&node{owner: by, items: []*entry{e}}, 1}
	}
	root, split, added := t.root.set(e, by)
	if split != nil {
		root = &node{owner: by, items: []*entry{root.items[0], split.items[0]}, children: []*node{root, split}}
	}
	return tree{root, t.size + added}
}

// set returns the changed node, what it was split by if it grew too wide, and
// how many entries were added.
func (n *node) set(e *entry, by *batch) (changed, split *node, added int) {
	n = n.own(by)
	if n.children == nil {
		i, found := n.find(&e.rank)
		if found {
			n.items[i] = e
			return n, nil, 0
		}
		n.items = slices.Insert(n.items, i, e)
		return n, n.cut(), 1
	}
	i := n.child(&e.rank)
	below, right, added := n.children[i].set(e, by)
	n.children[i] = below
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
	right := &node{owner: n.owner, items: slices.Clone(n.items[half:])}
	n.items = slices.Delete(n.items, half, len(n.items))
	if n.children != nil {
		right.children = slices.Clone(n.children[half:])
		n.children = slices.Delete(n.children, half, len(n.children))
	}
	return right
}

// remove returns the tree without the entry at r.
func (t tree) remove(r *rank, by *batch) tree {
	if t.get(r) == nil {
		return t
	}
	root := t.root.remove(r, by)
	for root != nil && len(root.children) == 1 {
		root = root.children[0]
	}
	return tree{root, t.size - 1}
}

// remove returns the node without the entry at r, which is there; nil if nothing is left of it.
func (n *node) remove(r *rank, by *batch) *node {
	if n.children == nil {
		i, _ := n.find(r)
		if len(n.items) == 1 {
			return nil
		}
		n = n.own(by)
		n.items = slices.Delete(n.items, i, i+1)
		return n
	}
	i := n.child(r)
	below := n.children[i].remove(r, by)
	if below == nil && len(n.children) == 1 {
		return nil
	}
	n = n.own(by)
	if below != nil {
		n.children[i] = below
		return n
	}
	n.items, n.children = slices.Delete(n.items, i, i+1), slices.Delete(n.children, i, i+1)
	return n
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

// levels is more than a tree's depth can be: it grows by one when every node on
// a path has taken width/2 insertions.
const levels = 16

// cursor stands at an entry of a tree, or behind the last.
type cursor struct {
	tree  tree
	path  [levels]step
	depth int // steps of path in use; 0: behind the last entry
}

type step struct {
	node *node
	at   int
}

// seek returns a cursor at the first entry after r.
func (t tree) seek(r *rank) cursor {
	c := cursor{tree: t}
	if t.root == nil {
		return c
	}
	n := t.root
	for n.children != nil {
		i := n.child(r)
		c.push(n, i)
		n = n.children[i]
	}
	i, found := n.find(r)
	if found {
		i++
	}
	c.push(n, i)
	c.climb()
	return c
}

func (c *cursor) push(n *node, at int) {
	c.path[c.depth] = step{n, at}
	c.depth++
}

// entry returns what the cursor stands at, or nil behind the last.
func (c *cursor) entry() *entry {
	if c.depth == 0 {
		return nil
	}
	s := &c.path[c.depth-1]
	return s.node.items[s.at]
}

// next moves to the following entry.
func (c *cursor) next() {
	if c.depth > 0 {
		c.path[c.depth-1].at++
		c.climb()
	}
}

// climb moves a cursor that ran off its leaf to the first entry of the next one.
func (c *cursor) climb() {
	for c.depth > 0 && c.path[c.depth-1].at == len(c.path[c.depth-1].node.items) {
		if c.depth--; c.depth > 0 {
			c.path[c.depth-1].at++
		}
	}
	for c.depth > 0 {
		s := c.path[c.depth-1]
		if s.node.children == nil {
			return
		}
		c.push(s.node.children[s.at], 0)
	}
}

// advance moves to the first entry after r; the cursor stands at one that is
// the first after r or after a rank before r.
func (c *cursor) advance(r *rank) {
	for range 2 {
		if e := c.entry(); e == nil || e.rank.compare(r) > 0 {
			return
		}
		c.next()
	}
	if e := c.entry(); e != nil && e.rank.compare(r) <= 0 {
		*c = c.tree.seek(r)
	}
}
