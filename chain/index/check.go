package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/state"
)

// Report is what a check of the index found.
type Report struct {
	First, Height chain.Height // of the history that was checked
	Gaps          []Gap        // of it: known, no problem of the rows
	Blocks        uint64
	Updates       uint64   // of them, held against the store's Update
	Unkept        uint64   // of them, whose messages were not kept: what only those tell is missing
	Records       uint64   // of the mirror
	Compared      bool     // the mirror was held against the state
	Rows          uint64   // of lists
	Problems      []string // the first ones; none: the index is whole
	More          uint64   // problems that are not listed
	Took          time.Duration
}

// OK reports that nothing is wrong.
func (r *Report) OK() bool { return len(r.Problems) == 0 }

// maxProblems bounds what a report lists.
const maxProblems = 100

// checker holds the index as of one height against itself and the store.
type checker struct {
	*Snapshot
	ctx    context.Context
	store  *state.Store // nil: only against itself
	report *Report
	blocks []counts // by height from First on
}

// counts are how many rows a block has.
type counts struct{ messages, events uint32 }

func (c *checker) wrong(format string, args ...any) {
	if len(c.report.Problems) == maxProblems {
		c.report.More++
		return
	}
	c.report.Problems = append(c.report.Problems, fmt.Sprintf(format, args...))
}

// checks are what a check looks at, in this order.
var checks = []func(*checker) error{
	(*checker).history, (*checker).subjects, (*checker).records, (*checker).listed, (*checker).levels, (*checker).figures, (*checker).mirror,
}

// Check looks for gaps and doubles: that heights follow each other and blocks
// have the rows that they count, that the Updates were the store's, as far as it
// keeps them, that each row of a list names something that is there, and that the
// mirror is the state. It reads a snapshot while the index goes on. store may be nil.
func (x *Index) Check(ctx context.Context, store *state.Store) (report *Report, err error) {
	began := time.Now()
	s, err := x.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("check index: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	c := &checker{Snapshot: s, ctx: ctx, store: store, report: &Report{First: s.First, Height: s.Height, Gaps: s.Gaps}}
	for _, check := range checks {
		if err := check(c); err != nil {
			return nil, fmt.Errorf("check index: %w", err)
		}
	}
	c.report.Took = time.Since(began)
	return c.report, nil
}

// rows goes through the rows under a prefix.
func (c *checker) rows(prefix []byte, each func(key, value []byte) error) error {
	n := 0
	return c.each(bounds(prefix, true, nil), func(key, value []byte) error {
		if n++; n%1000 == 0 {
			if err := c.ctx.Err(); err != nil {
				return err
			}
		}
		return each(key, value)
	})
}

// history checks the blocks, and the messages and events of each.
func (c *checker) history() error {
	want := c.First
	c.blocks = make([]counts, c.Height+1-min(c.First, c.Height+1))
	err := c.rows([]byte{'b'}, func(key, value []byte) error {
		h := height(key[1:])
		var b Block
		if err := parse(value, &b); err != nil || b.Height != h || h < c.First || h > c.Height {
			c.wrong("row of block %d holds block %d, history is %d to %d (%v)", h, b.Height, c.First, c.Height, err)
			return nil
		}
		if gap := c.InGap(want); gap != nil {
			want = gap.To + 1
		}
		if h != want {
			c.wrong("blocks %d to %d are missing", want, h-1)
		}
		want = h + 1
		c.report.Blocks++
		return c.block(&b)
	})
	if err != nil {
		return err
	}
	if gap := c.InGap(want); gap != nil {
		want = gap.To + 1
	}
	if want != c.Height+1 {
		c.wrong("blocks %d to %d are missing", want, c.Height)
	}
	return c.strays()
}

// block checks the rows of a block.
func (c *checker) block(b *Block) error {
	n := &c.blocks[b.Height-c.First]
	err := c.inChunks(messageTable, b.Height, &n.messages, func(index uint32, raw []byte) error {
		var m Message
		if err := parse(raw, &m); err != nil || m.Height != b.Height || m.Index != uint64(index) {
			c.wrong("message %d of block %d: it is message %d of block %d (%v)", index, b.Height, m.Index, m.Height, err)
			return nil
		}
		at, err := c.get(hashKey(m.Receipt.Hash))
		if p, ok := place(at); err == nil && (!ok || m.Effect() && (p != Place{b.Height, index})) {
			c.wrong("message %x of block %d is not found by its hash", m.Receipt.Hash, b.Height)
		}
		return err
	})
	if err != nil {
		return err
	}
	err = c.inChunks(eventTable, b.Height, &n.events, func(uint32, []byte) error { return nil })
	if err != nil {
		return err
	}
	if uint64(n.messages) != b.Messages || uint64(n.events) != b.Events+b.Derived {
		c.wrong("block %d has rows of %d messages and %d events, want %d and %d", b.Height, n.messages, n.events, b.Messages, b.Events+b.Derived)
	}
	if b.Messages > 0 && b.Bytes == 0 {
		c.report.Unkept++
	}
	return c.update(b)
}

// inChunks goes through the entries that a block has in a table, and counts them.
func (c *checker) inChunks(table byte, h chain.Height, n *uint32, each func(index uint32, raw []byte) error) error {
	return c.rows(number([]byte{table}, uint64(h)), func(key, row []byte) error {
		if at := be32(key[9:]); at*chunkSize != *n {
			c.wrong("table %c of block %d has chunk %d behind %d entries", table, h, at, *n)
		}
		return eachIn(row, func(raw []byte) (bool, error) {
			err := each(*n, raw)
			*n++
			return err == nil, err
		})
	})
}

// update holds a block against the store's Update of its height.
func (c *checker) update(b *Block) error {
	if c.store == nil {
		return nil
	}
	raw, err := c.store.Update(b.Height)
	switch {
	case errors.Is(err, state.ErrPruned):
		return nil
	case err != nil:
		return err
	}
	if c.report.Updates++; sha256.Sum256(raw) != b.Update {
		c.wrong("block %d was made of another Update than the store has", b.Height)
	}
	return nil
}

// strays finds rows of blocks that the history has not, and hashes that name no
// message.
func (c *checker) strays() error {
	for _, table := range []byte{messageTable, eventTable, tradeTable, 'j', 'z'} {
		err := c.rows([]byte{table}, func(key, _ []byte) error {
			if h := height(key[1:]); c.at(h) == nil && !(table == 'z' && c.InGap(h) != nil) {
				c.wrong("row %c of height %d, which is not in the history", table, h)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return c.rows([]byte{'h'}, func(key, value []byte) error {
		p, ok := place(value)
		if n := c.at(p.Height); !ok || n == nil || p.Index >= n.messages {
			c.wrong("hash %x names message %d of block %d, which is not there", key[1:], p.Index, p.Height)
		}
		return nil
	})
}

// at are the counts of a block, nil if the history does not have it.
func (c *checker) at(h chain.Height) *counts {
	if h < c.First || h > c.Height || c.InGap(h) != nil {
		return nil
	}
	return &c.blocks[h-c.First]
}

// subjects checks that what stands under subjects is there.
func (c *checker) subjects() error {
	err := c.rows([]byte{'E'}, func(key, row []byte) error {
		c.report.Rows++
		n := c.at(height(key[len(key)-8:]))
		if n == nil || !n.have(row) {
			c.wrong("row %x names what is not there", key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.rows([]byte{'P'}, func(key, _ []byte) error {
		c.report.Rows++
		if c.at(height(key[len(key)-8:])) == nil {
			c.wrong("row %x is of a block that is not there", key)
		}
		return nil
	})
}

// have reports whether a block has what a row of it under a subject names.
func (n *counts) have(row []byte) bool {
	m, err := parseMention(row)
	if err != nil {
		return false
	}
	messages, e1 := placesIn(m.messages)
	events, e2 := placesIn(m.events)
	within := func(places []uint32, count uint32) bool {
		return len(places) == 0 || slices.IsSorted(places) && places[len(places)-1] < count
	}
	return e1 == nil && e2 == nil && len(row) > 2 && within(messages, n.messages) && within(events, n.events) &&
		(len(m.balance) == 0 || parse(m.balance, new(Balance)) == nil)
}

// records checks that the records of the mirror stand in their lists.
func (c *checker) records() error {
	gone := 0
	err := c.rows([]byte{'R'}, func(key, value []byte) error {
		k := chain.Key{Table: chain.Table(key[1]), ID: string(key[2:])}
		r, err := parseRecord(k, value)
		v := mirrored(k.Table)
		if err == nil && v != nil {
			err = r.Decode(v)
		}
		if err != nil || v == nil {
			c.wrong("record %s %x cannot be read (%v)", k.Table, k.ID, err)
			return nil
		}
		c.report.Records++
		for _, row := range rowsOf(r, v) {
			value, err := c.get(row.key)
			if err != nil {
				return err
			}
			if value == nil || !bytes.Equal(value, row.value()) {
				c.wrong("%s %x does not stand in the list %q as it should", k.Table, k.ID, row.key[:2])
			}
		}
		if r.Gone != 0 {
			gone++
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = c.rows([]byte{'z'}, func(key, value []byte) error {
		return eachGone(key, value, func(k chain.Key) error {
			r, err := c.Record(k)
			if r != nil && r.Gone == height(key[1:]) {
				gone--
			}
			return err
		})
	})
	if gone != 0 {
		c.wrong("%d records that are gone would stay for ever", gone)
	}
	return err
}

// lists are the tables of the lists of records, and of which table of the state each
// lists records.
var lists = []struct {
	rows byte
	of   chain.Table
}{{'D', chain.TableDeal}, {'S', chain.TableSector}, {'O', chain.TableOrder}, {'C', chain.TableChannel}, {'M', chain.TableMiner}}

// listed checks that what stands in lists is a record which stands there.
func (c *checker) listed() error {
	for _, l := range lists {
		width := All(l.of).width
		err := c.rows([]byte{l.rows}, func(key, _ []byte) error {
			c.report.Rows++
			k := chain.Key{Table: l.of, ID: string(key[len(key)-width:])}
			v := mirrored(l.of)
			r, err := c.Load(k, v)
			if err != nil {
				return err
			}
			if r == nil || among(rowsOf(r, v), key) < 0 {
				c.wrong("the list %q names %s %x, which does not belong there", key[:2], l.of, k.ID)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// mirror holds the mirror against the state of the same height.
func (c *checker) mirror() (err error) {
	if c.store == nil {
		return nil
	}
	e, err := c.store.Export(c.Height)
	if errors.Is(err, state.ErrPruned) || errors.Is(err, state.ErrFuture) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	for _, table := range mirroredTables() {
		live := 0
		err := e.ForEach(table, func(id string, value []byte) error {
			live++
			r, err := c.Record(chain.Key{Table: table, ID: id})
			if err == nil && (r == nil || r.Gone != 0 || !bytes.Equal(r.Value, value)) {
				c.wrong("%s %x is another one in the state", table, id)
			}
			return errors.Join(err, c.ctx.Err())
		})
		if err != nil {
			return err
		}
		err = c.rows([]byte{'R', byte(table)}, func(key, value []byte) error {
			if r, err := parseRecord(chain.Key{Table: table}, value); err == nil && r.Gone == 0 {
				live--
			}
			return nil
		})
		if err != nil {
			return err
		}
		if live != 0 {
			c.wrong("the state has %d records of %s more than the index", live, table)
		}
	}
	c.report.Compared = true
	return nil
}
