package orderbook

import (
	"iter"
)

// fanBits is how many bits of a number a fork tells apart: few, since a change
// copies whole forks.
const (
	fanBits = 4
	fan     = 1 << fanBits
)

// radix is a persistent map from numbers to trees that are not empty: a change
// copies the path to its tree, once a batch, and shares the rest. Nothing that
// anybody sees of it depends on its height, which has grown with the numbers.
type radix struct {
	root   *fork
	height uint // of forks: numbers in it have so many digits of fanBits
	bids   bool // whose trees these are
}

// fork is a node of a radix; it never changes once its batch is over.
type fork struct {
	owner   *batch
	below   []*fork // by a digit of the number; nil at the lowest height
	trees   []*node // at the lowest height, by the last digit: roots
	changed uint16  // a bit for each digit whose tree or fork the batch may have changed
}

func digit(number uint64, height uint) uint64 {
	return number >> (fanBits * (height - 1)) & (fan - 1)
}

// tree returns the tree of a number, which does not know its size; it has no
// root if there is none.
func (x *radix) tree(number uint64) tree {
	t := tree{bids: x.bids}
	if number>>(fanBits*x.height) != 0 {
		return t
	}
	f := x.root
	for h := x.height; f != nil && h > 0; h-- {
		d := digit(number, h)
		if h == 1 {
			t.root = f.trees[d]
			break
		}
		f = f.below[d]
	}
	return t
}

// put makes a tree that of a number.
func (x *radix) put(number uint64, t tree, by *batch) {
	for ; x.height == 0 || number>>(fanBits*x.height) != 0; x.height++ {
		if x.root != nil {
			up := newFork(by, x.height+1)
			up.below[0], up.changed, x.root = x.root, 1, up
		}
	}
	f := &x.root
	for h := x.height; ; h-- {
		*f = (*f).own(by, h)
		d := digit(number, h)
		(*f).changed |= 1 << d
		if h == 1 {
			(*f).trees[d] = t.root
			return
		}
		f = &(*f).below[d]
	}
}

// newFork returns an empty fork at a height, with its slots beside it.
func newFork(by *batch, height uint) *fork {
	if height == 1 {
		f := new(struct {
			fork
			slots [fan]*node
		})
		f.owner, f.trees = by, f.slots[:]
		return &f.fork
	}
	f := new(struct {
		fork
		slots [fan]*fork
	})
	f.owner, f.below = by, f.slots[:]
	return &f.fork
}

// own returns the fork if the batch may change it, or else a copy that it may, of
// nil an empty one.
func (f *fork) own(by *batch, height uint) *fork {
	if f != nil && f.owner == by {
		return f
	}
	c := newFork(by, height)
	if f != nil {
		copy(c.below, f.below)
		copy(c.trees, f.trees)
	}
	return c
}

// seal ends a batch: hulls are exact and empty forks are gone. It shows the
// number of each tree that the batch may have changed.
func (x *radix) seal(by *batch, show func(number uint64)) {
	x.root = x.root.seal(0, by, x.bids, show)
}

func (f *fork) seal(number uint64, by *batch, bids bool, show func(uint64)) *fork {
	if f == nil || f.owner != by {
		return f
	}
	for d := range uint64(fan) {
		if f.changed>>d&1 == 0 {
			continue
		}
		switch number := number<<fanBits | d; {
		case f.below != nil:
			f.below[d] = f.below[d].seal(number, by, bids, show)
		default:
			tree{root: f.trees[d], bids: bids}.seal(by)
			show(number)
		}
	}
	f.changed = 0
	for d := range fan {
		if f.below != nil && f.below[d] != nil || f.trees != nil && f.trees[d] != nil {
			return f
		}
	}
	return nil
}

// all goes through the trees by number.
func (x *radix) all() iter.Seq2[uint64, tree] {
	return func(yield func(uint64, tree) bool) { x.root.walk(0, x.bids, yield) }
}

func (f *fork) walk(number uint64, bids bool, yield func(uint64, tree) bool) bool {
	if f == nil {
		return true
	}
	for d := range uint64(fan) {
		number := number<<fanBits | d
		switch {
		case f.below != nil:
			if !f.below[d].walk(number, bids, yield) {
				return false
			}
		case f.trees[d] != nil:
			if !yield(number, tree{root: f.trees[d], bids: bids}) {
				return false
			}
		}
	}
	return true
}

// equal reports whether two maps have the same numbers, with the same entries.
func (x *radix) equal(o *radix, same func(p, q *entry) bool) bool {
	return x.root == o.root || x.within(o, same) && o.within(x, same)
}

// within reports whether another map has all that x has.
func (x *radix) within(o *radix, same func(p, q *entry) bool) bool {
	for number, t := range x.all() {
		if !sameEntries(t, o.tree(number), same) {
			return false
		}
	}
	return true
}
