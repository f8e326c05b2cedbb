package explorer

import (
	"math"
	"math/big"
	"reflect"
	"slices"
	"strings"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer/export"
	"github.com/perdure/perdure/chain/index"
)

// fromIndex answers from the index alone, and as of its height.
func (q *query) fromIndex(answer func(s *index.Snapshot, at AsOf) (any, error)) (any, error) {
	s, err := q.indexed()
	if err != nil {
		return nil, err
	}
	g, err := s.Global()
	if err != nil {
		return nil, err
	}
	return answer(s, q.at(s.Height, g.Time))
}

// share is a part of a whole, to six decimals.
func share(part, whole *big.Int) float64 {
	if whole.Sign() == 0 {
		return 0
	}
	f, _ := new(big.Rat).SetFrac(part, whole).Float64()
	return math.Round(f*1e6) / 1e6
}

func shareOf(part, whole uint64) float64 {
	return share(new(big.Int).SetUint64(part), new(big.Int).SetUint64(whole))
}

// The units of series.
const (
	unitCount = "count"
	unitBytes = "bytes"
	unitAtto  = "attoPDR"
)

// series is a figure of the network over time.
type series struct {
	name, unit string
	flow       bool // what happened in an interval; else what there was at its end
	of         func(p *index.Point) any
}

// allSeries are those that points hold, in the order of answers.
var allSeries = []series{
	{"power", unitBytes, false, func(p *index.Point) any { return p.Levels.Power }},
	{"stored", unitBytes, false, func(p *index.Point) any { return p.Levels.Stored }},
	{"served", unitBytes, true, func(p *index.Point) any { return p.Flows.Served }},
	{"dealsActive", unitCount, false, func(p *index.Point) any { return p.Levels.ActiveDeals }},
	{"dealsOpen", unitCount, false, func(p *index.Point) any { return p.Levels.Matched + p.Levels.Accepted }},
	{"dealsMatched", unitCount, true, func(p *index.Point) any { return p.Flows.Matched }},
	{"dealsActivated", unitCount, true, func(p *index.Point) any { return p.Flows.Activated }},
	{"dealsEnded", unitCount, true, func(p *index.Point) any { return p.Flows.Ended }},
	{"dealPay", unitAtto, true, func(p *index.Point) any { return p.Flows.DealPay }},
	{"proofs", unitCount, true, func(p *index.Point) any { return p.Flows.Proofs }},
	{"faults", unitCount, true, func(p *index.Point) any { return p.Flows.Faults }},
	{"recoveries", unitCount, true, func(p *index.Point) any { return p.Flows.Recovered }},
	{"fines", unitAtto, true, func(p *index.Point) any { return p.Flows.Fines }},
	{"sectorsPreCommitted", unitCount, false, func(p *index.Point) any { return p.Levels.PreCommitted }},
	{"sectorsActive", unitCount, false, func(p *index.Point) any { return p.Levels.Active }},
	{"sectorsFaulty", unitCount, false, func(p *index.Point) any { return p.Levels.Faulty }},
	{"blocks", unitCount, true, func(p *index.Point) any { return p.Flows.Blocks }},
	{"messages", unitCount, true, func(p *index.Point) any { return p.Flows.Messages }},
	{"failed", unitCount, true, func(p *index.Point) any { return p.Flows.Failed }},
	{"fees", unitAtto, true, func(p *index.Point) any { return p.Flows.Fees }},
	{"feesBurned", unitAtto, true, func(p *index.Point) any { return less(p.Flows.Fees, p.Flows.Tips) }},
	{"tips", unitAtto, true, func(p *index.Point) any { return p.Flows.Tips }},
	{"baseFee", unitAtto, false, func(p *index.Point) any { return p.Levels.BaseFee }},
	{"blockRewards", unitAtto, true, func(p *index.Point) any { return p.Flows.BlockRewards }},
	{"powerRewards", unitAtto, true, func(p *index.Point) any { return p.Flows.PowerRewards }},
	{"minted", unitAtto, false, func(p *index.Point) any { return p.Levels.Supply.Minted }},
	{"burned", unitAtto, false, func(p *index.Point) any { return p.Levels.Supply.Burned }},
	{"locked", unitAtto, false, func(p *index.Point) any { return p.Levels.Supply.Locked }},
	{"circulating", unitAtto, false, func(p *index.Point) any { return p.Levels.Supply.Accounts }},
	{"unissued", unitAtto, false, func(p *index.Point) any { return p.Levels.Unissued }},
	{"accounts", unitCount, false, func(p *index.Point) any { return p.Levels.Accounts }},
	{"miners", unitCount, false, func(p *index.Point) any { return p.Levels.Miners }},
	{"orders", unitCount, false, func(p *index.Point) any { return p.Levels.Orders }},
	{"channels", unitCount, false, func(p *index.Point) any { return p.Levels.Channels }},
}

// The series that follow from trades. Intervals without a trade have none of them.
var tradeSeries = []series{{"price", unitAtto, false, nil}, {"trades", unitCount, true, nil}, {"tradedBytes", unitBytes, true, nil}}

// SeriesInfo says what a series is.
type SeriesInfo struct {
	Name string `json:"name"`
	Unit string `json:"unit"` // count, bytes or attoPDR
	Kind string `json:"kind"` // flow: what happened in an interval; level: what there was at its end
}

// SeriesItem is an interval.
type SeriesItem struct {
	Start     string         `json:"start"`     // RFC 3339
	Timestamp uint64         `json:"timestamp"` // the same in Unix milliseconds
	Height    chain.Height   `json:"height"`    // of its last block
	Final     bool           `json:"final"`     // no more blocks come into it
	Values    map[string]any `json:"values"`    // by name: numbers, or decimal strings of attoPDR
}

// SeriesAnswer has figures of the network, interval by interval as time goes.
type SeriesAnswer struct {
	Interval string       `json:"interval"`
	Series   []SeriesInfo `json:"series"`
	Items    []SeriesItem `json:"items"` // the intervals that have blocks
	AsOf
}

// seriesNames reads which series are asked for: all unless some are named.
func (q *query) seriesNames() (points, trades []series, err error) {
	if !q.given("name") {
		return allSeries, tradeSeries, nil
	}
	names := strings.Split(q.values.Get("name"), ",")
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			continue
		}
		named := func(s series) bool { return s.name == name }
		if i := slices.IndexFunc(allSeries, named); i >= 0 {
			points = append(points, allSeries[i])
		} else if i := slices.IndexFunc(tradeSeries, named); i >= 0 {
			trades = append(trades, tradeSeries[i])
		} else {
			return nil, nil, badRequest("name %q: no such series; without a name all are listed", clip(name))
		}
	}
	return points, trades, nil
}

// series answers with figures of the network over time.
func (a *API) series(q *query) (any, error) {
	points, trades, err := q.seriesNames()
	if err == nil {
		err = q.ready()
	}
	if err != nil {
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
	return q.fromIndex(func(s *index.Snapshot, at AsOf) (any, error) {
		present, err := s.Now()
		if err != nil {
			return nil, err
		}
		each := func(add func(*SeriesItem) error) error {
			return eachItem(s, of, from, to, points, trades, func(start uint64, item *SeriesItem) error {
				item.Final = start+of.seconds <= present.Time
				return add(item)
			})
		}
		if form != nil {
			return wholeSpan(q, form, seriesColumns(points, trades), each)
		}
		out := &SeriesAnswer{Interval: of.name, Series: infos(points, trades), Items: []SeriesItem{}, AsOf: at}
		err = each(func(item *SeriesItem) error {
			out.Items = append(out.Items, *item)
			return nil
		})
		if n := len(out.Items); n > 0 && q.given("from") && q.given("to") && out.Items[n-1].Final && to <= present.Time {
			q.settle(out.Items[n-1].Height, to)
			out.AsOf = q.asOf()
		}
		return out, err
	})
}

// seriesColumns are those of items with some series, one for each of these.
func seriesColumns(lists ...[]series) []export.Column {
	var keys []export.Key
	for _, f := range slices.Concat(lists...) {
		k := export.Key{Name: f.name, Kind: export.Unsigned}
		if f.unit == unitAtto {
			k.Kind = export.Text
		}
		keys = append(keys, k)
	}
	return export.Spread(export.ColumnsOf(reflect.TypeFor[SeriesItem]()), "values", keys)
}

func infos(lists ...[]series) []SeriesInfo {
	out := []SeriesInfo{}
	for _, f := range slices.Concat(lists...) {
		kind := "level"
		if f.flow {
			kind = "flow"
		}
		out = append(out, SeriesInfo{f.name, f.unit, kind})
	}
	return out
}

// eachItem makes the intervals with some series. An interval with a trade has a
// block, so it is among them.
func eachItem(s *index.Snapshot, of interval, from, to uint64, points, trades []series, each func(start uint64, item *SeriesItem) error) error {
	traded := &tradeSums{s: s, of: of, to: to}
	return eachInterval(s, of, from, to, func(start uint64, p *index.Point) error {
		item := &SeriesItem{Start: clock(start), Timestamp: start * 1000, Height: p.Height, Values: map[string]any{}}
		for _, f := range points {
			item.Values[f.name] = f.of(p)
		}
		if len(trades) > 0 {
			if err := traded.add(start, trades, item.Values); err != nil {
				return err
			}
		}
		return each(start, item)
	})
}

// eachInterval joins the points that are kept to intervals.
func eachInterval(s *index.Snapshot, of interval, from, to uint64, each func(start uint64, p *index.Point) error) error {
	var sum *index.Point
	begun := uint64(0)
	err := s.Points(of.of, from, to, func(start uint64, p *index.Point) error {
		begin := of.start(start)
		if sum != nil && begin != begun {
			if err := each(begun, sum); err != nil {
				return err
			}
			sum = nil
		}
		if begun = begin; sum == nil {
			sum = new(index.Point)
		}
		sum.Add(p)
		return nil
	})
	if err == nil && sum != nil {
		return each(begun, sum)
	}
	return err
}

// tradeSums are the sums of trades by interval, as many intervals at a time as a
// page has.
type tradeSums struct {
	s           *index.Snapshot
	of          interval
	to, through uint64
	by          map[uint64]*index.Candle
}

// add adds to values what follows from the trades of an interval that begins
// before to. It is called as time goes.
func (t *tradeSums) add(start uint64, names []series, values map[string]any) error {
	if start >= t.through {
		if err := t.read(start); err != nil {
			return err
		}
	}
	c := t.by[start]
	if c == nil || c.Trades == 0 {
		return nil
	}
	all := map[string]any{"price": c.Mean(), "trades": c.Trades, "tradedBytes": c.Size}
	for _, f := range names {
		values[f.name] = all[f.name]
	}
	return nil
}

// read reads the intervals from one on.
func (t *tradeSums) read(start uint64) error {
	t.by, t.through = map[uint64]*index.Candle{}, min(t.to, t.of.start(start+uint64(t.of.most())*t.of.seconds))
	return t.s.Candles(t.of.of, start, t.through, func(at uint64, c *index.Candle) error {
		begin := t.of.start(at)
		if t.by[begin] == nil {
			t.by[begin] = new(index.Candle)
		}
		return t.by[begin].Add(c)
	})
}
