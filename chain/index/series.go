package index

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
)

// Point sums up some time: what happened in it, and how much of everything
// there was after its last block.
type Point struct {
	Height chain.Height // of that block
	Flows  Flows
	Levels Levels
}

// Add takes in what came later.
func (p *Point) Add(o *Point) {
	p.Flows.Add(&o.Flows)
	p.Height, p.Levels = o.Height, o.Levels
}

// Now is the point of the minute that the newest block is in. It joins the
// rows of its hour and its day when the minute is over.
type Now struct {
	Time   uint64       // of the newest block, Unix seconds; 0: there is none yet
	Ranked chain.Height // of the last block that changed a miner's power
	Point  Point
}

// Retention says for how long points of a resolution are kept, in seconds.
type Retention struct{ Minutes, Hours uint64 }

// DefaultRetention keeps minutes for a month and hours for two years. Days stay.
func DefaultRetention() Retention { return Retention{Minutes: 31 * Day, Hours: 2 * 365 * Day} }

var nowKey = []byte{'F'}

// pointKey is of the point of a resolution that begins at a time.
func pointKey(resolution, start uint64) []byte {
	return number(binary.BigEndian.AppendUint32([]byte{'f'}, uint32(resolution)), start)
}

// begin is when the minute, hour or day of a time begins.
func begin(resolution, time uint64) uint64 { return time - time%resolution }

// writePoint adds the block to the present minute.
func (f *figures) writePoint(batch *pebble.Batch) error {
	if f.b.scan { // nothing happens in it
		return put(batch, nowKey, &f.now)
	}
	u := f.b.u
	if f.was.Time != 0 && begin(Minute, f.was.Time) != begin(Minute, u.Time) {
		if err := f.closeMinute(batch); err != nil {
			return err
		}
		f.now.Point.Flows = Flows{}
	}
	f.now.Time, f.now.Point.Height = u.Time, u.Height
	f.now.Point.Flows.Add(&f.flows)
	return put(batch, nowKey, &f.now)
}

// closeMinute writes the minute that is over, as it was after its last block,
// and adds it to its hour and its day. What is too old goes at the end of hours.
func (f *figures) closeMinute(batch *pebble.Batch) error {
	if err := put(batch, pointKey(Minute, begin(Minute, f.was.Time)), &f.was.Point); err != nil {
		return err
	}
	for _, resolution := range []uint64{Hour, Day} {
		key := pointKey(resolution, begin(resolution, f.was.Time))
		var sum Point
		if _, err := f.b.g.noun(key, &sum); err != nil {
			return err
		}
		sum.Add(&f.was.Point)
		if err := put(batch, key, &sum); err != nil {
			return err
		}
	}
	if begin(Hour, f.was.Time) == begin(Hour, f.b.u.Time) {
		return nil
	}
	keep := f.b.g.series
	for _, of := range []struct{ resolution, keep uint64 }{{Minute, keep.Minutes}, {Hour, keep.Hours}} {
		if f.b.u.Time < of.keep {
			continue
		}
		if err := batch.DeleteRange(pointKey(of.resolution, 0), pointKey(of.resolution, f.b.u.Time-of.keep), nil); err != nil {
			return err
		}
	}
	return nil
}

// Now is the point of the present minute.
func (s *Snapshot) Now() (*Now, error) {
	n, err := s.now()
	if err != nil {
		return nil, err
	}
	own := *n
	return &own, nil
}

// Points goes through the points of one resolution that begin from a time on and
// before another, as time goes. Times without a block have none. The last one
// grows with the next blocks.
func (s *Snapshot) Points(resolution, from, to uint64, each func(start uint64, p *Point) error) error {
	present, err := s.Now()
	if err != nil {
		return err
	}
	at := begin(resolution, present.Time)
	merged := present.Time == 0 || at < from || at >= to
	err = overRows(s, pointKey(resolution, from), pointKey(resolution, to), func(key []byte, p *Point) error {
		start := binary.BigEndian.Uint64(key[len(key)-8:])
		if start == at && !merged {
			merged = true
			p.Add(&present.Point)
		}
		return each(start, p)
	})
	if err != nil || merged {
		return err
	}
	return each(at, &present.Point)
}

// Sum adds up the points of the days, or the parts of days in whole hours, from
// a time on: everything but the levels, which are those of now.
func (s *Snapshot) Sum(from uint64) (*Point, error) {
	total := new(Point)
	add := func(_ uint64, p *Point) error { total.Add(p); return nil }
	from = begin(Hour, from)
	midnight := begin(Day, from+Day-1)
	if err := s.Points(Hour, from, midnight, add); err != nil {
		return nil, err
	}
	if err := s.Points(Day, midnight, ^uint64(0)>>1, add); err != nil {
		return nil, err
	}
	return total, nil
}

// overRows goes through the rows from a key on and before another, which hold a noun.
func overRows[T any, P interface {
	*T
	chain.CBOR
}](s *Snapshot, from, to []byte, each func(key []byte, v P) error) error {
	if string(from) >= string(to) {
		return nil
	}
	return s.each(&pebble.IterOptions{LowerBound: from, UpperBound: to}, func(key, value []byte) error {
		v := P(new(T))
		if err := parse(value, v); err != nil {
			return fmt.Errorf("decode row %c: %w", key[0], err)
		}
		return each(key, v)
	})
}

// last reads the last row from a key on and before another.
func (s *Snapshot) last(from, to []byte, v chain.CBOR) (found bool, err error) {
	it, err := s.iterator(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, s.give(it)) }()
	if !it.Last() {
		return false, nil
	}
	if err := parse(it.Value(), v); err != nil {
		return false, fmt.Errorf("decode row %c: %w", from[0], err)
	}
	return true, nil
}
