package index

import (
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// mention is what a block says of one subject, in one row: an account that sends
// money has a message, events and another balance in the same block.
type mention struct {
	messages, events []uint32 // their places in the block, ascending
	balance          []byte   // encoded Balance after the block; empty: it is as before
}

var errMention = errors.New("row of a subject is cut off")

// mention is what the block says of a subject so far.
func (b *block) mention(of Subject) *mention {
	m := b.mentions[string(of.prefix)]
	if m == nil {
		m = new(mention)
		b.mentions[string(of.prefix)] = m
	}
	return m
}

// mentioned writes the rows under all subjects.
func (b *block) mentioned(batch *pebble.Batch) error {
	for _, prefix := range slices.Sorted(maps.Keys(b.mentions)) {
		b.under(batch, []byte(prefix), nil, b.mentions[prefix].bytes())
	}
	return nil
}

// bytes is the row: the messages and the events, each list behind the length of its
// bytes, then the balance.
func (m *mention) bytes() []byte {
	out := make([]byte, 0, 4+2*len(m.messages)+2*len(m.events)+len(m.balance))
	for _, places := range [][]uint32{m.messages, m.events} {
		slices.Sort(places)
		places = slices.Compact(places)
		size, last := 0, uint32(0)
		for _, n := range places {
			size += uvarintSize(n - last)
			last = n
		}
		out, last = binary.AppendUvarint(out, uint64(size)), 0
		for _, n := range places {
			out = binary.AppendUvarint(out, uint64(n-last))
			last = n
		}
	}
	return append(out, m.balance...)
}

// uvarintSize is how many bytes binary.AppendUvarint takes for a number.
func uvarintSize(n uint32) (size int) {
	for size = 1; n >= 0x80; size++ {
		n >>= 7
	}
	return size
}

// mentionRow is a row under a subject, as it stands there: places are each the
// distance from the one before.
type mentionRow struct{ messages, events, balance []byte }

func parseMention(row []byte) (m mentionRow, err error) {
	for _, part := range []*[]byte{&m.messages, &m.events} {
		n, head := binary.Uvarint(row)
		if head <= 0 || n > uint64(len(row)-head) {
			return m, errMention
		}
		*part, row = row[head:head+int(n)], row[head+int(n):]
	}
	m.balance = row
	return m, nil
}

func itsMessages(m *mentionRow) []byte { return m.messages }

func itsEvents(m *mentionRow) []byte { return m.events }

// placesIn reads places.
func placesIn(part []byte) (places []uint32, err error) {
	at := uint64(0)
	for len(part) > 0 {
		n, head := binary.Uvarint(part)
		if head <= 0 || at+n > math.MaxUint32 {
			return nil, errMention
		}
		at += n
		places, part = append(places, uint32(at)), part[head:]
	}
	return places, nil
}

// places goes through the messages or the events of a subject. What a page names
// are places, HEIGHT INDEX.
func (s *Snapshot) places(of Subject, p Page, part func(*mentionRow) []byte, each func(Place) (bool, error)) (next []byte, err error) {
	if err := p.check(placeSize); err != nil {
		return nil, err
	}
	from := Page{Upward: p.Upward, Limit: maxVisits}
	r := reading{Page: p}
	if p.After != nil { // the block that holds the place, too
		r.after = placeOf(p.After)
		switch {
		case !p.Upward:
			from.After = number(nil, uint64(r.after.Height)+1)
		case r.after.Height > 0:
			from.After = number(nil, uint64(r.after.Height)-1)
		}
	}
	more, err := s.list(of.prefix, 8, from, func(row, value []byte) (bool, error) {
		m, err := parseMention(value)
		if err != nil {
			return false, err
		}
		indexes, err := placesIn(part(&m))
		if err != nil {
			return false, err
		}
		at := Place{Height: height(row)}
		for i := range indexes {
			if !p.Upward {
				i = len(indexes) - 1 - i
			}
			at.Index = indexes[i]
			if err := r.offer(at, func() (bool, error) { return each(at) }); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	switch {
	case errors.Is(err, errEnough):
		return r.last.bytes(), nil
	case err != nil || more == nil:
		return nil, err
	}
	// All of the last row has been looked at, whether or not there was a place in it.
	last := Place{Height: height(more)}
	if p.Upward {
		last.Index = math.MaxUint32
	}
	return last.bytes(), nil
}
