package index

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// pruneAtOnce bounds how many heights one block prunes: one is the rule, more
// only after the retention was lowered.
const pruneAtOnce = 16

// Keep changes how many heights of history are kept. What is too old goes with
// the next blocks, some heights at a time.
func (x *Index) Keep(heights uint64) { x.keep.Store(heights) }

// Size is the space that the database takes on the disk, in bytes.
func (x *Index) Size() uint64 {
	done, err := x.use()
	if err != nil {
		return 0
	}
	defer done()
	return x.db.Metrics().DiskSpaceUsage()
}

// Compact gives back the space of what was deleted. It reads and writes all
// that is stored, beside everything else.
func (x *Index) Compact(ctx context.Context) error {
	done, err := x.use()
	if err != nil {
		return err
	}
	defer done()
	return x.fatal.guard(func() error { return x.db.Compact(ctx, []byte{0}, []byte{0xff}, true) })
}

// firstKept is where the history begins once a height is in.
func (x *Index) firstKept(first, height chain.Height) chain.Height {
	keep := chain.Height(x.keep.Load())
	if height-first < keep {
		return first
	}
	return min(height-keep+1, first+pruneAtOnce)
}

// prune removes the rows of a height.
func (x *Index) prune(batch *pebble.Batch, h chain.Height) error {
	var messages []Message
	err := every(x, number([]byte{'m'}, uint64(h)), func(key []byte, m *Message) error {
		messages = append(messages, *m)
		remove(batch, key)
		return x.forgetPlace(batch, m)
	})
	if err != nil {
		return err
	}
	var events []*consensus.Event
	err = every(x, number([]byte{'e'}, uint64(h)), func(key []byte, e *consensus.Event) error {
		events = append(events, e)
		remove(batch, key)
		return nil
	})
	if err != nil {
		return err
	}
	if err := touches(h, messages, events, func(key []byte) { remove(batch, key) }); err != nil {
		return err
	}
	err = x.scan(number([]byte{'x'}, uint64(h)), func(key, _ []byte) error {
		remove(batch, key)
		return nil
	})
	if err != nil {
		return err
	}
	remove(batch, number([]byte{'b'}, uint64(h)))
	return x.pruneEnded(batch, h)
}

// forgetPlace removes the place of a message's hash, unless it stands elsewhere.
func (x *Index) forgetPlace(batch *pebble.Batch, m *Message) error {
	raw, err := x.get(hashKey(m.Receipt.Hash))
	if err != nil {
		return err
	}
	if at, ok := place(raw); ok && at.Height == m.Height {
		remove(batch, hashKey(m.Receipt.Hash))
	}
	return nil
}

// pruneEnded removes the orders, channels, sectors and deals whose records went
// at a height. Of a sector whose number another one has by now nothing is left.
func (x *Index) pruneEnded(batch *pebble.Batch, h chain.Height) error {
	prefix := endedPrefix(h)
	return x.scan(prefix, func(key, _ []byte) error {
		remove(batch, key)
		k := chain.Key{Table: chain.Table(key[len(prefix)]), ID: string(key[len(prefix)+1:])}
		kept, err := x.Kept(k)
		if err != nil || kept == nil || kept.Ended != h {
			return err
		}
		remove(batch, keptKey(k))
		rows, err := rowsOf(k, kept.Record)
		if err != nil {
			return fmt.Errorf("decode %s %x: %w", k.Table, k.ID, err)
		}
		for _, row := range rows {
			remove(batch, row)
		}
		return nil
	})
}

// rowsOf are the rows of a record in lists.
func rowsOf(k chain.Key, record []byte) (rows [][]byte, err error) {
	switch k.Table {
	case chain.TableOrder:
		o := new(chain.Order)
		err = chain.Decode(record, o)
		rows = [][]byte{number([]byte{'o'}, o.ID), number(ownerPrefix(o.Owner.Bytes()), o.ID)}
	case chain.TableChannel:
		c := new(chain.Channel)
		err = chain.Decode(record, c)
		rows = [][]byte{number(channelPrefix(c.Payer.Bytes()), c.ID), number(channelPrefix(c.Payee.Bytes()), c.ID)}
	case chain.TableSector:
		rows = [][]byte{append([]byte{'s'}, k.ID...)}
	case chain.TableDeal:
		d := new(chain.Deal)
		err = chain.Decode(record, d)
		for _, by := range listsOf(d) {
			rows = append(rows, number(by.prefix, d.ID))
		}
	}
	return rows, err
}

// scan goes through all rows under a prefix; each may keep the key.
func (x *Index) scan(prefix []byte, each func(key, value []byte) error) error {
	return x.rows(bounds(prefix, true, nil), func(key, value []byte) error { return each(append([]byte(nil), key...), value) })
}

// rows goes through the rows within bounds; each may keep neither key nor value.
func (x *Index) rows(within *pebble.IterOptions, each func(key, value []byte) error) (err error) {
	done, err := x.use()
	if err != nil {
		return err
	}
	defer done()
	it, err := x.db.NewIter(within)
	if err != nil {
		return fmt.Errorf("read index: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		if err := each(it.Key(), it.Value()); err != nil {
			return err
		}
	}
	return it.Error()
}

// every is scan for rows that hold a noun.
func every[T any, P interface {
	*T
	chain.CBOR
}](x *Index, prefix []byte, each func(key []byte, v P) error) error {
	return x.scan(prefix, func(key, value []byte) error {
		v := P(new(T))
		if err := chain.Decode(value, v); err != nil {
			return fmt.Errorf("decode row %c: %w", prefix[0], err)
		}
		return each(key, v)
	})
}
