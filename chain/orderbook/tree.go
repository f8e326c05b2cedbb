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

// node is an inner node or a leaf of a tree; it never changes. No node is empty.
type node struct {
	// items of a leaf are its entries. Item i of an inner node bounds child i:
	// what it holds is at or after item i (of child 0: whatever) and before item
	// i+1. A bound may be an entry that is gone.
	items    []*entry
	children []*node // nil in a leaf
}

// tree is a persistent B+ tree of entries by rank: a change copies the path to
// its leaf and shares the rest. Nodes that run low are not joined, only empty
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

// set returns the tree with e, in the place of an entry of the same rank if there is one.
func (t tree) set(e *entry) tree {
	if t.root == nil {
		return tree{&node{items: []*entry{e}}, 1}
	}
	root, split, added := t.root.set(e)
	if split != nil {
		root = &node{items: []*entry{root.items[0], split.items[0]}, children: []*node{root, split}}
	}
	return tree{root, t.size + added}
}

// set returns the changed node, what it was split by if it grew too wide, and
// how many entries were added.
func (n *node) set(e *entry) (changed, split *node, added int) {
	if n.children == nil {
		i, found := n.find(&e.rank)
		if found {
			items := slices.Clone(n.items)
			items[i] = e
			return &node{items: items}, nil, 0
		}
		changed, split = cut(&node{items: with(n.items, i, e)})
		return changed, split, 1
	}
	i := n.child(&e.rank)
	below, right, added := n.children[i].set(e)
	changed = &node{items: n.items, children: slices.Clone(n.children)}
	changed.children[i] = below
	if right != nil {
		changed.items = with(n.items, i+1, right.items[0])
		changed.children = with(changed.children, i+1, right)
	}
	changed, split = cut(changed)
	return changed, split, added
}

// with returns a copy of list with v inserted at i.
func with[T any](list []T, i int, v T) []T {
	out := make([]T, len(list)+1)
	copy(out, list[:i])
	out[i] = v
	copy(out[i+1:], list[i:])
	return out
}

// without returns a copy of list without item i.
func without[T any](list []T, i int) []T {
	out := make([]T, len(list)-1)
	copy(out, list[:i])
	copy(out[i:], list[i+1:])
	return out
}

// cut halves a node that is too wide.
func cut(n *node) (left, right *node) {
	if len(n.items) <= width {
		return n, nil
	}
	const half = width / 2
	left, right = &node{items: n.items[:half:half]}, &node{items: n.items[half:]}
	if n.children != nil {
		left.children, right.children = n.children[:half:half], n.children[half:]
	}
	return left, right
}

// remove returns the tree without the entry at r.
func (t tree) remove(r *rank) tree {
	if t.root == nil {
		return t
	}
	root, removed := t.root.remove(r)
	if !removed {
		return t
	}
	for root != nil && len(root.children) == 1 {
		root = root.children[0]
	}
	return tree{root, t.size - 1}
}

// remove returns the changed node, nil if nothing is left of it.
func (n *node) remove(r *rank) (*node, bool) {
	if n.children == nil {
		i, found := n.find(r)
		if !found {
			return n, false
		}
		if len(n.items) == 1 {
			return nil, true
		}
		return &node{items: without(n.items, i)}, true
	}
	i := n.child(r)
	below, removed := n.children[i].remove(r)
	switch {
	case !removed:
		return n, false
	case below != nil:
		children := slices.Clone(n.children)
		children[i] = below
		return &node{items: n.items, children: children}, true
	case len(n.children) == 1:
		return nil, true
	}
	return &node{items: without(n.items, i), children: without(n.children, i)}, true
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
