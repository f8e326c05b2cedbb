package page

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
)

// turn is something that happened in the life of a thing, or is to happen.
type turn struct {
	Tone  string // good, due, bad, next: it is to come, or nothing
	When  []value
	What  string
	About []value

	height chain.Height
	order  uint32 // among those of a block
	kind   string // of turns that are summed up if many follow each other
	sum    *chain.Amount
	last   value // the message of the last one
	first  *turn // of those that it sums up
	count  uint64
}

// A life that is long begins with so many events and ends with so many, and with
// so many of the newest windows. It says what it leaves out between.
const (
	lifeBegins  = 200
	lifeEnds    = 50
	lifeWindows = 200
)

// told says what kinds of events mean to people, and how good that is. Others
// are told by their names.
var told = map[string]struct{ what, tone string }{
	"orderPlaced":          {"Placed", ""},
	"orderCancelled":       {"Cancelled", "bad"},
	"orderFilled":          {"Filled", "good"},
	"orderReduced":         {"Reduced", ""},
	"orderDepositBurned":   {"Deposit burned: it was cancelled before it rested in the book", "bad"},
	"dealMatched":          {"Matched", "due"},
	"dealAccepted":         {"The miner has the data", "due"},
	"dealActive":           {"Active: sealed, and the seal proven", "good"},
	"dealPaid":             {"Paid to the miner", ""},
	"dealEnded":            {"Ended", ""},
	"dealRefunded":         {"Unspent price back to the client", ""},
	"dealBurned":           {"Collateral burned", "bad"},
	"dealDepositReturned":  {"Client's deposit returned", ""},
	"clientDepositBurned":  {"Client's deposit burned", "bad"},
	"collateralReturned":   {"Collateral returned", ""},
	"sectorCommitted":      {"Sector pre-committed", "due"},
	"sectorPart":           {"Part of the seal proven", "due"},
	"sectorActive":         {"Sector active", "good"},
	"sectorFaulty":         {"Sector faulty", "bad"},
	"sectorRecovered":      {"Sector recovered", "good"},
	"recoveryDeclared":     {"Recovery declared", "due"},
	"sectorExtended":       {"Sector extended", ""},
	"sectorEnded":          {"Sector ended", ""},
	"windowMissed":         {"Window missed", "bad"},
	"channelOpened":        {"Opened", ""},
	"channelToppedUp":      {"Topped up", ""},
	"channelSettling":      {"Settling", "due"},
	"channelCollected":     {"Collected", ""},
	"voucherRedeemed":      {"Voucher redeemed", "good"},
	"repairOrdered":        {"Repair ordered", "due"},
	"repairEnded":          {"Repair ended", ""},
	"renewalOrdered":       {"Renewal ordered", "due"},
	"renewalEnded":         {"Renewal ended", ""},
	"renewalSet":           {"Renewals set", ""},
	"fetchRepaid":          {"Fetching repaid", ""},
	"minerDepositReturned": {"Miner's deposit returned", ""},
}

// repeated are the kinds of events of which a run is told as one.
var repeated = map[string]bool{"dealPaid": true, "voucherRedeemed": true, "channelToppedUp": true, "sectorPart": true}

// turnOf tells an event, without saying that it is about the things of some
// kinds, which the page is about.
func (v *visit) turnOf(e *explorer.Happening, own ...string) *turn {
	t := &turn{What: title(e.Kind), When: v.whenOf(e.Height, e.Time), height: e.Height, order: e.Index}
	if known, ok := told[e.Kind]; ok {
		t.What, t.Tone = known.what, known.tone
	}
	if repeated[e.Kind] {
		t.kind = e.Kind
	}
	if e.Amount != nil {
		t.sum = e.Amount
		t.About = append(t.About, amount(*e.Amount))
	}
	t.About = append(t.About, v.subjects(e.Event, own...)...)
	t.About = append(t.About, v.details(e.Event)...)
	return t
}

func (v *visit) whenOf(h chain.Height, time string) []value {
	return []value{v.height(h), {Kind: "time", Text: moment(time).Text, Exact: time, Title: moment(time).Title}}
}

// proofTurn tells a window of a sector.
func (v *visit) proofTurn(p *explorer.WindowProof) *turn {
	t := &turn{When: v.whenOf(p.Height, p.Time), What: "Proven", Tone: "good", height: p.Height, order: math.MaxUint32,
		About: only(faint("deadline"), number(p.Deadline), faint("partition"), number(p.Partition))}
	switch p.State {
	case "proven":
		t.kind = "proven"
	case "missed":
		t.What, t.Tone = "Window missed: no proof came", "bad"
	default:
		t.What, t.Tone = "Left out of the proof of its window", "bad"
	}
	if p.Message != "" {
		t.last = message(p.Message)
		t.About = append(t.About, faint("by"), t.last)
	}
	return t
}

// sumUp puts turns in the order of time and tells runs of the same kind as one.
func (v *visit) sumUp(all []*turn) []*turn {
	slices.SortStableFunc(all, func(a, b *turn) int { return cmp.Or(cmp.Compare(a.height, b.height), cmp.Compare(a.order, b.order)) })
	var out []*turn
	for _, t := range all {
		if n := len(out); n > 0 && t.kind != "" && out[n-1].kind == t.kind {
			out[n-1] = t.after(out[n-1])
			continue
		}
		t.count = 1
		out = append(out, t)
	}
	for _, t := range out {
		if t.count > 1 {
			v.tellRun(t)
		}
	}
	return out
}

// after is a turn that stands for those before it, too.
func (t *turn) after(run *turn) *turn {
	t.count, t.first = run.count+1, run
	if run.first != nil {
		t.first = run.first
	}
	if t.sum != nil && run.sum != nil {
		if sum, err := t.sum.Add(*run.sum); err == nil {
			t.sum = &sum
		}
	}
	return t
}

// tellRun says how often something happened, and when first and last.
func (v *visit) tellRun(t *turn) {
	about := []value{number(t.count), faint("times since"), v.height(t.first.height)}
	if t.sum != nil {
		about = append(about, faint("· in all"), amount(*t.sum))
	}
	if t.last.Text != "" {
		about = append(about, faint("· last by"), t.last)
	}
	t.About = about
}

// happenings asks for the events of a thing, the oldest first, and links the list
// of them.
func (v *visit) happenings(path, about, name string, own ...string) ([]*turn, []anchor, error) {
	out, err := v.eventTurns(path, about, name, func(e *explorer.Happening) *turn { return v.turnOf(e, own...) })
	return out, []anchor{{"Its events one by one", at("/events", about, name)}, asCSV(path)}, err
}

// eventTurns tells the events of a thing, but for those of which tell makes no turn.
func (v *visit) eventTurns(path, about, name string, tell func(*explorer.Happening) *turn) (out []*turn, err error) {
	begins, err := ask[explorer.List[*explorer.Happening]](v, path, "sortDesc", "false", "limit", strconv.Itoa(lifeBegins))
	if err != nil {
		return nil, err
	}
	add := func(e *explorer.Happening) {
		if t := tell(e); t != nil {
			out = append(out, t)
		}
	}
	for _, e := range begins.Items {
		add(e)
	}
	if begins.Next == "" {
		return out, nil
	}
	newest, err := ask[explorer.List[*explorer.Happening]](v, path, "limit", strconv.Itoa(lifeEnds+1))
	if err != nil {
		return nil, err
	}
	last := begins.Items[len(begins.Items)-1] // there is one, as there are more
	ends := slices.DeleteFunc(newest.Items, func(e *explorer.Happening) bool {
		return e.Height < last.Height || e.Height == last.Height && e.Index <= last.Index
	})
	if len(ends) > lifeEnds {
		ends = ends[:lifeEnds]
		out = append(out, leftOut("Further events of the "+about+" are left out here", at("/events", about, name, "sortDesc", "false", "cursor", begins.Next), last.Height, last.Index))
	}
	for _, e := range slices.Backward(ends) {
		add(e)
	}
	return out, nil
}

// leftOut stands for what a life does not show, behind a place in it.
func leftOut(what, href string, h chain.Height, order uint32) *turn {
	return &turn{Tone: "next", What: what, About: only(value{Text: "The rest", Href: href}), height: h, order: order}
}

// proofTurns asks for the newest windows of a sector or a deal.
func (v *visit) proofTurns(path string) ([]*turn, error) {
	l, err := ask[explorer.List[*explorer.WindowProof]](v, path, "limit", strconv.Itoa(lifeWindows))
	if err != nil {
		return nil, err
	}
	var out []*turn
	if l.Next != "" {
		oldest := l.Items[len(l.Items)-1]
		out = append(out, leftOut("Earlier windows are left out", asCSV(path).Href, oldest.Height, 0))
	}
	for _, p := range l.Items {
		out = append(out, v.proofTurn(p))
	}
	return out, nil
}

// coming is a turn that is to come at a height.
func (v *visit) coming(h chain.Height, what string) *turn {
	when := v.height(h)
	return &turn{Tone: "next", What: what, When: only(when), About: only(faint(when.Title)), height: h, count: 1}
}
