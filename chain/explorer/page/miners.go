package page

import (
	"fmt"
	"strconv"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
)

func (v *visit) minerTable(caption string, all []*explorer.Miner) *table {
	t := newTable(caption, "No miners.", "Miner", ">Rank", ">Power", ">Sectors", ">Faulty", ">Sector size", ">Pledge", ">Free", "Votes", "Owner", "Since")
	for _, m := range all {
		t.row(only(miner(m.Miner)), v.rank(m), only(bytesOf(m.PowerBytes)), only(number(m.Sectors)), only(badTone(m.Faulty)), only(bytesOf(m.SectorSize)),
			only(amount(m.Pledge)), only(amount(m.Balance)), only(yes(m.Voting)), only(address(m.Keys.Owner)), only(v.height(m.Created)))
	}
	return t
}

// minerList is the list of miners.
var minerList = &list{page: "/miners", api: "/v1/miners", order: []option{{"", "highest first"}, {"false", "lowest first"}},
	filters: []field{{Name: "sortField", Label: "By", Words: []option{{"", "number"}, {"power", "power"}}}, {Name: "owner", Label: "Owner", Hint: "t1…"}, {Name: "worker", Label: "Worker", Hint: "t1…"}}}

func miners(v *visit) (*document, error) {
	n := v.narrow(minerList)
	l, err := ask[explorer.List[*explorer.Miner]](v, "/v1/miners", n.asked(v)...)
	if err != nil {
		return nil, err
	}
	return &document{Title: "Miners", Sections: []section{{Form: n.form, Table: v.minerTable("Miners", l.Items), Links: n.links(v, l.Next)}}}, nil
}

func minerPage(v *visit) (*document, error) {
	path := "/v1/miners/" + v.part("miner")
	m, err := ask[explorer.MinerDetail](v, path)
	if err != nil {
		return nil, err
	}
	total, err := ask[explorer.SupplyDetail](v, "/v1/supply")
	if err != nil {
		return nil, err
	}
	days, err := ask[explorer.Deadlines](v, path+"/deadlines", "deadline", v.param("deadline"))
	if err != nil {
		return nil, err
	}
	windows, err := v.windowGrid(path, m.Miner.Miner, days)
	if err != nil {
		return nil, err
	}
	earned, err := v.rewardSection(path)
	if err != nil {
		return nil, err
	}
	failed, err := ask[explorer.List[*explorer.Fault]](v, path+"/faults", "limit", beside)
	if err != nil {
		return nil, err
	}
	d := &document{Kicker: "Miner", Title: m.Miner.Miner, Live: "miner:" + m.Miner.Miner, Claim: v.minerClaim(path, m.Height), Sections: []section{
		{Tiles: v.minerTiles(m.Miner, total.PowerBytes)}, v.calendar(path, days, windows), *earned, v.minerFacts(m.Miner)}}
	lists, err := v.minerLists(m.Miner.Miner)
	if err != nil {
		return nil, err
	}
	happened, err := v.newestEvents(path+"/events", "miner", v.r.PathValue("miner"))
	if err != nil {
		return nil, err
	}
	d.Sections = append(d.Sections, section{Title: "Faults", Table: v.faultTable("Faults, recoveries and fines, newest first", failed.Items, false), Links: []anchor{asCSV(path + "/faults")}})
	d.Sections = append(append(d.Sections, lists...), *happened)
	return d, nil
}

// minerClaim is about the miner that the page's path names.
func (v *visit) minerClaim(path string, at chain.Height) *claim {
	id, err := chain.ParseMiner(v.r.PathValue("miner"))
	if err != nil {
		return nil // there is no answer about such a one
	}
	return claimOf(path, "miner", chain.MinerKey(id), at)
}

func (v *visit) minerTiles(m *explorer.Miner, total uint64) []tile {
	return []tile{
		{"Proven power", only(bytesOf(m.PowerBytes).of("powerBytes")), only(faint(share(m.PowerBytes, total) + " of the network"))},
		{"Sectors", only(value{Kind: "data", Text: group(m.Sectors), Exact: strconv.FormatUint(m.Sectors, 10), Unit: "count", Field: "sectors", Href: at("/sectors", "miner", m.Miner)}),
			only(faint("of "), bytesOf(m.SectorSize).of("sectorSize"))},
		{"Faulty", only(badTone(m.Faulty).of("faulty")), only(faint("sectors"))},
		{"Pledge", only(amount(m.Pledge).of("pledge")), only(faint("locked for its sectors"))},
		{"Free", only(amount(m.Balance).of("balance")), only(faint("can be withdrawn"))},
	}
}

// rank is a miner's place by proven power, if there is an index that tells.
func (v *visit) rank(m *explorer.Miner) []value {
	if m.MinerFigures == nil {
		return nil
	}
	return only(number(m.Rank))
}

// byState are the sectors that a miner has, and had, by their state.
func (v *visit) byState(m *explorer.Miner) (out []value) {
	if m.MinerFigures == nil {
		return nil
	}
	c := &m.SectorsByState
	for _, s := range []struct {
		state string
		n     uint64
	}{{"preCommitted", c.PreCommitted}, {"active", c.Active}, {"faulty", c.Faulty}, {"expired", c.Expired}, {"dropped", c.Dropped}, {"lost", c.Lost}, {"terminated", c.Terminated}} {
		if s.n > 0 {
			out = append(out, counted(s.n, at("/sectors", "miner", m.Miner, "state", s.state)), faint(words(s.state)))
		}
	}
	return out
}

// served is what a miner says that it served.
func (v *visit) served(s *explorer.Served) []value {
	if s == nil {
		return nil
	}
	return []value{bytesOf(s.Bytes), faint("in"), number(s.Receipts), faint("receipts, up to"), v.height(s.Through)}
}

func (v *visit) minerFacts(m *explorer.Miner) section {
	all := []fact{
		{Label: "Rank", Values: v.rank(m), Help: "by proven power"},
		{Label: "Sectors", Values: v.byState(m)},
		{Label: "Served", Values: v.served(m.Served), Help: "as the miner claims"},
		{Label: "Votes", Values: only(yes(m.Voting))},
		{Label: "Guilty since", Values: firstOf("guilty", v.heightAt(m.Guilty)), Help: "of equivocation: it never votes again"},
		{Label: "Deposits", Values: only(amount(m.Deposits).of("deposits")), Help: "of pre-commits"},
		{Label: "Bound pledge", Values: only(some(&m.Bound).of("bound")), Help: "of ended sectors, until what it voted for is beyond dispute"},
		{Label: "Debt", Values: only(some(&m.Debt).of("debt")), Help: "fines not paid yet"},
		{Label: "No-shows", Values: only(number(m.NoShows).of("noShows")), Help: "recent deals that went void before they were active"},
		{Label: "Since", Values: firstOf("created", v.heightAt(m.Created))},
		{Label: "Peer", Values: only(code(m.Peer.ID).of("peer.id"))},
	}
	for _, a := range m.Peer.Addrs {
		all = append(all, fact{Label: "Address", Values: only(code(a))})
	}
	all = append(all, keyFacts("", "keys.", &m.Keys)...)
	if m.PendingKeys != nil {
		all = append(all, fact{Label: "New keys act at", Values: firstOf("pendingAt", v.heightAt(m.PendingAt))})
		all = append(all, keyFacts("New ", "pendingKeys.", m.PendingKeys)...)
	}
	return section{Title: "About", Facts: facts(all...)}
}

func keyFacts(prefix, field string, k *explorer.Keys) []fact {
	label := func(s string) string {
		if prefix == "" {
			return title(s)
		}
		return prefix + s
	}
	all := []fact{{Label: label("owner"), Values: only(wholeAddress(k.Owner).of(field + "owner"))}, {Label: label("worker"), Values: only(wholeAddress(k.Worker).of(field + "worker"))}}
	for _, p := range k.Provers {
		all = append(all, fact{Label: label("prover"), Values: only(wholeAddress(p))})
	}
	return append(all, fact{Label: label("beneficiary"), Values: only(wholeAddress(k.Beneficiary).of(field + "beneficiary"))},
		fact{Label: label("consensus key"), Values: only(code(k.ConsensusKey).of(field + "consensusKey")), Help: "ed25519"},
		fact{Label: label("beacon key"), Values: only(code(k.BeaconKey).of(field + "beaconKey")), Help: "BLS12-381"})
}

// minerLists are the beginnings of the lists of a miner.
func (v *visit) minerLists(m string) ([]section, error) {
	asks, err := ask[explorer.List[*explorer.Order]](v, "/v1/orders", "side", "ask", "miner", m, "limit", beside)
	if err != nil {
		return nil, err
	}
	held, err := ask[explorer.List[*explorer.Sector]](v, "/v1/miners/"+m+"/sectors", "limit", beside)
	if err != nil {
		return nil, err
	}
	kept, err := ask[explorer.List[*explorer.Deal]](v, "/v1/deals", "miner", m, "limit", beside)
	if err != nil {
		return nil, err
	}
	sent, err := ask[explorer.List[*explorer.Message]](v, "/v1/messages", "address", m, "limit", beside)
	if err != nil {
		return nil, err
	}
	return []section{
		{Title: "Asks", Table: v.orderTable("Asks in the order book", asks.Items)},
		{Title: "Sectors", Table: v.sectorTable("Sectors by number", held.Items), Links: append(rest(held.Next, "All sectors", "/sectors", "miner", m), anchor{"Which expire next", at("/sectors", "sortField", "expiration", "miner", m)})},
		{Title: "Deals", Table: v.dealTable("Deals, newest first", kept.Items), Links: append(rest(kept.Next, "All deals", "/deals", "miner", m), endsNext("miner", m))},
		{Title: "Messages", Table: v.messageTable("Messages, newest first", sent.Items, true), Links: rest(sent.Next, "All messages", "/messages", "address", m)},
	}, nil
}

// rest links the whole of a list whose beginning is shown.
func rest(next, label, path string, query ...string) []anchor {
	csv := asCSV("/v1"+path, query...)
	if next == "" {
		return []anchor{csv}
	}
	return []anchor{{label, at(path, query...)}, csv}
}

// calendar shows the deadlines of a miner, which has a path in the API: each is open
// now or opens next.
func (v *visit) calendar(path string, c *explorer.Deadlines, windows *grid) section {
	s := section{Title: "Deadlines", Note: fmt.Sprintf("Each sector is proven once in about %s, in a window of about %s.",
		span(v.lasting(c.Period)), span(v.lasting(c.Window)))}
	s.Grid = windows
	s.Table = newTable("Deadlines as they are open now or open next", "No deadlines.", "Deadline", "State", "Opens", "Closes", ">Sectors", "Partitions", "Proven last")
	for _, d := range c.Items {
		state, tone := windowState(d, c.Listed)
		partitions, last := v.partitions(d)
		s.Table.row([]value{number(d.Deadline)}, []value{{Kind: "badge", Text: state, Tone: tone}}, v.heightAt(d.Opens), v.heightAt(d.Closes),
			only(number(d.Sectors)), partitions, last)
	}
	s.Links = []anchor{asCSV(path + "/deadlines").named("Deadlines as CSV")}
	if windows != nil {
		s.Links = append(s.Links, asCSV(path+"/calendar").named("Windows as CSV"))
	}
	if v.param("deadline") != "" {
		s.Grid, s.Links = nil, []anchor{{"All deadlines", minerPath(c.Miner)}}
	}
	return s
}

// marks are the signs of the states of windows, for those who do not tell
// colours apart.
var marks = map[string]string{"proven": "✓", "missed": "✗", "partial": "½", "faulty": "✗", "due": "!", "open": "!", "upcoming": "·", "empty": "–", "unknown": "?"}

// windowState sums up the partitions of a deadline.
func windowState(d *explorer.Deadline, listed bool) (state, tone string) {
	states := map[string]int{}
	faulty := 0
	for _, p := range d.Partitions {
		states[p.State]++
		faulty += p.Faulty
	}
	switch {
	case d.Sectors == 0:
		return "empty", ""
	case states["due"] > 0:
		return "due", "due"
	case states["proven"] > 0:
		return "proven", "good"
	case faulty > 0:
		return "faulty", "bad"
	case d.Open && !listed:
		return "open", "due"
	}
	return "upcoming", "next"
}

// mostPartitions is how many partitions a row lists one by one.
const mostPartitions = 4

// partitions says how those of a deadline stand and when they were proven last.
func (v *visit) partitions(d *explorer.Deadline) (state, last []value) {
	states := map[string]uint64{}
	for _, p := range d.Partitions {
		states[p.State]++
		if len(last) < mostPartitions && p.ProvenThrough > 0 {
			last = append(last, v.height(p.ProvenThrough))
		}
		if p.Faulty > 0 {
			states["faulty"] += uint64(p.Faulty)
		}
	}
	for _, name := range []string{"proven", "due", "upcoming"} {
		if states[name] > 0 {
			state = append(state, number(states[name]), faint(name))
		}
	}
	if states["faulty"] > 0 {
		state = append(state, badTone(states["faulty"]), faint("sectors faulty"))
	}
	return state, last
}
