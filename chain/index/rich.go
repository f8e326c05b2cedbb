package index

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
)

// Balance is the free money of an account or a miner before and after a block
// that changed it.
type Balance struct {
	Height chain.Height
	Time   uint64 // Unix seconds of the block
	Before chain.Amount
	After  chain.Amount
}

// richKey is of an account in the list by balance, under its step.
func richKey(step uint32, address []byte) []byte {
	b := make([]byte, 0, richHead+len(address))
	b = append(b, 'B', byte(step>>16), byte(step>>8), byte(step))
	return append(b, address...)
}

// richHead is what stands before the address in the key of a row by balance.
const richHead = 1 + 3

// stepOf is the step of a balance: what a fee takes of it leaves an account where it
// stands, so most blocks write no row here. A step is 2^-11 of a balance at most, and
// 2^44 attoPDR of the smallest.
func stepOf(balance chain.Amount) uint32 { return uint32(balance.Coarse() >> 44) }

// account follows an account's balance.
func (f *figures) account(batch *pebble.Batch, c *change) error {
	var was, is chain.Amount
	if a := formerly[chain.Account](c); a != nil {
		was = a.Balance
	}
	if a := now[chain.Account](c); a != nil {
		is = a.Balance
	}
	if was == is {
		return nil
	}
	address := []byte(c.key.ID)
	if old, step := stepOf(was), stepOf(is); old != step || was.IsZero() || is.IsZero() {
		if !was.IsZero() {
			remove(batch, richKey(old, address))
		}
		if !is.IsZero() {
			set(batch, richKey(step, address), nil)
		}
	}
	return f.balance(batch, address, was, is)
}

// balance notes a balance that the block changed.
func (f *figures) balance(batch *pebble.Batch, address []byte, was, is chain.Amount) error {
	if was == is || f.b.scan {
		return nil
	}
	raw, err := chain.Encode(&Balance{f.b.u.Height, f.b.u.Time, was, is})
	if err != nil {
		return fmt.Errorf("encode balance: %w", err)
	}
	f.b.mention(ofAddress(address)).balance = raw
	return nil
}

// forgetAccounts removes what figures know of accounts, before a scan makes it anew.
func (g *generation) forgetAccounts(batch *pebble.Batch) error {
	var n Now
	if ok, err := g.noun(nowKey, &n); err != nil || !ok {
		return err
	}
	n.Point.Levels.Accounts = 0
	if err := put(batch, nowKey, &n); err != nil {
		return err
	}
	return batch.DeleteRange([]byte{'B'}, []byte{'B' + 1}, nil)
}

// miner follows a miner's balance and its place among the miners.
func (f *figures) miner(batch *pebble.Batch, c *change) error {
	was, is := formerly[chain.Miner](c), now[chain.Miner](c)
	if is == nil { // no miner ever goes
		return nil
	}
	var before chain.Amount
	if was != nil {
		before = was.Balance
	}
	if was == nil || was.Power != is.Power {
		if was != nil {
			remove(batch, rankKey(was))
		}
		set(batch, rankKey(is), nil)
		f.now.Ranked = f.b.u.Height
	}
	return f.balance(batch, minerBytes(is.ID), before, is.Balance)
}

// rankKey is of a miner in the list by power: of equal power the lower ID is first.
func rankKey(m *chain.Miner) []byte {
	return number(number([]byte{'N'}, math.MaxUint64-m.Power), m.ID)
}

// Balances lists the balances of an account or a miner, the newest first.
func (s *Snapshot) Balances(address []byte, p Page, each func(*Balance) (bool, error)) ([]byte, error) {
	return s.list(ofAddress(address).prefix, 8, p, func(_, row []byte) (bool, error) {
		m, err := parseMention(row)
		if err != nil || len(m.balance) == 0 {
			return false, err
		}
		b := new(Balance)
		if err := parse(m.balance, b); err != nil {
			return false, fmt.Errorf("decode balance: %w", err)
		}
		return each(b)
	})
}

// Ranking lists the miners by power, the most powerful first; upward it is the
// other way round.
func (s *Snapshot) Ranking(p Page, each func(id chain.MinerID, power uint64) (bool, error)) ([]byte, error) {
	p.Upward = !p.Upward // rows stand by what is missing to the most
	return s.list([]byte{'N'}, 16, p, func(row, _ []byte) (bool, error) {
		return each(binary.BigEndian.Uint64(row[8:]), math.MaxUint64-binary.BigEndian.Uint64(row))
	})
}
