package page

import (
	"fmt"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
)

// home shows the network at a glance and what came last.
func home(v *visit) (*document, error) {
	s, err := ask[explorer.Status](v, "/v1/status")
	if err != nil {
		return nil, err
	}
	t, err := ask[explorer.Ticker](v, "/v1/market/ticker")
	if err != nil {
		return nil, err
	}
	n, err := ask[explorer.Stats](v, "/v1/stats")
	if err != nil {
		return nil, err
	}
	charts, err := v.glanceCharts()
	if err != nil {
		return nil, err
	}
	newest, err := ask[explorer.List[*explorer.Block]](v, "/v1/blocks", "limit", beside)
	if err != nil {
		return nil, err
	}
	sent, err := ask[explorer.List[*explorer.Message]](v, "/v1/messages", "limit", beside)
	if err != nil {
		return nil, err
	}
	d := &document{Title: "The network now", Kicker: s.Network, Live: "block"}
	d.Sections = []section{
		{Note: sentence(s.Notice), Tiles: v.glance(s, t, n)}, *charts,
		{Title: "Newest blocks", Brief: true, Table: v.blockTable("Newest blocks", newest.Items), Links: []anchor{{"All blocks", "/blocks"}}},
		{Title: "Newest messages", Brief: true, Table: v.messageTable("Newest messages", sent.Items, true), Links: []anchor{{"All messages", "/messages"}}},
	}
	return d, nil
}

// glance are the figures of the network.
func (v *visit) glance(s *explorer.Status, t *explorer.Ticker, n *explorer.Stats) []tile {
	day := tile{Label: "Traded in 24 h", Values: only(text("nothing"))}
	if t.Figures != nil {
		day.Values, day.Note = only(bytesOf(t.Volume)), []value{faint("in"), number(t.Trades), faint("deals")}
	}
	faulty := []value{faint("of"), counted(n.Counts.SectorsActive+n.Counts.SectorsFaulty, "/sectors"), faint("sectors are faulty")}
	return []tile{
		{"Height", only(v.height(s.Height)), only(faint("a block in"), text(seconds(n.BlockSeconds)))},
		{"Proven power", only(bytesOf(s.PowerBytes)), []value{faint("of"), counted(s.Miners, "/miners"), faint("miners")}},
		{"Stored", only(bytesOf(n.Counts.StoredBytes)), []value{faint("in"), counted(n.Counts.DealsActive, "/deals?state=active"), faint("active deals")}},
		{"Faulty", only(badTone(n.Counts.SectorsFaulty)), faulty},
		{"Proofs in 24 h", only(number(n.Day.Proofs)), []value{counted(n.Day.Faults, "/faults"), faint("new faults,"), number(n.Day.Recoveries), faint("recovered")}},
		{"Price of the last deal", v.priceOr(t.Last), only(faint("for a TiB and 30 days"))}, day,
		{"Served in 24 h", only(bytesOf(n.Day.ServedBytes)), only(faint("as miners claim"))},
		{"Order book", only(counted(uint64(s.BookOrders), "/market")), only(faint("orders"))},
		{"Supply", only(amount(n.Circulating)), []value{faint("and"), amount(s.Supply.Burned), faint("burned")}},
		{"Base fee", only(amount(s.BaseFee)), []value{faint("burned in 24 h"), amount(n.Day.FeesBurned)}},
		{"Validators", only(counted(uint64(s.Validators), "/validators")), only(faint("vote on the next block"))},
	}
}

// counted is a number that leads to what it counts.
func counted(n uint64, href string) value {
	out := number(n)
	out.Href = href
	return out
}

// seconds writes a time between blocks.
func seconds(s float64) string {
	if s == 0 {
		return ""
	}
	return fmt.Sprintf("%.3g s", s)
}

func (v *visit) blockTable(caption string, all []*explorer.Block) *table {
	t := newTable(caption, "No block yet.", "Height", "Time", ">Messages", ">Failed", ">Proofs", ">Deals", ">Size", ">Fees", "Proposer")
	t.Sparse = true
	for _, b := range all {
		t.row(only(v.height(b.Height)), only(moment(b.Time)), only(number(b.Messages)), only(badTone(b.Failed)), only(number(b.Proofs)),
			only(number(b.Deals)), only(bytesOf(b.Bytes)), only(amount(b.Fees)), only(validatorOf(b.Proposer)))
	}
	return t
}

// blockList is the list of blocks.
var blockList = &list{page: "/blocks", api: "/v1/blocks", ranged: true, order: byTime}

func blocks(v *visit) (*document, error) {
	n := v.narrow(blockList)
	l, err := ask[explorer.List[*explorer.Block]](v, "/v1/blocks", n.asked(v)...)
	if err != nil {
		return nil, err
	}
	return &document{Title: "Blocks", Live: n.live(v, "block"), Sections: []section{{Form: n.form, Note: v.gaps(l.Gaps),
		Table: v.blockTable("Blocks", l.Items), Links: n.links(v, l.Next)}}}, nil
}

func block(v *visit) (*document, error) {
	b, err := ask[explorer.BlockDetail](v, "/v1/blocks/"+v.part("height"))
	if err != nil {
		return nil, err
	}
	about := facts(
		fact{Label: "Time", Values: only(clock(b.Time))},
		fact{Label: "Proposer", Values: only(value{Kind: "code", Text: b.Proposer, Href: "/validator/" + pathName(b.Proposer)}), Help: "consensus address"},
		fact{Label: "Messages", Values: []value{number(b.Messages), faint("of which"), number(b.Failed), faint("without success")}},
		fact{Label: "Window proofs", Values: only(number(b.Proofs)), Help: "accepted"},
		fact{Label: "Deals matched", Values: only(number(b.Deals))},
		fact{Label: "Records changed", Values: only(number(b.Changes))},
		fact{Label: "Size", Values: only(bytesOf(b.Bytes)), Help: "of its messages"},
		fact{Label: "Units", Values: only(number(b.Units)), Help: "of verification and state work"},
		fact{Label: "Fees", Values: only(amount(b.Fees))},
		fact{Label: "Hash", Values: only(code(b.Hash)), Help: "of the block's header"},
		fact{Label: "Beacon", Values: only(code(b.Beacon), skipped(b.BeaconSkip)), Help: "random value of this height"},
		fact{Label: "App hash", Values: only(code(b.AppHash)), Help: "of the state after this block"},
	)
	var steps []anchor
	if b.Height > 1 {
		steps = append(steps, anchor{"Block before", blockPath(b.Height - 1)})
	}
	if b.Height < v.tip {
		steps = append(steps, anchor{"Block after", blockPath(b.Height + 1)})
	}
	d := &document{Kicker: "Block", Title: group(uint64(b.Height)), Sections: []section{{Facts: about, Links: steps}}}
	on, err := v.votes(fmt.Sprint(b.Height))
	if err != nil {
		return nil, err
	}
	d.Sections = append(d.Sections,
		section{Title: "Messages", Table: v.messageTable("Messages of the block", b.MessageList, false), Links: more(b.Messages, len(b.MessageList), "All messages", b.Height, "messages")},
		section{Title: "Events", Table: v.eventTable(b.EventList), Links: more(b.Events, len(b.EventList), "All events", b.Height, "events")})
	if on != nil {
		d.Sections = append(d.Sections, *on)
	}
	return d, nil
}

func skipped(yes bool) value {
	if !yes {
		return value{}
	}
	return value{Kind: "badge", Text: "nobody contributed", Tone: "due"}
}

// more links the whole of a list of which a block's page has the beginning.
func more(all uint64, shown int, label string, h chain.Height, list string) []anchor {
	if all <= uint64(shown) {
		return nil
	}
	return []anchor{{label + " (" + group(all) + ")", blockPath(h) + "/" + list}}
}

func blockMessages(v *visit) (*document, error) {
	l, err := ask[explorer.List[*explorer.Message]](v, "/v1/blocks/"+v.part("height")+"/messages", "cursor", v.param("cursor"))
	if err != nil {
		return nil, err
	}
	return &document{Kicker: "Block " + v.r.PathValue("height"), Title: "Messages", Sections: []section{
		{Table: v.messageTable("Messages of the block", l.Items, false), Links: append(v.pager(l.Next), asCSV("/v1/blocks/"+v.part("height")+"/messages"))}}}, nil
}

func blockEvents(v *visit) (*document, error) {
	l, err := ask[explorer.List[*explorer.Event]](v, "/v1/blocks/"+v.part("height")+"/events", "cursor", v.param("cursor"))
	if err != nil {
		return nil, err
	}
	return &document{Kicker: "Block " + v.r.PathValue("height"), Title: "Events", Sections: []section{
		{Table: v.eventTable(l.Items), Links: append(v.pager(l.Next), asCSV("/v1/blocks/"+v.part("height")+"/events"))}}}, nil
}
