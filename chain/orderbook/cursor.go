package orderbook

// levels is more than a tree's depth can be: it grows by one when every node on
// a path has taken width/2 insertions.
const levels = 12

// cursor stands at an entry of a tree, or behind the last.
type cursor struct {
	path  [levels]step
	depth int // steps of path in use; 0: behind the last entry
}

type step struct {
	node *node
	at   int
}

// seek returns a cursor at the first entry after r.
func (t tree) seek(r *rank) cursor {
	var c cursor
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

// start returns a cursor at the first entry.
func (t tree) start() cursor {
	var c cursor
	for n := t.root; n != nil; n = n.firstChild() {
		c.push(n, 0)
	}
	return c
}

func (n *node) firstChild() *node {
	if n.children == nil {
		return nil
	}
	return n.children[0]
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
	return s.node.items[s.at].entry
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

// skip moves to the first entry, from where the cursor stands, that x does not
// miss for a condition.
func (c *cursor) skip(x *searcher, by condition) {
	if c.depth > 0 && x.misses(by, &c.path[0].node.hull) {
		c.depth = 0
	}
	for c.depth > 0 {
		s := &c.path[c.depth-1]
		if c.look(s, x, by) {
			if s.node.children == nil {
				return
			}
			c.push(s.node.children[s.at], 0)
			continue
		}
		if c.depth--; c.depth > 0 {
			c.path[c.depth-1].at++
		}
	}
}

// look moves a step on to the first of its entries or children that are not all
// missed, and reports whether there is one.
func (c *cursor) look(s *step, x *searcher, by condition) bool {
	if s.node.children == nil {
		for ; s.at < len(s.node.items); s.at++ {
			if !x.misses(by, &s.node.items[s.at].entry.terms) {
				return true
			}
		}
		return false
	}
	for ; s.at < len(s.node.children); s.at++ {
		if !x.misses(by, &s.node.children[s.at].hull) {
			return true
		}
	}
	return false
}
