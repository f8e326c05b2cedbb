package index

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// change is a mirrored record that a block changed, as it was before and as it
// is after, each decoded once. What the index derives from a block, it derives
// from these and from the events.
type change struct {
	key chain.Key
	// was and is are the nouns in the state before and after the block, such as
	// *chain.Deal; nil: the state had, or has, no such record.
	was, is chain.CBOR
	old     *Record // the row before, nil if there was none; one that has Gone is not in the state
	row     *Record // the row after, nil if none is left
	raw     []byte  // row as it is written
}

// formerly and now return what a change of a table was and is, nil if nothing:
//
//	was, is := formerly[chain.Deal](c), now[chain.Deal](c)
func formerly[T any](c *change) *T { v, _ := any(c.was).(*T); return v }

func now[T any](c *change) *T { v, _ := any(c.is).(*T); return v }

// read collects the changes of mirrored records from the block's Update.
func (b *block) read() error {
	b.changes = make([]change, 0, len(b.u.Changes))
	b.at = make(map[chain.Key]int, len(b.u.Changes))
	for i := range b.u.Changes {
		c := &b.u.Changes[i]
		if c.Table == chain.TableBeacon {
			if err := b.readBeacon(c); err != nil {
				return err
			}
		}
		if mirrored(c.Table) == nil {
			continue
		}
		if err := b.note(c.Key(), c.Value); err != nil {
			return fmt.Errorf("%s %x: %w", c.Table, c.ID, err)
		}
	}
	b.ends()
	return nil
}

// readBeacon keeps the value of this block.
func (b *block) readBeacon(c *consensus.Change) error {
	if c.Value == nil || c.Key() != chain.BeaconKey(b.u.Height) {
		return nil
	}
	if err := parse(c.Value, &b.beacon); err != nil {
		return fmt.Errorf("decode beacon: %w", err)
	}
	return nil
}

// note adds a changed record, nil for one that was deleted.
func (b *block) note(key chain.Key, value []byte) error {
	c := change{key: key}
	if !b.scan || b.again {
		if err := b.formerly(&c); err != nil {
			return err
		}
	}
	switch {
	case value != nil:
		c.row = &Record{Key: key, Value: value, Changed: b.u.Height}
		c.is = mirrored(key.Table)
		if err := c.row.Decode(c.is); err != nil {
			return err
		}
		if c.was != nil {
			c.row.Ended, c.row.Reason = c.old.Ended, c.old.Reason
		}
		if b.scan { // when it changed cannot be told, unless it did not
			c.row.Changed = 0
			if c.was != nil && bytes.Equal(c.old.Value, value) {
				c.row.Changed = c.old.Changed
			}
		}
	case c.was != nil && remembered(key.Table):
		row := *c.old
		row.Gone = b.u.Height
		c.row = &row
	}
	b.at[key] = len(b.changes)
	b.changes = append(b.changes, c)
	return nil
}

// formerly reads the row of a record before the block.
func (b *block) formerly(c *change) error {
	if b.isNew(c.key) {
		return nil
	}
	row, err := b.g.record(c.key)
	if err != nil || row == nil {
		return err
	}
	if c.old, err = parseRecord(c.key, row); err != nil || c.old.Gone != 0 {
		return err
	}
	c.was = mirrored(c.key.Table)
	return c.old.Decode(c.was)
}

// isNew reports that there was no record of a key before the block for sure, since
// the state had not given out its number: most reads would be of such ones.
func (b *block) isNew(k chain.Key) bool {
	if len(b.changes) == 0 || b.changes[0].key.Table != chain.TableGlobal {
		return false
	}
	g := formerly[chain.Global](&b.changes[0]) // Global has the first key of all
	if g == nil || len(k.ID) != 8 {
		return false
	}
	id := binary.BigEndian.Uint64([]byte(k.ID))
	switch k.Table {
	case chain.TableOrder:
		return id >= g.NextOrder && g.NextOrder > 0
	case chain.TableDeal:
		return id >= g.NextDeal && g.NextDeal > 0
	case chain.TableChannel:
		return id >= g.NextChannel && g.NextChannel > 0
	}
	return false
}

// ends notes when lives end in the block, and why.
func (b *block) ends() {
	why := reasons(b.u)
	for i := range b.changes {
		c := &b.changes[i]
		if c.row == nil || c.row.Ended != 0 || b.scan {
			continue
		}
		if c.row.Gone != 0 || ended(c.is) && !ended(c.was) {
			c.row.Ended, c.row.Reason = b.u.Height, why[c.key]
		}
	}
}

// ended reports whether a record that is still in the state is over.
func ended(v chain.CBOR) bool {
	switch v := v.(type) {
	case *chain.Sector:
		return v.Ended()
	case *chain.Deal:
		return v.Ended()
	}
	return false
}

// reasons collects why lives ended in a block.
func reasons(u *consensus.Update) map[chain.Key]string {
	out := map[chain.Key]string{}
	for i := range u.Events {
		switch e := &u.Events[i]; e.Kind {
		case consensus.EventOrderCancelled:
			out[chain.OrderKey(e.Order)] = e.Reason
		case consensus.EventOrderFilled:
			out[chain.OrderKey(e.Order)] = OrderFilled.String()
		case consensus.EventChannelCollected:
			out[chain.ChannelKey(e.Channel)] = ChannelCollected.String()
		case consensus.EventDealEnded:
			out[chain.DealKey(e.Deal)] = e.Reason
		case consensus.EventSectorEnded:
			out[chain.SectorKey(e.Miner, e.Sector)] = e.Reason
		case consensus.EventProposalEnded:
			out[chain.ProposalKey(e.Index)] = e.Reason
		}
	}
	return out
}

// find returns a record as a block left it or, if that took it away, as it was
// before; nil if there is none.
func find[T any, P interface {
	*T
	chain.CBOR
}](b *block, key chain.Key) (P, error) {
	if i, ok := b.at[key]; ok {
		if v := now[T](&b.changes[i]); v != nil {
			return v, nil
		}
		return formerly[T](&b.changes[i]), nil
	}
	row, err := b.g.record(key)
	if err != nil || row == nil {
		return nil, err
	}
	r, err := parseRecord(key, row)
	if err != nil {
		return nil, err
	}
	v := P(new(T))
	return v, r.Decode(v)
}

// mirror writes the rows of the changed records.
func (b *block) mirror(batch *pebble.Batch) error {
	for i := range b.changes {
		if err := b.rewrite(batch, &b.changes[i]); err != nil {
			return err
		}
	}
	b.gone(batch)
	return nil
}

// rewrite writes the row of a record, and those in lists that it enters and leaves.
func (b *block) rewrite(batch *pebble.Batch, c *change) error {
	var before, after []row
	if c.old != nil {
		was := c.was
		if was == nil { // it had gone: another one takes its place
			was = mirrored(c.key.Table)
			if err := c.old.Decode(was); err != nil {
				return err
			}
		}
		before = rowsOf(c.old, was)
	}
	switch {
	case c.row == nil:
		remove(batch, recordKey(c.key))
	case c.row.Gone != 0:
		after = rowsOf(c.row, c.was)
	default:
		after = rowsOf(c.row, c.is)
	}
	if c.row != nil {
		c.raw = c.row.bytes()
		set(batch, recordKey(c.key), c.raw)
	}
	exchange(batch, before, after)
	return nil
}

// exchange removes the rows that are only in before and writes those that are
// only in after, or hold another state there.
func exchange(batch *pebble.Batch, before, after []row) {
	for _, r := range before {
		switch {
		case among(after, r.key) >= 0:
		case r.state != 0: // it may have been written more than once
			remove(batch, r.key)
		default:
			retract(batch, r.key)
		}
	}
	for _, r := range after {
		if i := among(before, r.key); i < 0 || before[i].state != r.state {
			set(batch, r.key, r.value())
		}
	}
}

// among is the place of a key among rows, -1 if it is not there.
func among(rows []row, key []byte) int {
	return slices.IndexFunc(rows, func(r row) bool { return bytes.Equal(r.key, key) })
}
