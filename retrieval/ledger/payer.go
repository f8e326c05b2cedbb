package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
)

// ErrStale is wrapped when a voucher would take the place of one that is newer
// or worth more.
var ErrStale = errors.New("a newer voucher of the lane is known")

// ErrConflict is wrapped when two vouchers of one lane have the same nonce and
// different content.
var ErrConflict = errors.New("another voucher of the lane has this nonce")

// SavePromise makes seed and voucher durable. The voucher must be the first of
// its lane, or have the next higher nonce and begin where the one before ended.
func (l *Ledger) SavePromise(p *Promise) error {
	v := &p.Voucher.Voucher
	if err := l.savePromise(v, p); err != nil {
		return fmt.Errorf("keep promise %d on lane %d of channel %d: %w", v.Nonce, v.Lane, v.Channel, err)
	}
	return nil
}

func (l *Ledger) savePromise(v *chain.Voucher, p *Promise) error {
	value, err := encodePromise(p)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old, err := l.Promise(v.Channel, v.Lane)
	if err != nil {
		return err
	}
	if old != nil {
		if v.Nonce <= old.Voucher.Voucher.Nonce || v.Amount.Less(old.Voucher.Voucher.Amount) {
			return ErrStale
		}
	}
	b := l.db.NewBatch()
	defer b.Close()
	revealed := key(tableRevealed, v.Channel, v.Lane)
	err = errors.Join(
		b.Set(key(tablePromise, v.Channel, v.Lane), value, nil),
		b.DeleteRange(revealed, after(revealed), nil),
		b.Set(append(revealed, key(0, v.Nonce)[1:]...), encodeRevealed(p.Revealed, false), nil))
	if err != nil {
		return err
	}
	return b.Commit(pebble.Sync)
}

// SaveRevealed notes that ticks up to this one of the lane's voucher were
// revealed, without waiting for the disk, and that there may soon be more.
func (l *Ledger) SaveRevealed(channel, lane, nonce, ticks uint64) error {
	return l.saveRevealed(channel, lane, nonce, ticks, false, pebble.NoSync)
}

// Settle notes that exactly these ticks of the lane's voucher were revealed and
// that for now there will be no more, without waiting for the disk.
func (l *Ledger) Settle(channel, lane, nonce, ticks uint64) error {
	return l.saveRevealed(channel, lane, nonce, ticks, true, pebble.NoSync)
}

// Unsettle makes it durable that there may be more from now on, before the first
// of them is revealed: a crash must not leave a count that passes for exact.
func (l *Ledger) Unsettle(channel, lane, nonce, ticks uint64) error {
	return l.saveRevealed(channel, lane, nonce, ticks, false, pebble.Sync)
}

func (l *Ledger) saveRevealed(channel, lane, nonce, ticks uint64, settled bool, o *pebble.WriteOptions) error {
	if err := l.db.Set(key(tableRevealed, channel, lane, nonce), encodeRevealed(ticks, settled), o); err != nil {
		return fmt.Errorf("note tick %d on lane %d of channel %d: %w", ticks, lane, channel, err)
	}
	return nil
}

// Promise returns the newest promise on a lane, nil if there is none.
func (l *Ledger) Promise(channel, lane uint64) (*Promise, error) {
	value, err := l.get(key(tablePromise, channel, lane))
	if value == nil || err != nil {
		return nil, err
	}
	return l.promise(channel, lane, value)
}

func (l *Ledger) promise(channel, lane uint64, value []byte) (*Promise, error) {
	p, err := decodePromise(value)
	if err != nil {
		return nil, fmt.Errorf("read promise on lane %d of channel %d: %w", lane, channel, err)
	}
	note, err := l.get(key(tableRevealed, channel, lane, p.Voucher.Voucher.Nonce))
	if note == nil || err != nil {
		return p, err
	}
	b, err := body(note, 9)
	if err != nil {
		return nil, fmt.Errorf("read promise on lane %d of channel %d: %w", lane, channel, err)
	}
	p.Revealed, p.Settled = binary.BigEndian.Uint64(b), b[8] != 0
	return p, nil
}

// Promises returns the newest promise of every lane of a channel.
func (l *Ledger) Promises(channel uint64) ([]Promise, error) {
	var out []Promise
	err := l.scan(key(tablePromise, channel), func(k, value []byte) error {
		p, err := l.promise(channel, number(k, 1), value)
		if err == nil {
			out = append(out, *p)
		}
		return err
	})
	return out, err
}

// Promised returns the channels on which something was promised, by ID.
func (l *Ledger) Promised() (ids []uint64, err error) {
	err = l.scan([]byte{tablePromise}, func(k, _ []byte) error {
		if id := number(k, 0); len(ids) == 0 || ids[len(ids)-1] != id {
			ids = append(ids, id)
		}
		return nil
	})
	return ids, err
}

// idleBlocks is how long a channel without any voucher stays open.
const idleBlocks = 2_000

// Idle reports whether a channel that is paid from by this ledger has served: every
// voucher that was promised on it has expired, so that nothing can be claimed from it
// any more, or none was promised for long.
func (l *Ledger) Idle(c *chain.Channel, now chain.Height) (bool, error) {
	promises, err := l.Promises(c.ID)
	last := c.Opened + idleBlocks
	for i := range promises {
		last = max(last, promises[i].Voucher.Voucher.ExpiresAt)
	}
	return err == nil && now > last, err
}
