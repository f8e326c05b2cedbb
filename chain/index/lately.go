package index

import "github.com/perdure/perdure/chain"

// latelySize is how many rows each half of lately holds at most: a few megabytes.
const latelySize = 8192

// lately holds the rows of records that blocks wrote last: what a block changes is
// often what one shortly before has changed, and a look into the database takes as
// long as all else that is done with a record. It is of who writes alone.
type lately struct{ young, old map[chain.Key][]byte }

// row is a record's, nil if it is not held.
func (l *lately) row(k chain.Key) []byte {
	row := l.young[k]
	if row == nil {
		if row = l.old[k]; row != nil {
			l.keep(k, row)
		}
	}
	return row
}

// keep holds a row that is written; nil: the record has none any more.
func (l *lately) keep(k chain.Key, row []byte) {
	if row == nil {
		delete(l.young, k)
		delete(l.old, k)
		return
	}
	if l.young == nil || len(l.young) >= latelySize {
		l.young, l.old = make(map[chain.Key][]byte, latelySize), l.young
	}
	l.young[k] = row
}

// record is the row of a record for who writes, nil if there is none.
func (g *generation) record(k chain.Key) ([]byte, error) {
	if row := g.lately.row(k); row != nil {
		return row, nil
	}
	return g.get(recordKey(k))
}
