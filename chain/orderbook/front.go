package orderbook

import "slices"

// grow is set for a node that has none above it.
func (n *node) grow(it item, by *batch, bids bool) (changed *node, added int) {
	n, split, added := n.set(it, by, bids)
	if split == nil {
		return n, added
	}
	return join(n, split, by, bids), added
}

// join returns a node of two children.
func join(low, high *node, by *batch, bids bool) *node {
	n := &node{owner: by, stale: true, hull: low.hull, items: []item{low.items[0], {}}, children: []*node{low, high}}
	n.bound()
	n.hull.widen(&high.hull, bids)
	return n
}

// bound makes the first entry of the second of two children what divides them.
func (n *node) bound() {
	e := tree{root: n.children[1]}.first()
	n.items[1] = item{e.rank.key, e}
}

// setFront is set for a root that has a front. Of a front that grows too wide,
// the upper half goes to the others.
func (n *node) setFront(it item, by *batch, bids bool) (changed *node, added int) {
	n = n.own(by)
	n.hull.widen(&it.entry.terms, bids)
	if n.child(&it.entry.rank) == 1 {
		n.children[1], added = n.children[1].grow(it, by, bids)
		n.stale = n.stale || n.children[1].stale
		return n, added
	}
	front, over, added := n.children[0].set(it, by, bids)
	n.children[0], n.stale = front, n.stale || front.stale
	if over != nil {
		for _, it := range over.items {
			n.children[1], _ = n.children[1].grow(it, by, bids)
		}
		n.bound()
	}
	return n, added
}

// restore gives a root that has lost an entry its front and its others again, if
// it has lost one of them.
func (n *node) restore(by *batch, bids bool) *node {
	if len(n.children) == 2 {
		for len(n.children[1].children) == 1 {
			n.children[1] = n.children[1].children[0]
		}
		return n
	}
	only := n.children[0]
	if only.children == nil {
		return only
	}
	front, others := only.shift(by)
	if others == nil {
		return front
	}
	for len(others.children) == 1 {
		others = others.children[0]
	}
	return join(front, others, by, bids)
}

// shift takes the first leaf off a node and returns it and the node without it,
// nil if nothing is left.
func (n *node) shift(by *batch) (leaf, left *node) {
	if n.children == nil {
		return n, nil
	}
	leaf, below := n.children[0].shift(by)
	if below == nil && len(n.children) == 1 {
		return leaf, nil
	}
	n = n.own(by)
	n.stale = true
	if below != nil {
		n.children[0] = below
	} else {
		n.items, n.children = slices.Delete(n.items, 0, 1), slices.Delete(n.children, 0, 1)
	}
	return leaf, n
}
