package page

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
)

// chart is a drawing. It is stretched to the place that it gets, so it holds no
// text: its scales stand around it.
type chart struct {
	Kind          string // depth, candles, bar, line, columns
	Name          string // tells it from others of its kind on the page
	Title, Desc   string // for those who do not see it
	Width, Height int
	Shapes        []shape
	Top, Bottom   string   // of the vertical scale
	Scale         []string // from left to right
	Legend        []legend
	Table         *table // the same figures
}

// ID is the prefix of the names of its parts.
func (c *chart) ID() string { return c.Kind + c.Name }

type legend struct{ Text, Tone string }

// shape is a rectangle, or a path if D is given.
type shape struct {
	Tone       string
	D          string
	X, Y, W, H string
	Title      string // shown on hover
}

// The size of drawings in their own units.
const chartWidth, chartHeight = 1000, 300

func unit(f float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", f), "0"), ".")
}

func rect(tone string, x, y, w, h float64, title string) shape {
	return shape{Tone: tone, X: unit(x), Y: unit(y), W: unit(max(w, 0)), H: unit(max(h, 0)), Title: title}
}

// float is an amount as a length; what is drawn may be rounded.
func float(a chain.Amount) float64 {
	f, _ := new(big.Float).SetInt(a.Big()).Float64()
	return f
}

// part is a share of a bar.
type part struct {
	text, tone string
	n          *big.Int
}

// bar draws shares of a whole beside each other.
func bar(title string, parts []part) *chart {
	c := &chart{Kind: "bar", Title: title, Width: chartWidth, Height: 24}
	total := new(big.Int)
	for _, p := range parts {
		total.Add(total, p.n)
	}
	if total.Sign() == 0 {
		return nil
	}
	x := 0.0
	var says []string
	for _, p := range parts {
		share, _ := new(big.Rat).SetFrac(p.n, total).Float64()
		text := p.text + " " + percent(p.n, total)
		c.Shapes = append(c.Shapes, rect(p.tone, x, 0, share*chartWidth, 24, text))
		c.Legend = append(c.Legend, legend{text, p.tone})
		says = append(says, text)
		x += share * chartWidth
	}
	c.Desc = strings.Join(says, ", ")
	return c
}

// step is a price and all that is offered up to it.
type step struct {
	price float64
	size  float64
}

// cumulate sums up levels from the best price on.
func cumulate(levels []explorer.Level) []step {
	var out []step
	sum := 0.0
	for _, l := range levels {
		sum += float64(l.Size)
		out = append(out, step{float(l.Price), sum})
	}
	return out
}

// priceRange is what part of the prices a depth chart shows: all of them, but
// none below half or above twice the best.
func priceRange(bids, asks []step) (low, high float64) {
	var all []step
	all = append(append(all, bids...), asks...)
	low, high = all[0].price, all[0].price
	for _, s := range all {
		low, high = min(low, s.price), max(high, s.price)
	}
	bid, ask := all[0].price, all[len(bids)%len(all)].price // the best of each side, or of the one that there is
	low, high = max(low, min(bid, ask)/2), min(high, max(bid, ask)*2)
	if margin := (high - low) / 20; margin > 0 {
		return low - margin, high + margin
	}
	return low*0.9 - 1, high*1.1 + 1
}

// depth draws what is bid and asked, cumulated from the best prices outward.
func (v *visit) depth(b *explorer.Book) *chart {
	bids, asks := cumulate(b.Bids), cumulate(b.Asks)
	if len(bids)+len(asks) == 0 {
		return nil
	}
	low, high := priceRange(bids, asks)
	top := 1.0
	for _, side := range [][]step{bids, asks} {
		for _, s := range side {
			if s.price >= low && s.price <= high {
				top = max(top, s.size)
			}
		}
	}
	x := func(price float64) float64 {
		return min(max((price-low)/(high-low), 0), 1) * chartWidth
	}
	y := func(size float64) float64 { return chartHeight - min(size/top, 1)*(chartHeight-10) }
	c := &chart{Kind: "depth", Title: "Depth of the order book", Width: chartWidth, Height: chartHeight, Top: size(uint64(top)), Bottom: "0",
		Desc:   fmt.Sprintf("Bids in %d levels on the left, asks in %d levels on the right; the height is the size offered up to a price.", len(bids), len(asks)),
		Scale:  []string{v.floatPrice(low), v.floatPrice((low + high) / 2), v.floatPrice(high)},
		Legend: []legend{{"bids", "bid"}, {"asks", "ask"}}}
	c.Shapes = append(c.Shapes, stairs("bid", bids, 0, x, y), stairs("ask", asks, chartWidth, x, y))
	c.Shapes = append(c.Shapes, v.treads("bids at %s and above: %s", b.Bids, bids, 0, x)...)
	c.Shapes = append(c.Shapes, v.treads("asks at %s and below: %s", b.Asks, asks, chartWidth, x)...)
	c.Table = v.depthTable(b)
	return c
}

// stairs is the outline of one side from its best price to the edge.
func stairs(tone string, side []step, edge float64, x, y func(float64) float64) shape {
	if len(side) == 0 {
		return shape{Tone: tone, D: "M0 0"}
	}
	var d strings.Builder
	fmt.Fprintf(&d, "M%s %d", unit(x(side[0].price)), chartHeight)
	for i, s := range side {
		next := edge
		if i+1 < len(side) {
			next = x(side[i+1].price)
		}
		fmt.Fprintf(&d, "V%sH%s", unit(y(s.size)), unit(next))
	}
	fmt.Fprintf(&d, "V%dZ", chartHeight)
	return shape{Tone: tone, D: d.String()}
}

// treads say on hover what is offered up to the price of each stair.
func (v *visit) treads(says string, levels []explorer.Level, side []step, edge float64, x func(float64) float64) (out []shape) {
	for i, s := range side {
		from, to := x(s.price), edge
		if i+1 < len(side) {
			to = x(side[i+1].price)
		}
		if from != to { // in sight
			out = append(out, rect("probe", min(from, to), 0, max(from, to)-min(from, to), chartHeight, fmt.Sprintf(says, v.price(levels[i].Price).Text, size(uint64(s.size)))))
		}
	}
	return out
}

// floatPrice writes a place on a scale of prices.
func (v *visit) floatPrice(atto float64) string {
	n, _ := big.NewFloat(max(atto, 0)).Int(nil)
	a, err := chain.AmountFromBig(n)
	if err != nil {
		a = chain.MaxAmount()
	}
	return v.price(a).Text
}

func (v *visit) depthTable(b *explorer.Book) *table {
	t := newTable("Figures of the depth chart", "", "Side", ">Price", ">Size", ">Size up to here", ">Orders")
	t.Folded = true
	for _, side := range []struct {
		name   string
		levels []explorer.Level
	}{{"bid", b.Bids}, {"ask", b.Asks}} {
		sum := uint64(0)
		for _, l := range side.levels {
			sum += l.Size
			t.row(only(text(side.name)), only(v.price(l.Price)), only(bytesOf(l.Size)), only(bytesOf(sum)), only(number(l.Orders)))
		}
	}
	return t
}

// shownCandles is how many intervals a chart spans at most.
const shownCandles = 96

// candleChart draws the trades of the last intervals. Those without a trade
// stay empty.
func (v *visit) candleChart(c *explorer.Candles, a axis) *chart {
	drawn := slices.DeleteFunc(slices.Clone(c.Items), func(k explorer.Candle) bool {
		_, in := a.place(k.Timestamp)
		return !in
	})
	if len(drawn) == 0 {
		return nil
	}
	out := &chart{Kind: "candles", Title: "Prices by " + c.Interval, Width: chartWidth, Height: chartHeight, Table: v.candleTable(drawn), Scale: a.scale()}
	low, high, most := float(drawn[0].Low), 0.0, uint64(1)
	for _, k := range drawn {
		low, high, most = min(low, float(k.Low)), max(high, float(k.High)), max(most, k.Volume)
	}
	margin := max((high-low)/20, high/100, 1)
	low, high = low-margin, high+margin
	y := func(a chain.Amount) float64 { return (high - float(a)) / (high - low) * (chartHeight - 70) }
	slot := float64(chartWidth) / float64(a.slots)
	for _, k := range drawn {
		i, _ := a.place(k.Timestamp)
		x := float64(i) * slot
		tone := "rise"
		if k.Close.Less(k.Open) {
			tone = "fall"
		}
		says := fmt.Sprintf("%s: open %s, high %s, low %s, close %s, %s in %d deals", moment(k.Start).Text, v.price(k.Open).Text, v.price(k.High).Text,
			v.price(k.Low).Text, v.price(k.Close).Text, size(k.Volume), k.Trades)
		upper, lower := min(y(k.Open), y(k.Close)), max(y(k.Open), y(k.Close))
		volume := float64(k.Volume) / float64(most) * 50
		out.Shapes = append(out.Shapes, rect(tone, x+slot*0.45, y(k.High), slot*0.1, y(k.Low)-y(k.High), says),
			rect(tone, x+slot*0.15, upper, slot*0.7, max(lower-upper, 2), says), rect("volume", x+slot*0.15, chartHeight-volume, slot*0.7, volume, says))
	}
	first, last := drawn[0], drawn[len(drawn)-1]
	out.Desc = fmt.Sprintf("%d intervals with trades from %s to %s; the last price is %s. Bars below are the volume.", len(drawn), clock(first.Start).Text, clock(last.Start).Text, v.price(last.Close).Text)
	out.Top, out.Bottom = v.floatPrice(high), v.floatPrice(low)
	return out
}

func stamp(millis int64) string { return time.UnixMilli(millis).UTC().Format("2 Jan 15:04") }

func (v *visit) candleTable(all []explorer.Candle) *table {
	t := newTable("Figures of the price chart", "", "From", ">Open", ">High", ">Low", ">Close", ">Volume", ">Deals")
	t.Folded = true
	for _, k := range all {
		t.row(only(moment(k.Start)), only(v.price(k.Open)), only(v.price(k.High)), only(v.price(k.Low)), only(v.price(k.Close)), only(bytesOf(k.Volume)), only(number(k.Trades)))
	}
	return t
}
