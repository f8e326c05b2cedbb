package index

import (
	"bytes"

	"github.com/perdure/perdure/chain"
)

// figures recounts from the mirror what is counted as blocks come, and holds
// the histories and the points against themselves.
func (c *checker) figures() error {
	var have Levels
	present, err := c.Now()
	if err != nil {
		return err
	}
	rich, ranked, err := c.recount(&have)
	if err != nil {
		return err
	}
	if want := present.Point.Levels; have != want {
		c.wrong("the mirror has %+v, counted were %+v", have, want)
	}
	if err := c.counted('B', rich); err != nil {
		return err
	}
	if err := c.counted('N', ranked); err != nil {
		return err
	}
	if err := c.entries(); err != nil {
		return err
	}
	return c.points()
}

// recount counts the records that the state has, and how many accounts and miners
// have to stand in the lists by balance and by power; it looks for each there.
func (c *checker) recount(l *Levels) (rich, ranked uint64, err error) {
	err = c.rows([]byte{'R'}, func(key, value []byte) error {
		k := chain.Key{Table: chain.Table(key[1]), ID: string(key[2:])}
		r, err := parseRecord(k, value)
		v := mirrored(k.Table)
		if err != nil || v == nil || r.Gone != 0 || r.Decode(v) != nil {
			return nil // records has said so
		}
		switch v := v.(type) {
		case *chain.Global:
			l.Power, l.Supply, l.Unissued, l.BaseFee = v.Power, v.Supply, v.Issuance.Unissued, v.BaseFee
		case *chain.Account:
			if l.Accounts++; !v.Balance.IsZero() {
				rich++
				return c.stands(richKey(stepOf(v.Balance), []byte(k.ID)), k)
			}
		case *chain.Miner:
			l.Miners++
			ranked++
			return c.stands(rankKey(v), k)
		case *chain.Sector:
			move(nil, l.sectors(v.State))
		case *chain.Deal:
			move(nil, l.deals(v.State))
			if v.State == chain.DealActive {
				l.Stored += v.PaddedSize
			}
		case *chain.Order:
			l.Orders++
		case *chain.Channel:
			l.Channels++
		}
		return nil
	})
	return rich, ranked, err
}

func (c *checker) stands(row []byte, k chain.Key) error {
	there, err := peek(c.snap, row, func([]byte) error { return nil })
	if err == nil && !there {
		c.wrong("%s %x does not stand in the list %q", k.Table, k.ID, row[:1])
	}
	return err
}

// counted checks that a table has as many rows as it should have.
func (c *checker) counted(table byte, want uint64) error {
	n := uint64(0)
	err := c.rows([]byte{table}, func(_, _ []byte) error { n++; return nil })
	c.report.Rows += n
	if err == nil && n != want {
		c.wrong("the list %q has %d rows, want %d", table, n, want)
	}
	return err
}

// entries checks that the lists of rewards and faults about somebody and those
// of all are the same, and that votes are of blocks that are there.
func (c *checker) entries() error {
	for _, h := range []History{RewardHistory, FaultHistory} {
		all := uint64(0)
		err := every(c.Snapshot, entryPrefix(h), func(key []byte, e *Entry) error {
			all++
			if n := c.at(e.Height); n == nil || !bytes.Equal(key, in(entryPrefix(h), e.Height, uint32(e.Index))) {
				c.wrong("row %x holds entry %d of block %d", key, e.Index, e.Height)
			}
			return c.stands(in(ofPrefix(h, e.whose()), e.Height, uint32(e.Index)), chain.Key{})
		})
		if err != nil {
			return err
		}
		about := uint64(0)
		if err := c.rows([]byte{'Q', byte(h)}, func(_, _ []byte) error { about++; return nil }); err != nil {
			return err
		}
		if c.report.Rows += about; about != all {
			c.wrong("history %q has %d entries, %d stand under whom they are about", byte(h), all, about)
		}
	}
	return c.rows(votesPrefix, func(key, _ []byte) error {
		if h := height(key[len(key)-8:]); c.at(h) == nil {
			c.wrong("row %c of height %d, which is not in the history", key[0], h)
		}
		return nil
	})
}

// points checks that the hours of each day add up to it, from the first day on
// of which all hours are kept.
func (c *checker) points() error {
	days := map[uint64]*Point{}
	first := ^uint64(0)
	err := c.Points(Hour, 0, 1<<40, func(start uint64, p *Point) error {
		first = min(first, start)
		day := begin(Day, start)
		if days[day] == nil {
			days[day] = new(Point)
		}
		days[day].Add(p)
		return nil
	})
	if err != nil {
		return err
	}
	whole := begin(Day, first) + Day // hours of the first day may have gone
	return c.Points(Day, whole, 1<<40, func(start uint64, p *Point) error {
		if sum := days[start]; sum == nil || *sum != *p {
			c.wrong("the hours of day %d do not add up to it", start)
		}
		return nil
	})
}

// every goes through rows that hold a noun.
func every[T any, P interface {
	*T
	chain.CBOR
}](s *Snapshot, prefix []byte, each func(key []byte, v P) error) error {
	within := bounds(prefix, true, nil)
	return overRows(s, within.LowerBound, within.UpperBound, each)
}
