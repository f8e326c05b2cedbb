package index

import (
	"bytes"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// join goes through the IDs that stand, for each of some filters, under one of
// its prefixes. It seeks from one filter to the next, so it takes at most about
// as many steps as the shortest of them has rows.
func (s *Snapshot) join(filters []filter, p Page, each func(id []byte) (bool, error)) (next []byte, err error) {
	all := make([]*union, 0, len(filters))
	defer func() {
		for _, u := range all {
			err = errors.Join(err, u.close(s.view))
		}
	}()
	for _, f := range filters {
		u := &union{upward: p.Upward, state: f.state}
		all = append(all, u)
		if err := u.open(s.view, f.prefixes, p.After); err != nil {
			return nil, err
		}
	}
	var last []byte
	taken, visits := 0, 0
	for id := all[0].start(); id != nil; visits++ {
		if taken >= max(p.Limit, 1) || visits == maxVisits {
			return last, nil
		}
		at := id
		for _, u := range all[1:] {
			if at = u.seek(id); !bytes.Equal(at, id) {
				break
			}
		}
		last = append(last[:0], id...)
		switch {
		case at == nil:
			id = nil
		case bytes.Equal(at, id):
			take := !slices.ContainsFunc(all, (*union).refuses)
			if take {
				take, err = each(id)
			}
			if err != nil {
				return nil, err
			}
			if take {
				taken++
			}
			id = all[0].step()
		default:
			id = all[0].seek(at)
		}
	}
	return nil, nil
}

// union goes through the IDs that stand under any of some prefixes, up or down;
// none stands under two.
type union struct {
	upward bool
	state  byte // that rows have to hold; 0: any
	rows   []walker
}

// open begins behind a place.
func (u *union) open(v *view, prefixes [][]byte, after []byte) error {
	for _, prefix := range prefixes {
		it, err := v.iterator(bounds(prefix, u.upward, after))
		if err != nil {
			return err
		}
		u.rows = append(u.rows, walker{it: it, prefix: prefix, upward: u.upward})
	}
	return nil
}

// refuses reports whether the row that it stands at holds another state than it should.
func (u *union) refuses() bool {
	if u.state == 0 {
		return false
	}
	v := u.first().it.Value()
	return len(v) != 1 || v[0] != u.state
}

func (u *union) close(v *view) (err error) {
	for i := range u.rows {
		err = errors.Join(err, v.give(u.rows[i].it))
	}
	return err
}

// start, step and seek return the ID that they come to, nil at the end. They
// return a copy.
func (u *union) start() []byte {
	for i := range u.rows {
		u.rows[i].start()
	}
	return bytes.Clone(u.first().id)
}

func (u *union) step() []byte {
	u.first().step()
	return bytes.Clone(u.first().id)
}

func (u *union) seek(id []byte) []byte {
	for i := range u.rows {
		u.rows[i].seek(id)
	}
	return bytes.Clone(u.first().id)
}

// first is the walker whose ID comes first.
func (u *union) first() *walker {
	out := &u.rows[0]
	for i := range u.rows[1:] {
		w := &u.rows[1+i]
		if w.id == nil {
			continue
		}
		if c := bytes.Compare(w.id, out.id); out.id == nil || (c < 0) == u.upward {
			out = w
		}
	}
	return out
}

// walker goes through the IDs under one prefix, up or down.
type walker struct {
	it     *pebble.Iterator
	prefix []byte
	upward bool
	id     []byte // that it is at, the iterator's own bytes; nil: at the end
}

func (w *walker) start() {
	if w.upward {
		w.at(w.it.First())
	} else {
		w.at(w.it.Last())
	}
}

func (w *walker) step() {
	if w.upward {
		w.at(w.it.Next())
	} else {
		w.at(w.it.Prev())
	}
}

// seek goes to an ID or, if there is none such, to the one after it.
func (w *walker) seek(id []byte) {
	key := append(append(make([]byte, 0, len(w.prefix)+len(id)+1), w.prefix...), id...)
	if w.upward {
		w.at(w.it.SeekGE(key))
	} else {
		w.at(w.it.SeekLT(append(key, 0)))
	}
}

func (w *walker) at(valid bool) {
	w.id = nil
	if valid {
		w.id = w.it.Key()[len(w.prefix):]
	}
}
