package explorer

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"sync"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer/export"
	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/chain/orderbook"
)

// Level is all that stands at one price of one side.
type Level struct {
	Price  chain.Amount `json:"price"` // per GiB per block
	Size   uint64       `json:"size"`  // padded bytes
	Orders uint64       `json:"orders"`
}

// Book is the order book by price.
type Book struct {
	Bids []Level `json:"bids"` // the highest first
	Asks []Level `json:"asks"` // the lowest first
	AsOf
}

func levels(in []orderbook.Level) []Level {
	out := make([]Level, len(in))
	for i, l := range in {
		out[i] = Level(l)
	}
	return out
}

// maxDepth is the most price levels of a side that one answer shows.
const maxDepth = 500

func (a *API) marketRoutes() []route {
	return []route{
		{path: "/v1/market/book", query: []string{"depth"}, handle: a.book, indexed: true},
		{path: "/v1/market/asks", query: []string{"pieceSize", "duration", "collateral", "maxPrice", "region", "limit", "cursor", "format"}, handle: a.asks, indexed: true, cost: 2},
		{path: "/v1/market/bids", query: []string{"price", "state", "limit", "cursor", "format"}, handle: a.bids, indexed: true, cost: 2},
		{path: "/v1/market/trades", query: ordered(), handle: a.trades, indexed: true},
		{path: "/v1/market/ticker", handle: a.ticker, indexed: true, cost: 2},
		{path: "/v1/market/candles", query: spanned(), handle: a.candles, indexed: true, cost: 2},
		{path: "/v1/market/prices", query: []string{"days", "format"}, handle: a.prices, indexed: true, cost: 5},
	}
}

func (a *API) book(q *query) (any, error) {
	depth, err := q.most("depth", usualPage, maxDepth)
	if err == nil {
		err = q.ready()
	}
	if err != nil {
		return nil, err
	}
	bids, asks, err := q.depth(depth)
	if err != nil {
		return nil, err
	}
	return &Book{levels(bids), levels(asks), q.asOf()}, nil
}

// depth is the best n levels of each side: from the index, or from the book
// itself, order by order, while there is no index.
func (q *query) depth(n int) (bids, asks []orderbook.Level, err error) {
	if q.snap == nil {
		b := q.view.Book()
		return b.BidLevels(n), b.AskLevels(n), nil
	}
	if bids, err = q.snap.Depth(true, n); err != nil {
		return nil, nil, err
	}
	asks, err = q.snap.Depth(false, n)
	return bids, asks, err
}

// Trade is a match as traders see it.
type Trade struct {
	Deal      uint64       `json:"deal"`
	Matched   chain.Height `json:"matched"`
	Time      string       `json:"time"`     // of that block, RFC 3339
	Price     chain.Amount `json:"price"`    // per GiB per block
	Size      uint64       `json:"size"`     // padded bytes
	Duration  uint64       `json:"duration"` // blocks
	Total     chain.Amount `json:"total"`
	Bid       uint64       `json:"bid"`
	Ask       uint64       `json:"ask"`
	Miner     string       `json:"miner"`
	Client    string       `json:"client"`
	SelfTrade bool         `json:"selfTrade"`       // both sides are one party's: in no other figure of the market
	Cause     string       `json:"cause,omitempty"` // of a bid by the chain itself: renewal, repair
}

func (a *API) trades(q *query) (any, error) {
	return history(q, 12, (*index.Snapshot).Trades, func(t *index.Trade) (chain.Height, *Trade) { return t.Height, q.tradeOf(t) })
}

func (n names) tradeOf(t *index.Trade) *Trade {
	out := &Trade{Deal: t.Deal, Matched: t.Height, Time: clock(t.Time), Price: t.Price, Size: t.Size, Duration: t.Duration,
		Total: t.Total, Bid: t.Bid, Ask: t.Ask, Miner: n.minerText(t.Miner), Client: n.addressBytes(t.Client), SelfTrade: t.Self}
	switch {
	case t.Renewal:
		out.Cause = "renewal"
	case t.Repair:
		out.Cause = "repair"
	}
	return out
}

// symbol is what the one book of the chain trades: storage of a GiB for a
// block against PDR. All prices are attoPDR.
const symbol = "GIBBLOCK/PDR"

// Ticker sums up the market of the last 24 hours. What there is none of is absent.
type Ticker struct {
	Symbol    string        `json:"symbol"`
	Timestamp uint64        `json:"timestamp"`      // of the newest block, Unix milliseconds
	Last      *chain.Amount `json:"last,omitempty"` // price of the newest trade, however old
	Bid       *chain.Amount `json:"bid,omitempty"`  // best of the book
	Ask       *chain.Amount `json:"ask,omitempty"`
	*Figures
	AsOf
}

// Figures sum up trades. Prices are per GiB per block.
type Figures struct {
	Open   chain.Amount `json:"open"`
	High   chain.Amount `json:"high"`
	Low    chain.Amount `json:"low"`
	Close  chain.Amount `json:"close"`
	VWAP   chain.Amount `json:"vwap"` // weighted by size and duration
	Trades uint64       `json:"trades"`
	Volume uint64       `json:"volume"` // padded bytes
	Total  chain.Amount `json:"total"`
}

func figuresOf(c *index.Candle) *Figures {
	return &Figures{c.Open, c.High, c.Low, c.Close, c.Mean(), c.Trades, c.Size, c.Total}
}

// traded sums up the trades from a time through another, by the candles of a resolution.
func traded(s *index.Snapshot, resolution, from, through uint64) (*index.Candle, error) {
	sum := new(index.Candle)
	return sum, s.Candles(resolution, from, through+1, func(_ uint64, c *index.Candle) error { return sum.Add(c) })
}

func (a *API) ticker(q *query) (any, error) {
	if err := q.ready(); err != nil {
		return nil, err
	}
	now := q.global.Time
	t := &Ticker{Symbol: symbol, Timestamp: now * 1000, AsOf: q.asOf()}
	s, err := q.indexed()
	if err != nil {
		return nil, err
	}
	day, err := traded(s, index.Minute, before(now, index.Day), now)
	if err != nil {
		return nil, err
	}
	if day.Trades > 0 {
		t.Figures = figuresOf(day)
	}
	last, err := s.LastCandle()
	if err != nil {
		return nil, err
	}
	if last != nil {
		t.Last = &last.Close
	}
	bids, asks, err := q.depth(1)
	if err != nil {
		return nil, err
	}
	if len(bids) > 0 {
		t.Bid = &bids[0].Price
	}
	if len(asks) > 0 {
		t.Ask = &asks[0].Price
	}
	return t, nil
}

// Candle sums up the trades of an interval.
type Candle struct {
	Start     string `json:"start"`     // RFC 3339
	Timestamp uint64 `json:"timestamp"` // the same in Unix milliseconds
	*Figures
}

// Candles are the intervals with trades, as time goes.
type Candles struct {
	Symbol   string   `json:"symbol"`
	Interval string   `json:"interval"`
	Items    []Candle `json:"items"`
	AsOf
}

func (a *API) candles(q *query) (any, error) {
	if err := q.ready(); err != nil {
		return nil, err
	}
	form, err := q.bulk()
	if err != nil {
		return nil, err
	}
	of, from, to, err := q.span(form != nil)
	if err != nil {
		return nil, err
	}
	snap, err := q.indexed()
	if err != nil {
		return nil, err
	}
	each := func(add func(*Candle) error) error { return eachCandle(snap, of, from, to, add) }
	if form != nil {
		return wholeSpan(q, form, export.ColumnsOf(reflect.TypeFor[Candle]()), each)
	}
	out := &Candles{Symbol: symbol, Interval: of.name, Items: []Candle{}, AsOf: q.asOf()}
	return out, each(func(c *Candle) error {
		out.Items = append(out.Items, *c)
		return nil
	})
}

// eachCandle joins the candles that are kept to those of an interval.
func eachCandle(s *index.Snapshot, of interval, from, to uint64, each func(*Candle) error) error {
	var sum index.Candle
	begun := uint64(0)
	flush := func() error {
		if sum.Trades == 0 {
			return nil
		}
		out := &Candle{clock(begun), begun * 1000, figuresOf(&sum)}
		sum = index.Candle{}
		return each(out)
	}
	err := s.Candles(of.of, from, to, func(start uint64, c *index.Candle) error {
		if start := of.start(start); start != begun {
			if err := flush(); err != nil {
				return err
			}
			begun = start
		}
		return sum.Add(c)
	})
	if err != nil {
		return err
	}
	return flush()
}

// ClassPrice is what deals of one class of size and duration were made at.
type ClassPrice struct {
	Size     uint64 `json:"size"`     // padded bytes: from here up to below twice that
	Duration uint64 `json:"duration"` // blocks: likewise
	*Figures
}

// ClassPrices are the prices of all classes that were traded.
type ClassPrices struct {
	Days  int           `json:"days"`
	Items []*ClassPrice `json:"items"` // by size, then by duration
	AsOf
}

// maxDays is the most days that prices of classes are summed up over.
const maxDays = 90

func (a *API) prices(q *query) (any, error) {
	if err := q.ready(); err != nil {
		return nil, err
	}
	days, err := q.most("days", 30, maxDays)
	if err != nil {
		return nil, err
	}
	now := q.global.Time
	today := now - now%index.Day
	snap, err := q.indexed()
	if err != nil {
		return nil, err
	}
	over, err := a.over.sum(snap, today-min(today, uint64(days-1)*index.Day), today)
	if err != nil {
		return nil, err
	}
	sums := maps.Clone(over)
	if err := sumClasses(snap, today, now+1, sums); err != nil {
		return nil, err
	}
	out := &ClassPrices{Days: days, Items: []*ClassPrice{}, AsOf: q.asOf()}
	for of, c := range sums {
		out.Items = append(out.Items, &ClassPrice{1 << of.SizeLog, 1 << of.DurationLog, figuresOf(&c)})
	}
	slices.SortFunc(out.Items, func(a, b *ClassPrice) int {
		return cmp.Or(cmp.Compare(a.Size, b.Size), cmp.Compare(a.Duration, b.Duration))
	})
	return entire(q, out, out.Items)
}

// daysOver remembers the sums of days that are over: no block adds to them.
type daysOver struct {
	mu    sync.Mutex
	first chain.Height // of the index that they were read from
	today uint64       // the day that is not over
	since map[uint64]map[index.Class]index.Candle
}

// sum is what was traded from a day on and before today. The caller does not
// change it.
func (d *daysOver) sum(s *index.Snapshot, from, today uint64) (map[index.Class]index.Candle, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.since == nil || d.first != s.First || d.today != today {
		d.first, d.today, d.since = s.First, today, map[uint64]map[index.Class]index.Candle{}
	}
	if d.since[from] == nil {
		sums := map[index.Class]index.Candle{}
		if err := sumClasses(s, from, today, sums); err != nil {
			return nil, err
		}
		d.since[from] = sums
	}
	return d.since[from], nil
}

func sumClasses(s *index.Snapshot, from, to uint64, sums map[index.Class]index.Candle) error {
	return s.Classes(from, to, func(_ uint64, of index.Class, c *index.Candle) error {
		sum := sums[of]
		err := sum.Add(c)
		sums[of] = sum
		return err
	})
}
