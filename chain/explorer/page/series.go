package page

import (
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
)

// curve is a series of the API as a chart: what it is called and how its figures
// are written. The unit of one in attoPDR may be a price.
type curve struct {
	name, label string
	show        func(*visit, any) value
	flow        bool // what happened in an interval, drawn as columns
}

// Ways to write a figure of a series.
func showCount(_ *visit, x any) value { return number(asCount(x)) }
func showBytes(_ *visit, x any) value { return bytesOf(asCount(x)) }
func showMoney(_ *visit, x any) value { return amount(asAmount(x)) }
func showPrice(v *visit, x any) value { return v.price(asAmount(x)) }

// What figures of a series are in the process: numbers, or amounts.
func asCount(x any) uint64 {
	n, _ := x.(uint64)
	return n
}

func asAmount(x any) chain.Amount {
	a, _ := x.(chain.Amount)
	return a
}

// length is a figure as a length; what is drawn may be rounded.
func length(x any) float64 {
	if a, ok := x.(chain.Amount); ok {
		return float(a)
	}
	return float64(asCount(x))
}

// topic is a group of curves.
type topic struct {
	title  string
	curves []curve
}

// topics are all series there are.
var topics = []topic{
	{"Storage", []curve{{"power", "Proven power", showBytes, false}, {"stored", "Stored in active deals", showBytes, false}, {"served", "Served, as miners claim", showBytes, true}}},
	{"Proofs and faults", []curve{{"proofs", "Window proofs", showCount, true}, {"faults", "New faulty sectors", showCount, true},
		{"recoveries", "Recovered sectors", showCount, true}, {"fines", "Fines", showMoney, true}}},
	{"Market", []curve{{"price", "Price, TiB for 30 days", showPrice, false}, {"trades", "Deals made", showCount, true}, {"tradedBytes", "Traded", showBytes, true},
		{"orders", "Orders in the book", showCount, false}}},
	{"Deals", []curve{{"dealsActive", "Active deals", showCount, false}, {"dealsOpen", "Matched, not active yet", showCount, false}, {"dealsActivated", "Deals that became active", showCount, true},
		{"dealsMatched", "Deals matched", showCount, true}, {"dealsEnded", "Deals that ended", showCount, true}, {"dealPay", "Paid to miners", showMoney, true}}},
	{"Sectors", []curve{{"sectorsActive", "Active sectors", showCount, false}, {"sectorsPreCommitted", "Pre-committed sectors", showCount, false}, {"sectorsFaulty", "Faulty sectors", showCount, false}}},
	{"Traffic and fees", []curve{{"blocks", "Blocks", showCount, true}, {"messages", "Messages", showCount, true}, {"failed", "Messages without success", showCount, true},
		{"fees", "Fees", showMoney, true}, {"feesBurned", "Fees burned", showMoney, true}, {"tips", "Tips", showMoney, true}, {"baseFee", "Base fee", showMoney, false}}},
	{"Money", []curve{{"blockRewards", "Rewards for blocks", showMoney, true}, {"powerRewards", "Rewards for proven power", showMoney, true}, {"minted", "Minted", showMoney, false},
		{"burned", "Burned", showMoney, false}, {"locked", "Locked", showMoney, false}, {"circulating", "In accounts", showMoney, false}, {"unissued", "Still to be issued", showMoney, false}}},
	{"Who takes part", []curve{{"accounts", "Accounts", showCount, false}, {"miners", "Miners", showCount, false}, {"channels", "Open channels", showCount, false}}},
}

// curveOf is the curve of a series.
func curveOf(name string) *curve {
	for i := range topics {
		for k := range topics[i].curves {
			if topics[i].curves[k].name == name {
				return &topics[i].curves[k]
			}
		}
	}
	return nil
}

// Numbers of intervals that a chart spans: small ones, and those of /network.
const glanceSlots, networkSlots = 48, 96

// age is how much of the chain's time this node's history spans.
func (v *visit) age() time.Duration {
	if v.begun.IsZero() {
		v.begun = v.tipTime.Add(-v.lasting(uint64(v.tip))) // if there is no history
		l, err := ask[explorer.List[*explorer.Block]](v, "/v1/blocks", "sortDesc", "false", "limit", "1")
		if err == nil && len(l.Items) > 0 {
			if t, err := time.Parse(time.RFC3339, l.Items[0].Time); err == nil {
				v.begun = t
			}
		}
	}
	return v.tipTime.Sub(v.begun)
}

// fitting is the shortest interval of which so many span the whole history, or the longest.
func (v *visit) fitting(slots int) interval {
	age := v.age()
	for _, one := range intervals {
		if age <= time.Duration(slots)*one.length {
			return one
		}
	}
	return intervals[len(intervals)-1]
}

// chosen is the interval that the visitor chose, or the fitting one.
func (v *visit) chosen(slots int) interval {
	i := slices.IndexFunc(intervals, func(one interval) bool { return one.name == v.param("interval") })
	if i < 0 {
		return v.fitting(slots)
	}
	return intervals[i]
}

// axis is the time that a chart spans, cut into slots.
type axis struct {
	begin, slot int64 // milliseconds
	slots       int
}

// leastSlots is how many slots an axis has at least, however young the chain is.
const leastSlots = 12

// axisTo is one whose last slot has the newest block. It begins with the history,
// if that is shorter than so many slots.
func (v *visit) axisTo(length time.Duration, slots int) axis {
	ms := length.Milliseconds()
	if age := v.age() / length; age < time.Duration(slots) {
		slots = min(slots, max(leastSlots, int(age)+2))
	}
	end := v.tipTime.UnixMilli()
	return axis{end - end%ms - int64(slots-1)*ms, ms, slots}
}

// place is the slot of a time, if it is in one.
func (a axis) place(millis uint64) (slot int, in bool) {
	since := int64(millis) - a.begin
	return int(since / a.slot), since >= 0 && since < a.slot*int64(a.slots)
}

func (a axis) length() time.Duration { return time.Duration(a.slot*int64(a.slots)) * time.Millisecond }

func (a axis) scale() []string {
	return []string{stamp(a.begin), stamp(a.begin + a.slot*int64(a.slots)/2), "now"}
}

// dot is a figure in a slot of an axis.
type dot struct {
	slot  int
	start string
	x     any
}

// dots are those of a curve.
func (c *curve) dots(s *explorer.SeriesAnswer, a axis) (out []dot) {
	for i := range s.Items {
		item := &s.Items[i]
		x, has := item.Values[c.name]
		if slot, in := a.place(item.Timestamp); has && in {
			out = append(out, dot{slot, item.Start, x})
		}
	}
	return out
}

// total adds up what happened in all intervals.
func (v *visit) total(c *curve, dots []dot) value {
	count, money, inMoney := uint64(0), new(big.Int), false
	for _, d := range dots {
		if a, ok := d.x.(chain.Amount); ok {
			money.Add(money, a.Big())
			inMoney = true
			continue
		}
		count += asCount(d.x)
	}
	if !inMoney {
		return c.show(v, count)
	}
	a, err := chain.AmountFromBig(money)
	if err != nil { // more than there can be
		return text(pdr(money))
	}
	return c.show(v, a)
}

// panel draws a curve with what it comes to above it.
func (v *visit) panel(c *curve, s *explorer.SeriesAnswer, a axis) panel {
	dots := c.dots(s, a)
	out := panel{Label: anchor{c.label, at("/network/"+c.name, "interval", s.Interval)}}
	switch {
	case len(dots) == 0:
		out.Values = only(faint("none yet"))
		return out
	case c.flow:
		out.Values = only(v.total(c, dots))
	default:
		out.Values = only(c.show(v, dots[len(dots)-1].x))
	}
	out.Chart = v.curveChart(c, dots, a)
	return out
}

// curveChart draws levels as a line and what happened as columns.
func (v *visit) curveChart(c *curve, dots []dot, a axis) *chart {
	if len(dots) == 0 {
		return nil
	}
	low, high := dots[0], dots[0]
	for _, d := range dots {
		if length(d.x) < length(low.x) {
			low = d
		}
		if length(d.x) > length(high.x) {
			high = d
		}
	}
	out := &chart{Kind: "line", Name: c.name, Title: c.label, Width: chartWidth, Height: chartHeight, Scale: a.scale(), Top: c.show(v, high.x).Text}
	out.Desc = fmt.Sprintf("%d intervals from %s to %s; the lowest is %s, the highest %s, the last %s.", len(dots), clock(dots[0].start).Text,
		clock(dots[len(dots)-1].start).Text, c.show(v, low.x).Text, c.show(v, high.x).Text, c.show(v, dots[len(dots)-1].x).Text)
	if c.flow {
		out.Kind = "columns"
		out.Shapes = v.columns(c, dots, a, length(high.x))
		return out
	}
	bottom, top := levelRange(length(low.x), length(high.x))
	if bottom > 0 {
		out.Top = between(c.show(v, low.x).Text, out.Top)
	}
	out.Shapes = lines(dots, a, bottom, top)
	return out
}

// between writes a range; a unit that both ends have is written once.
func between(low, high string) string {
	figure, unit, _ := strings.Cut(low, " ")
	if _, same, _ := strings.Cut(high, " "); same == unit {
		low = figure
	}
	return low + " to " + high
}

// levelRange is what part of a vertical scale shows levels: from zero, unless
// they differ by little.
func levelRange(low, high float64) (bottom, top float64) {
	if high == 0 {
		return 0, 1
	}
	if low > high/2 && high > low {
		margin := (high - low) / 10
		return low - margin, high + margin
	}
	return 0, high * 1.05
}

// columns draws what happened in each slot.
func (v *visit) columns(c *curve, dots []dot, a axis, most float64) []shape {
	width := float64(chartWidth) / float64(a.slots)
	var out []shape
	for _, d := range dots {
		h := 0.0
		if most > 0 {
			h = length(d.x) / most * (chartHeight - 8)
		}
		if h > 0 {
			h = max(h, 3)
		}
		out = append(out, rect("column", (float64(d.slot)+0.12)*width, chartHeight-h, width*0.76, h, moment(d.start).Text+": "+c.show(v, d.x).Text))
	}
	return out
}

// probes say on hover what the levels of a line are.
func (v *visit) probes(c *curve, dots []dot, a axis) (out []shape) {
	width := float64(chartWidth) / float64(a.slots)
	for _, d := range dots {
		out = append(out, rect("probe", float64(d.slot)*width, 0, width, chartHeight, moment(d.start).Text+": "+c.show(v, d.x).Text))
	}
	return out
}

// lines draws a line over an area.
func lines(dots []dot, a axis, bottom, top float64) []shape {
	width := float64(chartWidth) / float64(a.slots)
	y := func(x any) float64 { return chartHeight - (length(x)-bottom)/(top-bottom)*chartHeight }
	var line strings.Builder
	first := float64(dots[0].slot) * width
	fmt.Fprintf(&line, "M%s %s", unit(first), unit(y(dots[0].x)))
	for i, d := range dots {
		if i > 0 && d.slot > dots[i-1].slot+1 { // nothing came between: it stayed as it was
			fmt.Fprintf(&line, "H%s", unit(float64(d.slot)*width))
		}
		fmt.Fprintf(&line, "L%s %s", unit((float64(d.slot)+1)*width), unit(y(d.x)))
	}
	end := (float64(dots[len(dots)-1].slot) + 1) * width
	area := fmt.Sprintf("%sL%s %dL%s %dZ", line.String(), unit(end), chartHeight, unit(first), chartHeight)
	return []shape{{Tone: "area", D: area}, {Tone: "line", D: line.String()}}
}

// askSeries asks for series, of as many intervals as a chart has slots.
func (v *visit) askSeries(names string, of interval, slots int) (*explorer.SeriesAnswer, error) {
	return ask[explorer.SeriesAnswer](v, "/v1/series", "name", names, "interval", of.name, "limit", strconv.Itoa(slots))
}

// intervalChoices link the intervals of a page with charts.
func intervalChoices(path, chosen string) (out []entry) {
	for _, one := range intervals {
		out = append(out, choice(one.name, at(path, "interval", one.name), one.name == chosen))
	}
	return out
}

// network shows all series as small charts.
func network(v *visit) (*document, error) {
	of := v.chosen(networkSlots)
	s, err := v.askSeries("", of, networkSlots)
	if err != nil {
		return nil, err
	}
	a := v.axisTo(of.length, networkSlots)
	d := &document{Title: "The network over time", Live: "block", Sections: []section{{Choices: intervalChoices("/network", of.name),
		Links: []anchor{asCSV("/v1/series", "interval", of.name)},
		Note: fmt.Sprintf("The last %s, in intervals of %s. Columns are what happened in an interval, and the figure above them is the sum; lines are what there was at its end, and the figure is the newest.",
			span(a.length()), span(of.length))}}}
	for i := range topics {
		part := section{Title: topics[i].title}
		for k := range topics[i].curves {
			part.Panels = append(part.Panels, v.panel(&topics[i].curves[k], s, a))
		}
		d.Sections = append(d.Sections, part)
	}
	return d, nil
}

// seriesPage shows one series with its figures.
func seriesPage(v *visit) (*document, error) {
	c := curveOf(v.r.PathValue("series"))
	if c == nil {
		return nil, newProblem(http.StatusNotFound, "there is no series of that name")
	}
	of := v.chosen(networkSlots)
	s, err := v.askSeries(c.name, of, networkSlots)
	if err != nil {
		return nil, err
	}
	path := "/network/" + c.name
	part := section{Choices: intervalChoices(path, of.name), Links: []anchor{{"All series", at("/network", "interval", of.name)},
		{"As JSON", at("/v1/series", "name", c.name, "interval", of.name, "limit", strconv.Itoa(networkSlots))},
		asCSV("/v1/series", "name", c.name, "interval", of.name)}}
	a := v.axisTo(of.length, networkSlots)
	dots := c.dots(s, a)
	if part.Chart = v.curveChart(c, dots, a); part.Chart == nil {
		part.Note = "Nothing in the last " + span(networkSlots*of.length) + "."
		return &document{Kicker: "Network", Title: c.label, Live: "block", Sections: []section{part}}, nil
	}
	if !c.flow {
		part.Chart.Shapes = append(part.Chart.Shapes, v.probes(c, dots, a)...)
	}
	t := newTable("Figures of the chart", "", "From", ">"+c.label)
	t.Folded = true
	for _, d := range slices.Backward(dots) {
		t.row(only(clock(d.start)), only(c.show(v, d.x)))
	}
	part.Chart.Table = t
	return &document{Kicker: "Network", Title: c.label, Live: "block", Sections: []section{part}}, nil
}

// glanceCurves are the series that the home page shows.
var glanceCurves = []string{"power", "price", "dealsActive", "proofs", "faults"}

// glanceCharts are small charts of them.
func (v *visit) glanceCharts() (*section, error) {
	of := v.fitting(glanceSlots)
	s, err := v.askSeries(strings.Join(glanceCurves, ","), of, glanceSlots)
	if err != nil {
		return nil, err
	}
	a := v.axisTo(of.length, glanceSlots)
	out := &section{Title: "The last " + span(a.length()), Links: []anchor{{"All series", "/network"}}}
	for _, name := range glanceCurves {
		out.Panels = append(out.Panels, v.panel(curveOf(name), s, a))
	}
	return out, nil
}
