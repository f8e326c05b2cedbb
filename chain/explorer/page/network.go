package page

import (
	"fmt"
	"math/big"
	"reflect"
	"strings"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
)

func supply(v *visit) (*document, error) {
	s, err := ask[explorer.SupplyDetail](v, "/v1/supply")
	if err != nil {
		return nil, err
	}
	return &document{Title: "Supply", Claim: claimOf("/v1/supply", "supply", chain.GlobalKey(), s.Height), Sections: []section{
		{Note: "All money, at every height: minted = in accounts + locked + burned.",
			Tiles: []tile{
				{"Minted", only(amount(s.Minted).of("minted")), nil},
				{"In accounts", only(amount(s.Accounts).of("accounts")), only(faint("free, of accounts and miners"))},
				{"Locked", only(amount(s.Locked).of("locked")), only(faint("in orders, deals, pledge, deposits, channels"))},
				{"Burned", only(amount(s.Burned).of("burned")), nil},
				{"Next block issues", only(amount(s.Emission).of("emission")), only(faint("at most"))},
				{"Still to be issued", only(amount(s.Unissued).of("unissued")), nil}},
			Chart: bar("Where the money is", []part{{"in accounts", "good", s.Accounts.Big()}, {"locked", "due", s.Locked.Big()}, {"burned", "bad", s.Burned.Big()}})},
	}}, nil
}

// proposalsParam is the cursor of the proposals, which share their page with the
// history of parameters.
const proposalsParam = "proposals"

func params(v *visit) (*document, error) {
	p, err := ask[explorer.Parameters](v, "/v1/params")
	if err != nil {
		return nil, err
	}
	all, err := ask[explorer.Proposals](v, "/v1/proposals", "state", "all", "sortDesc", "true", "cursor", v.param(proposalsParam))
	if err != nil {
		return nil, err
	}
	past, err := v.amendments()
	if err != nil {
		return nil, err
	}
	can := map[string]bool{}
	for _, name := range all.Amendable {
		can[name] = true
	}
	t := newTable("Parameters in force for the next block; spans are blocks and sizes bytes", "", "Parameter", ">Value", "Can be voted on")
	fields := reflect.ValueOf(p.Params).Elem()
	for i := range fields.NumField() {
		name, _, _ := strings.Cut(fields.Type().Field(i).Tag.Get("json"), ",")
		t.row(only(text(name)), firstOf(name, parameter(fields.Field(i).Interface())), only(yes(can[name])))
	}
	var sizes []value
	for _, n := range p.SectorSizes {
		sizes = append(sizes, bytesOf(n))
	}
	t.row(only(text("sectorSizes")), sizes, only(yes(false)))
	return &document{Title: "Parameters", Claim: claimOf("/v1/params", "params", chain.GlobalKey(), p.Height), Sections: []section{
		{Title: "Proposals", Table: v.proposalTable(all.Items), Links: append(v.pagerBy(proposalsParam, all.Next), asCSV("/v1/proposals", "state", "all"))}, {Title: "In force", Table: t}, *past}}, nil
}

// amendments is the history of parameters and rules.
func (v *visit) amendments() (*section, error) {
	l, err := ask[explorer.List[*explorer.Amendment]](v, "/v1/params/history", "cursor", v.param("cursor"))
	if err != nil {
		return nil, err
	}
	t := newTable("What came into force, newest first", "Nothing has changed since genesis.", "From height", "Time", "Proposal", "Change")
	for _, a := range l.Items {
		var what []value
		for _, c := range a.Values {
			what = append(what, text(c.Name), plain(c.From), faint("→"), plain(c.To))
		}
		if a.RuleVersion > 0 {
			what = append(what, faint("rules"), number(a.RuleVersion))
		}
		t.row(only(v.height(a.Height)), only(moment(a.Time)), only(number(a.Proposal)), what)
	}
	return &section{Title: "History", Table: t, Links: append(v.pager(l.Next), asCSV("/v1/params/history"))}, nil
}

// plain is a parameter's value without a unit: only its name tells what it is of.
func plain(a chain.Amount) value {
	return value{Kind: "data", Text: grouped(a.String()), Exact: a.String()}
}

func parameter(v any) []value {
	switch x := v.(type) {
	case chain.Amount:
		return only(amount(x))
	case uint64:
		return only(number(x))
	case chain.Network:
		return only(text(string(rune(x))))
	}
	return only(text(strings.Trim(fmt.Sprint(v), "[]")))
}

func (v *visit) proposalTable(all []*explorer.Proposal) *table {
	t := newTable("Proposals, those that wait and those that ended, newest first", "No proposals.", "Proposal", "Change", "Placed", "Acts from", "Adopted", "Approved by", "Ended", "How")
	for _, p := range all {
		var change, by []value
		for _, c := range p.Values {
			change = append(change, text(c.Name), faint("→"), value{Kind: "data", Text: grouped(c.Value.String()), Exact: c.Value.String()})
		}
		if p.RuleVersion > 0 {
			change = append(change, faint("rules"), number(p.RuleVersion))
		}
		for _, a := range p.Approvals {
			by = append(by, validatorOf(a))
		}
		adopted := v.past(p.Adopted)
		if adopted == nil && p.Ended == 0 {
			adopted = only(badge("pending"))
		}
		t.row(only(number(p.ID)), change, only(v.height(p.Placed)), only(v.height(p.Effective)), adopted, by, v.past(p.Ended), only(text(p.Reason)))
	}
	return t
}

func status(v *visit) (*document, error) {
	s, err := ask[explorer.Status](v, "/v1/status")
	if err != nil {
		return nil, err
	}
	network := facts(
		fact{Label: "Chain", Values: only(text(s.ChainID), faint("("+s.Network+")"))},
		fact{Label: "Height", Values: v.heightAt(s.Height)},
		fact{Label: "Time", Values: only(clock(s.Time))},
		fact{Label: "Rules", Values: []value{faint("version"), number(s.RuleVersion)}},
		fact{Label: "Announced rules", Values: v.upgrade(s.Upgrade)},
		fact{Label: "Base fee", Values: only(amount(s.BaseFee)), Help: "per byte and per unit"},
		fact{Label: "Proven power", Values: only(bytesOf(s.PowerBytes))},
		fact{Label: "Validators", Values: only(number(uint64(s.Validators)))},
		fact{Label: "App hash", Values: only(code(s.AppHash))},
	)
	node := facts(
		fact{Label: "Version", Values: only(text(s.Version))},
		fact{Label: "Follows the chain's head", Values: only(yes(s.Synced))},
		fact{Label: "Peers", Values: only(number(uint64(s.Peers)))},
		fact{Label: "Node", Values: only(code(s.NodeID))},
		fact{Label: "States kept from", Values: v.heightAt(s.OldestHeight)},
	)
	return &document{Title: "Status", Sections: []section{{Note: sentence(s.Notice)}, {Title: "Network", Facts: network}, {Title: "This node", Facts: node},
		{Title: "Index", Note: indexNote, Facts: v.indexFacts(&s.Index),
			Links: []anchor{{"Description of the API", "/v1/openapi.yaml"}, {"Status for programs", "/v1/status"}}}}}, nil
}

const indexNote = "The index holds what this node knows of the history: every list and chart is read from it."

// indexFacts say how far the index is and whether it is sound.
func (v *visit) indexFacts(i *explorer.IndexStatus) []fact {
	if i.Off {
		return facts(fact{Label: "State", Values: only(text("switched off by the node's settings"))})
	}
	state := badge("pending")
	if i.Ready {
		state = value{Kind: "badge", Text: "ready", Tone: "good"}
	}
	all := []fact{{Label: "State", Values: only(state)}, {Label: "History from", Values: v.heightAt(i.First)}, {Label: "Complete to", Values: v.heightAt(i.Height)}}
	for _, g := range i.Gaps {
		all = append(all, fact{Label: "Never seen", Values: []value{v.height(g.From), faint("to"), v.height(g.To)}, Help: "the index was off while the node had them"})
	}
	if i.Job != "" {
		all = append(all, fact{Label: "Runs now", Values: only(text(title(i.Job)))}, fact{Label: "Has come to", Values: v.heightAt(i.Through)})
	}
	if c := i.Check; c != nil {
		found := value{Kind: "badge", Text: "no problems", Tone: "good"}
		if !c.OK {
			found = value{Kind: "badge", Text: group(c.Problems) + " problems", Tone: "bad"}
		}
		all = append(all, fact{Label: "Last check", Values: []value{found, faint("at height"), v.height(c.Height)}})
	}
	return facts(all...)
}

func (v *visit) upgrade(u *explorer.Upgrade) []value {
	if u == nil {
		return nil
	}
	out := append([]value{faint("version"), number(u.RuleVersion), faint("from")}, v.heightAt(u.Height)...)
	if !u.Known {
		out = append(out, value{Kind: "badge", Text: "unknown to this node", Tone: "bad"})
	}
	return out
}

// share writes part of whole.
func share(part, whole uint64) string {
	return percent(new(big.Int).SetUint64(part), new(big.Int).SetUint64(whole))
}
