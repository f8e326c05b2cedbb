package explorer

import (
	"bytes"
	"slices"
	"sort"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/index"
)

// recordList says which list of records a query asks for, and how one is shown.
type recordList[V any, P interface {
	*V
	chain.CBOR
}, T any] struct {
	lists  []index.List // of which it is the union
	owner  int          // bytes that all IDs begin with, which rows leave out
	upward bool         // unless the query says otherwise
	show   func(*index.Record, P) (T, error)
	// born is the height at which a record came to be, of a table whose numbers
	// are given as they come; nil: the list knows no heights.
	born  func(P) chain.Height
	table chain.Table
}

// answer is a page of the list.
func (l *recordList[V, P, T]) answer(q *query) (any, error) {
	return listOf(q, func(p index.Page, add func(T)) ([]byte, error) { return l.page(q, p, add) })
}

// page calls add with the records of a page.
func (l *recordList[V, P, T]) page(q *query, p index.Page, add func(T)) ([]byte, error) {
	s, err := q.indexed()
	if err != nil {
		return nil, err
	}
	if p.Upward, err = q.upward(l.upward); err != nil {
		return nil, err
	}
	if q.given("ids") {
		return nil, l.named(q, s, add)
	}
	within, err := q.heights()
	if err != nil {
		return nil, err
	}
	if p, err = l.begin(q, s, p, within); err != nil {
		return nil, err
	}
	each := func(r *index.Record) (bool, error) {
		v, err := l.read(r)
		if err != nil {
			return false, err
		}
		if l.born != nil && !within.has(l.born(v)) {
			return false, errBeyond
		}
		out, err := l.show(r, v)
		if err == nil {
			add(out)
		}
		return err == nil, err
	}
	if len(l.lists) == 1 {
		return ended(s.Records(l.lists[0], p, each))
	}
	found, next, err := l.union(s, p)
	if err != nil {
		return nil, err
	}
	for _, r := range found {
		if _, err := each(r); err != nil {
			return ended(nil, err)
		}
	}
	return next, nil
}

func (l *recordList[V, P, T]) read(r *index.Record) (P, error) {
	v := P(new(V))
	return v, r.Decode(v)
}

// named shows the records of some numbers, in the order of the numbers.
func (l *recordList[V, P, T]) named(q *query, s *index.Snapshot, add func(T)) error {
	ids, err := q.ids()
	if err != nil {
		return err
	}
	for _, id := range ids {
		r, err := s.Record(chain.Key{Table: l.table, ID: string(place(id))})
		if err != nil {
			return err
		}
		if r == nil {
			continue
		}
		v, err := l.read(r)
		if err != nil {
			return err
		}
		out, err := l.show(r, v)
		if err != nil {
			return err
		}
		add(out)
	}
	return nil
}

// begin is a page whose first row was born within the range. Numbers are given
// as records come, so it is found by halving.
func (l *recordList[V, P, T]) begin(q *query, s *index.Snapshot, p index.Page, within heights) (index.Page, error) {
	if l.born == nil || (p.Upward && within.from == 0) || (!p.Upward && !q.given("maxHeight")) {
		return p, nil
	}
	from := within.from // the first record of which height or later is the first of the page, or the first behind it
	if !p.Upward {
		from = within.to + 1
	}
	last := uint64(0)
	_, err := s.Records(index.All(l.table), index.Page{Limit: 1}, func(r *index.Record) (bool, error) {
		last = parsePlace([]byte(r.Key.ID))
		return true, nil
	})
	if err != nil {
		return p, err
	}
	var failed error
	first := uint64(sort.Search(int(last)+1, func(n int) bool {
		if failed != nil {
			return true
		}
		at, err := l.bornFrom(s, uint64(n))
		failed = err
		return at >= from
	}))
	if failed != nil {
		return p, failed
	}
	switch start := place(first); {
	case !p.Upward && (p.After == nil || bytes.Compare(p.After, start) > 0):
		p.After = start
	case p.Upward && first > 0 && (p.After == nil || bytes.Compare(p.After, place(first-1)) < 0):
		p.After = place(first - 1)
	}
	return p, nil
}

// bornFrom is when the first record from a number on came to be.
func (l *recordList[V, P, T]) bornFrom(s *index.Snapshot, number uint64) (at chain.Height, err error) {
	p := index.Page{Limit: 1, Upward: true}
	if number > 0 {
		p.After = place(number - 1)
	}
	at = never
	_, err = s.Records(index.All(l.table), p, func(r *index.Record) (bool, error) {
		v, err := l.read(r)
		if err != nil {
			return false, err
		}
		at = l.born(v)
		return true, nil
	})
	return at, err
}

// never is a height that no record has.
const never = chain.Height(1 << 62)

// union reads a page of all lists together. None is gone through further than a
// page, so the page ends where the first of them broke off.
func (l *recordList[V, P, T]) union(s *index.Snapshot, p index.Page) (found []*index.Record, next []byte, err error) {
	sooner := func(a, b []byte) bool { return bytes.Compare(a, b) < 0 == p.Upward && !bytes.Equal(a, b) }
	for _, list := range l.lists {
		end, err := s.Records(list, p, func(r *index.Record) (bool, error) {
			found = append(found, r)
			return true, nil
		})
		if err != nil {
			return nil, nil, err
		}
		if end != nil && (next == nil || sooner(end, next)) {
			next = end
		}
	}
	at := func(r *index.Record) []byte { return []byte(r.Key.ID)[l.owner:] }
	slices.SortFunc(found, func(a, b *index.Record) int {
		switch {
		case sooner(at(a), at(b)):
			return -1
		case sooner(at(b), at(a)):
			return 1
		}
		return 0
	})
	for i, r := range found {
		switch {
		case i == p.Limit:
			return found[:i], at(found[i-1]), nil
		case next != nil && sooner(next, at(r)):
			return found[:i], next, nil
		}
	}
	return found, next, nil
}
