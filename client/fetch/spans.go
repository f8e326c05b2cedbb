package fetch

import "slices"

// spans are runs of bytes, sorted, apart from each other.
type spans []span

// span is the bytes from from up to, not including, to.
type span struct{ from, to int64 }

// add joins a run to those there.
func (s *spans) add(from, to int64) {
	if from >= to {
		return
	}
	// The runs from i to j touch the new one.
	i, _ := slices.BinarySearchFunc(*s, from, func(x span, v int64) int {
		if x.to < v {
			return -1
		}
		return 1
	})
	j := i
	for j < len(*s) && (*s)[j].from <= to {
		from, to = min(from, (*s)[j].from), max(to, (*s)[j].to)
		j++
	}
	*s = slices.Replace(*s, i, j, span{from, to})
}

// from is how many bytes are there from an offset on without a gap.
func (s spans) from(at int64) int64 {
	i, _ := slices.BinarySearchFunc(s, at, func(x span, v int64) int {
		if x.to <= v {
			return -1
		}
		return 1
	})
	if i == len(s) || s[i].from > at {
		return 0
	}
	return s[i].to - at
}

// covers reports whether all n bytes from an offset on are there.
func (s spans) covers(at, n int64) bool { return n == 0 || s.from(at) >= n }

// touches reports whether any of the n bytes from an offset on is there.
func (s spans) touches(at, n int64) bool {
	i, _ := slices.BinarySearchFunc(s, at, func(x span, v int64) int {
		if x.to <= v {
			return -1
		}
		return 1
	})
	return i < len(s) && s[i].from < at+n
}
