package index

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// Trade is a match of a bid and an ask.
type Trade struct {
	Height   chain.Height
	Time     uint64 // Unix seconds of the block
	Deal     uint64
	Bid, Ask uint64 // orders; Bid may be the chain's own
	Miner    chain.MinerID
	Client   []byte       `cborgen:"maxlen=64"` // address bytes
	Price    chain.Amount // attoPDR per GiB per block
	Size     uint64       // padded bytes
	Duration uint64       // blocks
	Total    chain.Amount // attoPDR
	Self     bool         // both sides are one party's: no figure of the market counts it
	Renewal  bool         // the chain's bid for another term of a deal
	Repair   bool         // the chain's bid for a lost copy
}

// Candle sums up the trades of some time. Self-trades do not count.
type Candle struct {
	Open, High, Low, Close chain.Amount // attoPDR per GiB per block
	Trades                 uint64
	Size                   uint64       // padded bytes
	Total                  chain.Amount // attoPDR
	Work                   chain.Amount // sum of size x duration, a number of byte-blocks
}

// Add takes in what came later.
func (c *Candle) Add(d *Candle) error {
	if c.Trades == 0 {
		*c = *d
		return nil
	}
	if c.High.Less(d.High) {
		c.High = d.High
	}
	c.Low, c.Close = c.Low.Min(d.Low), d.Close
	c.Trades += d.Trades
	if c.Size += d.Size; c.Size < d.Size {
		c.Size = math.MaxUint64
	}
	var err error
	if c.Total, err = c.Total.Add(d.Total); err != nil {
		return fmt.Errorf("sum of trades: %w", err)
	}
	if c.Work, err = c.Work.Add(d.Work); err != nil {
		return fmt.Errorf("sum of trades: %w", err)
	}
	return nil
}

// gibLog is log2 of what a price is for, in padded bytes.
const gibLog = 30

// Mean is the mean price, weighted by size and duration, in attoPDR per GiB per
// block: Total x 1 GiB / Work, rounded down. No trades have no price: zero.
func (c *Candle) Mean() chain.Amount {
	if c.Work.IsZero() {
		return chain.Amount{}
	}
	v := c.Total.Big()
	v.Div(v.Lsh(v, gibLog), c.Work.Big())
	mean, err := chain.AmountFromBig(v)
	if err != nil {
		return chain.MaxAmount() // no price is above the sum of all money
	}
	return mean
}

// The resolutions of candles that are kept, in seconds.
const (
	Minute uint64 = 60
	Hour   uint64 = 3600
	Day    uint64 = 86400
)

// minutesKept is for how long candles of a minute are kept, in seconds.
const minutesKept = 31 * Day

// candleKey is of the candle of a resolution that begins at a time.
func candleKey(resolution, start uint64) []byte {
	return number(binary.BigEndian.AppendUint32([]byte{'k'}, uint32(resolution)), start)
}

// Class is a class of trades: of all sizes from 2^SizeLog up to below twice
// that, and durations likewise.
type Class struct {
	SizeLog     uint8 // log2 of padded bytes
	DurationLog uint8 // log2 of blocks
}

func classOf(t *Trade) Class {
	return Class{uint8(bits.Len64(max(t.Size, 1)) - 1), uint8(bits.Len64(max(t.Duration, 1)) - 1)}
}

// classKey is of the trades of a class on the day that begins at a time.
func classKey(day uint64, c Class) []byte {
	return append(number([]byte{'v'}, day), c.SizeLog, c.DurationLog)
}

// market writes the trades of the block and what they change.
func (b *block) market(batch *pebble.Batch) error {
	trades, err := b.trades()
	if err != nil || len(trades) == 0 {
		return err
	}
	err = b.writeChunks(batch, tradeTable, len(trades), func(i int) chain.CBOR { return &trades[i] })
	if err != nil {
		return err
	}
	rows := map[string]*Candle{}
	for i := range trades {
		t := &trades[i]
		if t.Self {
			continue
		}
		one, err := candleOf(t)
		if err != nil {
			return err
		}
		for _, key := range [][]byte{
			candleKey(Minute, begin(Minute, t.Time)), candleKey(Hour, begin(Hour, t.Time)), candleKey(Day, begin(Day, t.Time)),
			classKey(begin(Day, t.Time), classOf(t)),
		} {
			if err := b.g.grow(rows, key, one); err != nil {
				return err
			}
		}
	}
	for key, c := range rows {
		if err := put(batch, []byte(key), c); err != nil {
			return err
		}
	}
	return b.forgetMinutes(batch)
}

// forgetMinutes removes the candles of minutes that are too old, once an hour
// of trades: each removal of a range costs readers something until it is compacted.
func (b *block) forgetMinutes(batch *pebble.Batch) error {
	if b.u.Time < minutesKept {
		return nil
	}
	hour := begin(Hour, b.u.Time)
	if done, err := b.g.noun(candleKey(Hour, hour), new(Candle)); done || err != nil {
		return err // an earlier block of this hour had trades
	}
	return batch.DeleteRange(candleKey(Minute, 0), candleKey(Minute, hour-minutesKept), nil)
}

// grow adds a trade to a row that the index has, or that it begins.
func (g *generation) grow(rows map[string]*Candle, key []byte, one *Candle) error {
	c := rows[string(key)]
	if c == nil {
		c = new(Candle)
		if _, err := g.noun(key, c); err != nil {
			return err
		}
		rows[string(key)] = c
	}
	return c.Add(one)
}

func candleOf(t *Trade) (*Candle, error) {
	work, err := chain.Atto(t.Size).Mul(t.Duration)
	if err != nil {
		return nil, fmt.Errorf("deal %d: %w", t.Deal, err)
	}
	return &Candle{Open: t.Price, High: t.Price, Low: t.Price, Close: t.Price, Trades: 1, Size: t.Size, Total: t.Total, Work: work}, nil
}

// trades lists the matches of the block as they happened. One that was undone
// at once, since its miner has a copy already, is none.
func (b *block) trades() ([]Trade, error) {
	var out []Trade
	for i := range b.u.Events {
		e := &b.u.Events[i]
		if e.Kind != consensus.EventDealMatched {
			continue
		}
		at, ok := b.at[chain.DealKey(e.Deal)]
		if !ok {
			continue
		}
		d := now[chain.Deal](&b.changes[at])
		if d == nil || d.State == chain.DealVoid {
			continue
		}
		t := Trade{Height: b.u.Height, Time: b.u.Time, Deal: d.ID, Bid: e.Order, Ask: d.Ask, Miner: d.Miner, Client: d.Client.Bytes(),
			Price: d.Price, Size: d.PaddedSize, Duration: d.Duration, Total: d.Total, Self: d.SelfTrade}
		if d.Succeeds != nil {
			t.Renewal, t.Repair = d.Succeeds.Renewal, !d.Succeeds.Renewal
		}
		out = append(out, t)
	}
	return out, nil
}
