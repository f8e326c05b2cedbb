package page

import (
	"fmt"
	"math/big"
	"net/url"
	"strconv"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
)

var dealStates = []string{"matched", "accepted", "active", "completed", "void", "lost"}

// past is a height, or nothing if it is 0.
func (v *visit) past(h chain.Height) []value {
	if h == 0 {
		return nil
	}
	return only(v.height(h))
}

func (v *visit) dealTable(caption string, all []*explorer.Deal) *table {
	t := newTable(caption, "No deals.", "Deal", "State", "Miner", ">Size", "Duration", ">Price", ">Total", "Matched", "Ends", "Content", "Client")
	for _, d := range all {
		t.row(only(numbered("deal", d.ID)), only(badge(d.State)), only(miner(d.Miner)), only(bytesOf(d.PaddedSize)), only(v.blocks(d.Duration)),
			only(v.price(d.Price)), only(amount(d.Total)), only(v.height(d.Matched)), v.past(d.End), only(payload(d.PayloadRoot)), only(address(d.Client)))
	}
	return t
}

// pricesAre says in which unit prices are shown.
const pricesAre = "Prices are in " + priceUnit + "; the exact one, in attoPDR per GiB per block, stands behind each."

// dealList is the list of deals.
var dealList = &list{page: "/deals", api: "/v1/deals", ranged: true, order: byChoice, filters: []field{{Name: "sortField", Label: "By", Words: []option{{"", "number"}, {"end", "end, the active ones"}}}, {Name: "root", Label: "Content", Hint: "root CID"},
	{Name: "piece", Label: "Piece", Hint: "piece CID"}, {Name: "miner", Label: "Miner", Hint: "t01000"}, {Name: "client", Label: "Client", Hint: "t1…"},
	{Name: "state", Label: "State", Words: anyOf(dealStates...)}}}

// endsNext links the active deals of a client or of a miner, which ends next first.
func endsNext(party, name string) anchor {
	return anchor{"Which end next", at("/deals", "sortField", "end", party, name)}
}

func deals(v *visit) (*document, error) {
	n := v.narrow(dealList)
	l, err := ask[explorer.List[*explorer.Deal]](v, "/v1/deals", n.asked(v)...)
	if err != nil {
		return nil, err
	}
	return &document{Title: "Deals", Sections: []section{{Form: n.form, Note: pricesAre, Table: v.dealTable("Deals", l.Items), Links: n.links(v, l.Next)}}}, nil
}

func deal(v *visit) (*document, error) {
	path := "/v1/deals/" + v.part("deal")
	d, err := ask[explorer.DealDetail](v, path)
	if err != nil {
		return nil, err
	}
	life, err := v.lifeOfDeal(d.Deal)
	if err != nil {
		return nil, err
	}
	out := &document{Kicker: "Deal", Title: "#" + group(d.ID), Live: dealTopics(d.Deal), Sections: []section{
		{Tiles: v.dealTiles(d.Deal)}, *life, {Title: "Heights and orders", Facts: v.dealLife(d.Deal)},
		{Title: "Money", Facts: v.dealMoney(d.Deal)}, {Title: "Content and parties", Facts: v.dealParties(d.Deal)}}}
	if s := v.succession(d.Succeeds); s != nil {
		out.Sections = append(out.Sections, *s)
	}
	out.claims(claimOf(path, "deal", chain.DealKey(d.ID), d.Height), d.Removed)
	return out, nil
}

func (v *visit) dealTiles(d *explorer.Deal) []tile {
	return []tile{
		{"State", only(badge(d.State).of("state")), nil},
		{"Miner", only(miner(d.Miner).of("miner")), nil},
		{"Size", only(bytesOf(d.PaddedSize).of("paddedSize")), only(faint("padded"))},
		{"Duration", only(v.blocks(d.Duration).of("duration")), nil},
		{"Price", only(v.price(d.Price).of("price")), only(faint("for a TiB and 30 days"))},
		{"Total", only(amount(d.Total).of("total")), only(faint("for the whole term"))},
	}
}

func (v *visit) dealLife(d *explorer.Deal) []fact {
	all := []fact{
		{Label: "Bid", Values: only(numbered("order", d.Bid).of("bid"))},
		{Label: "Ask", Values: only(numbered("order", d.Ask).of("ask"))},
		{Label: "Matched", Values: firstOf("matched", v.heightAt(d.Matched))},
		{Label: "Miner has the data", Values: firstOf("accepted", v.heightAt(d.Accepted))},
		{Label: "Active", Values: firstOf("activated", v.heightAt(d.Activated)), Help: "sealed and proven"},
		{Label: "Paid through", Values: firstOf("paidThrough", v.heightAt(d.PaidThrough)), Help: "settled so far"},
		{Label: "Ends", Values: firstOf("end", v.heightAt(d.End))},
		{Label: "Not paid", Values: only(v.faultBlocks(d.FaultBlocks).of("faultBlocks")), Help: "because of faults"},
		{Label: "Renewed at", Values: firstOf("renewAt", v.heightAt(d.RenewAt))},
	}
	if d.Sector != nil {
		all = append(all, fact{Label: "Sector", Values: only(sector(d.Miner, *d.Sector))})
	}
	switch d.State {
	case "matched":
		all = append(all, fact{Label: "Void unless accepted by", Values: firstOf("fetchBy", v.heightAt(d.FetchBy))})
	case "accepted":
		all = append(all, fact{Label: "Void unless active by", Values: firstOf("activateBy", v.heightAt(d.ActivateBy))})
	}
	return facts(all...)
}

func (v *visit) faultBlocks(n uint64) value {
	if n == 0 {
		return value{}
	}
	return v.blocks(n)
}

func (v *visit) dealMoney(d *explorer.Deal) []fact {
	return facts(
		fact{Label: "Price", Values: []value{v.price(d.Price).of("price"), faint("for a TiB and 30 days:"), amount(d.Price).of("price"), faint("per GiB per block")}},
		fact{Label: "Total", Values: only(amount(d.Total).of("total"))},
		fact{Label: "Unspent", Values: only(amount(d.Unspent).of("unspent")), Help: "of the total, still locked"},
		fact{Label: "Collateral", Values: only(amount(d.Collateral).of("collateral")), Help: "of the miner, still locked"},
		fact{Label: "Client's deposit", Values: only(some(&d.ClientDeposit).of("clientDeposit"))},
		fact{Label: "Miner's deposit", Values: only(some(&d.MinerDeposit).of("minerDeposit"))},
		fact{Label: "Retrieval price", Values: firstOf("retrievalPrice", perGiB(d.Retrieval)), Help: "announced by the miner"},
		fact{Label: "Unsealing price", Values: firstOf("unsealPrice", perGiB(d.Unseal)), Help: "announced by the miner"},
	)
}

func (v *visit) dealParties(d *explorer.Deal) []fact {
	return facts(
		fact{Label: "Content", Values: only(value{Kind: "code", Text: d.PayloadRoot, Field: "payloadRoot", Href: at("/deals", "root", d.PayloadRoot)}), Help: "root CID: all its deals"},
		fact{Label: "Part", Values: []value{number(d.Part + 1), faint("of"), number(d.Parts).of("parts")}},
		fact{Label: "Piece", Values: only(code(d.PieceCID).of("pieceCid"))},
		fact{Label: "Public", Values: public(d.Public)},
		fact{Label: "Client", Values: only(wholeAddress(d.Client).of("client"))},
		fact{Label: "Client's peer", Values: only(code(d.ClientPeer).of("clientPeer"))},
		fact{Label: "Miner", Values: only(miner(d.Miner).of("miner"))},
		fact{Label: "Region", Values: only(text(d.ClaimedRegion).of("claimedRegion")), Help: "claimed by the miner"},
		fact{Label: "Both sides one party's", Values: only(selfTrade(d.SelfTrade))},
		fact{Label: "Renewals left", Values: v.renewal(d.Renew)},
	)
}

func selfTrade(yes bool) value {
	if !yes {
		return value{}
	}
	return value{Kind: "badge", Text: "self-trade", Tone: "due"}
}

func (v *visit) renewal(r *explorer.Renewal) []value {
	if r == nil {
		return nil
	}
	return []value{number(r.Count), faint("of"), v.blocks(r.Duration), faint("at most at"), v.price(r.MaxPrice)}
}

// succession says what a bid or deal of the chain's own comes from.
func (v *visit) succession(s *explorer.Succession) *section {
	if s == nil {
		return nil
	}
	out := &section{Title: "Repair of a lost copy"}
	if s.Renewal {
		out.Title = "Renewal"
	}
	out.Facts = facts(
		fact{Label: "Deal before", Values: only(numbered("deal", s.Deal))},
		fact{Label: "Client's bid", Values: only(numbered("order", s.Bid))},
		fact{Label: "Must match by", Values: v.heightAt(s.By)},
		fact{Label: "Lost deal's term to", Values: v.heightAt(s.Term)},
		fact{Label: "Price before or at most", Values: only(v.price(s.Price))},
		fact{Label: "Allowance for fetching", Values: only(some(&s.Fetch))},
		fact{Label: "Reserve", Values: only(some(&s.Reserve))})
	return out
}

// progress draws how much of a deal's term is paid.
func (v *visit) progress(d *explorer.Deal) *chart {
	if d.Activated == 0 || d.End <= d.Activated {
		return nil
	}
	term := uint64(d.End - d.Activated)
	gone := min(uint64(v.tip-min(d.Activated, v.tip)), term)
	paid := min(uint64(d.PaidThrough-min(d.Activated, d.PaidThrough)), term)
	return bar("Term of the deal", []part{{"paid", "good", new(big.Int).SetUint64(paid)}, {"elapsed, not settled yet", "due", new(big.Int).SetUint64(gone - min(paid, gone))},
		{"to come", "rest", new(big.Int).SetUint64(term - max(gone, paid))}})
}

// lifeOfDeal tells a deal's life from its bid to its last proof, and what is to
// come.
func (v *visit) lifeOfDeal(d *explorer.Deal) (*section, error) {
	id := strconv.FormatUint(d.ID, 10)
	all, links, err := v.happenings("/v1/deals/"+id+"/events", "deal", id, "deal", "miner")
	if err != nil {
		return nil, err
	}
	for _, order := range []struct {
		id   uint64
		what string
	}{{d.Ask, "Ask placed"}, {d.Bid, "Bid placed"}} {
		placed, err := v.placing(order.id, order.what)
		if err != nil {
			return nil, err
		}
		all = append(placed, all...)
	}
	proofs, err := v.proofTurns("/v1/deals/" + id + "/proofs")
	if err != nil {
		return nil, err
	}
	all = append(all, proofs...)
	sealing, err := v.sealing(d)
	if err != nil {
		return nil, err
	}
	out := v.sumUp(append(all, sealing...))
	switch {
	case d.State == "matched":
		out = append(out, v.coming(d.FetchBy, "Void unless the miner has the data by then"))
	case d.State == "accepted":
		out = append(out, v.coming(d.ActivateBy, "Void unless it is active by then"))
	case d.State == "active":
		out = append(out, v.coming(d.End, "Its term ends"))
	}
	links = append(links, asCSV("/v1/deals/"+id+"/proofs").named("Its proofs as CSV"), asCSV("/v1/deals/"+id+"/payments").named("Its payments as CSV"))
	return &section{Title: "Life", Chart: v.progress(d), Life: out, Links: links}, nil
}

// placing is the turn in which an order of a deal was placed. An order that the
// history does not know any more has none.
func (v *visit) placing(order uint64, what string) ([]*turn, error) {
	if order == 0 {
		return nil, nil
	}
	l, err := ask[explorer.List[*explorer.Happening]](v, "/v1/orders/"+strconv.FormatUint(order, 10)+"/events", "sortDesc", "false", "limit", "1")
	if err != nil && !missing(err) {
		return nil, err
	}
	if err != nil || len(l.Items) == 0 || l.Items[0].Kind != "orderPlaced" {
		return nil, nil
	}
	t := v.turnOf(l.Items[0], "miner")
	t.What = what
	return []*turn{t}, nil
}

// inDeal are the kinds of events of a sector that belong to the life of the
// deals in it.
var inDeal = map[string]bool{"sectorCommitted": true, "sectorPart": true, "sectorFaulty": true, "recoveryDeclared": true, "sectorRecovered": true, "sectorEnded": true}

// sealing is what happened to a deal's sector during the deal.
func (v *visit) sealing(d *explorer.Deal) ([]*turn, error) {
	if d.Sector == nil {
		return nil, nil
	}
	path := fmt.Sprintf("/v1/sectors/%s/%d/events", url.PathEscape(d.Miner), *d.Sector)
	out, err := v.eventTurns(path, "sector", fmt.Sprintf("%s/%d", d.Miner, *d.Sector), func(e *explorer.Happening) *turn {
		if !inDeal[e.Kind] || e.Height < d.Matched || d.End != 0 && e.Height > d.End {
			return nil
		}
		return v.turnOf(e, "miner", "deal")
	})
	if err != nil && missing(err) {
		return nil, nil
	}
	return out, err
}
