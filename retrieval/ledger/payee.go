package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/payment"
)

// SaveVoucher makes a payer's voucher durable, before the first chunk is sent
// for it. It takes the place of the lane's voucher only if its nonce is higher
// and its amount no less than all that is held; the same voucher again is
// fine. ErrStale and ErrConflict tell the other cases apart.
func (l *Ledger) SaveVoucher(payer chain.Address, sv *chain.SignedVoucher) error {
	v := &sv.Voucher
	if err := l.saveVoucher(payer, v, sv); err != nil {
		return fmt.Errorf("keep voucher %d on lane %d of channel %d: %w", v.Nonce, v.Lane, v.Channel, err)
	}
	return nil
}

func (l *Ledger) saveVoucher(payer chain.Address, v *chain.Voucher, sv *chain.SignedVoucher) error {
	value, err := encodeVoucher(payer, sv)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old, err := l.Holding(v.Channel, v.Lane)
	if err != nil {
		return err
	}
	if old != nil {
		switch same, err := sameVoucher(&old.Voucher.Voucher, v); {
		case err != nil || same:
			return err
		case v.Nonce == old.Voucher.Voucher.Nonce:
			return ErrConflict
		}
		claim := old.Claim()
		worth, err := claim.Worth()
		if err != nil {
			return err
		}
		if v.Nonce < old.Voucher.Voucher.Nonce || v.Amount.Less(worth) {
			return ErrStale
		}
	}
	b := l.db.NewBatch()
	defer b.Close()
	ticks := key(tableTick, v.Channel, v.Lane)
	err = errors.Join(b.Set(key(tableVoucher, v.Channel, v.Lane), value, nil), b.DeleteRange(ticks, after(ticks), nil))
	if err != nil {
		return err
	}
	return b.Commit(pebble.Sync)
}

// sameVoucher compares what two vouchers say.
func sameVoucher(a, b *chain.Voucher) (bool, error) {
	x, err := payment.Digest(a)
	if err != nil {
		return false, err
	}
	y, err := payment.Digest(b)
	return x == y, err
}

// Claim is what the holding lets its payee redeem.
func (h *Holding) Claim() payment.Claim {
	return payment.Claim{Voucher: h.Voucher.Voucher, Ticks: h.Ticks, Tick: h.Tick}
}

// SaveTick makes the newest tick of a lane's voucher durable. The caller has
// verified it. One session at a time saves ticks of a lane, in order.
func (l *Ledger) SaveTick(channel, lane, nonce, ticks uint64, tick [32]byte) error {
	value := append(encodeNumbers(ticks), tick[:]...)
	if err := l.db.Set(key(tableTick, channel, lane, nonce), value, pebble.Sync); err != nil {
		return fmt.Errorf("keep tick %d on lane %d of channel %d: %w", ticks, lane, channel, err)
	}
	return nil
}

// Holding returns the newest voucher and tick of a lane, nil if there is none.
func (l *Ledger) Holding(channel, lane uint64) (*Holding, error) {
	value, err := l.get(key(tableVoucher, channel, lane))
	if value == nil || err != nil {
		return nil, err
	}
	return l.holding(channel, lane, value)
}

func (l *Ledger) holding(channel, lane uint64, value []byte) (*Holding, error) {
	h, err := decodeHolding(value)
	if err != nil {
		return nil, fmt.Errorf("read voucher on lane %d of channel %d: %w", lane, channel, err)
	}
	saved, err := l.get(key(tableTick, channel, lane, h.Voucher.Voucher.Nonce))
	if err == nil && saved != nil {
		h.Ticks, h.Tick, err = decodeTick(saved)
	}
	if err != nil {
		return nil, fmt.Errorf("read tick on lane %d of channel %d: %w", lane, channel, err)
	}
	if ticks, tick := l.noted(channel, lane, h.Voucher.Voucher.Nonce); ticks > h.Ticks {
		h.Ticks, h.Tick = ticks, tick
	}
	return h, nil
}

// Holdings calls visit with the holding of every lane of every channel.
func (l *Ledger) Holdings(visit func(*Holding) error) error {
	return l.holdings([]byte{tableVoucher}, visit)
}

// HoldingsOf returns the holdings of one channel.
func (l *Ledger) HoldingsOf(channel uint64) ([]Holding, error) {
	var out []Holding
	err := l.holdings(key(tableVoucher, channel), func(h *Holding) error {
		out = append(out, *h)
		return nil
	})
	return out, err
}

func (l *Ledger) holdings(prefix []byte, visit func(*Holding) error) error {
	return l.scan(prefix, func(k, value []byte) error {
		h, err := l.holding(number(k, 0), number(k, 1), value)
		if err != nil {
			return err
		}
		return visit(h)
	})
}

// Debt returns what the channel's sessions left unpaid.
func (l *Ledger) Debt(channel uint64) (Debt, error) {
	value, err := l.get(key(tableDebt, channel))
	if value == nil || err != nil {
		return Debt{}, err
	}
	b, err := body(value, 16)
	if err != nil {
		return Debt{}, fmt.Errorf("read debt of channel %d: %w", channel, err)
	}
	return Debt{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}, nil
}

// ChangeDebt applies change to a channel's debt and makes the result durable.
func (l *Ledger) ChangeDebt(channel uint64, change func(*Debt)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	d, err := l.Debt(channel)
	if err != nil {
		return err
	}
	change(&d)
	if err := l.db.Set(key(tableDebt, channel), encodeNumbers(d.Unpaid, d.Paid), pebble.Sync); err != nil {
		return fmt.Errorf("note debt of channel %d: %w", channel, err)
	}
	return nil
}
