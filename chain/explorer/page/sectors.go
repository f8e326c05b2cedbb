package page

import (
	"net/url"
	"strconv"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
)

var sectorStates = []string{"preCommitted", "active", "faulty", "expired", "dropped", "lost", "terminated"}

func (v *visit) sectorTable(caption string, all []*explorer.Sector) *table {
	t := newTable(caption, "No sectors.", "Sector", "State", ">Size", ">Deals", "Deadline", "Activated", "Expires", ">Pledge", "Sealed CID")
	for _, s := range all {
		deals := uint64(0)
		for _, p := range s.Pieces {
			if p.Deal != 0 {
				deals++
			}
		}
		var line []value
		if s.Deadline != nil {
			line = only(number(*s.Deadline))
		}
		t.row(only(sector(s.Miner, s.Number)), only(badge(s.State)), only(bytesOf(s.SectorSize)), only(number(deals)), line,
			v.past(s.Activated), only(v.height(s.Expiration)), only(amount(s.Pledge)), only(hash(s.SealedCID, "")))
	}
	return t
}

// sectors lists those of a miner; the chain numbers them by miner.
func sectors(v *visit) (*document, error) {
	m, state := v.param("miner"), v.param("state")
	s := section{Form: &form{"/sectors", []field{{Name: "miner", Label: "Miner", Value: m, Hint: "t01000"},
		{Name: "state", Label: "State", Value: state, Words: sectorStates}}, "Show"}}
	if m == "" {
		s.Note = "Sectors are numbered by their miners. Whose?"
		return &document{Title: "Sectors", Sections: []section{s}}, nil
	}
	l, err := ask[explorer.List[*explorer.Sector]](v, "/v1/miners/"+url.PathEscape(m)+"/sectors", "state", state, "cursor", v.param("cursor"))
	if err != nil {
		return nil, err
	}
	s.Table, s.Links = v.sectorTable("Sectors by number", l.Items), v.pager(l.Next, "miner", m, "state", state)
	s.Links = append(s.Links, anchor{"Miner " + m, minerPath(m)})
	return &document{Kicker: "Miner " + m, Title: "Sectors", Sections: []section{s}}, nil
}

func sectorPage(v *visit) (*document, error) {
	path := "/v1/sectors/" + v.part("miner") + "/" + v.part("number")
	s, err := ask[explorer.SectorDetail](v, path)
	if err != nil {
		return nil, err
	}
	about := []fact{
		{Label: "State", Values: only(badge(s.State).of("state"))},
		{Label: "Faulty since", Values: firstOf("faultSince", v.heightAt(s.FaultSince))},
		{Label: "Miner", Values: only(miner(s.Miner).of("miner"))},
		{Label: "Size", Values: only(bytesOf(s.SectorSize).of("sectorSize"))},
		{Label: "Pre-committed", Values: firstOf("preCommitted", v.heightAt(s.PreCommitted))},
		{Label: "Seed", Values: firstOf("seedHeight", v.heightAt(s.SeedHeight)), Help: "height whose beacon draws the openings of its seal"},
		{Label: "Openings proven", Values: []value{number(uint64(s.PartsProven)).of("partsProven"), faint("of"), number(s.Parts), faint("parts")}},
		{Label: "Activated", Values: firstOf("activated", v.heightAt(s.Activated))},
		{Label: "Expires", Values: firstOf("expiration", v.heightAt(s.Expiration))},
		{Label: "Deal pay settled to", Values: firstOf("paidThrough", v.heightAt(s.PaidThrough))},
		{Label: "Pledge", Values: only(amount(s.Pledge).of("pledge"))},
		{Label: "Deposit", Values: only(some(&s.Deposit).of("deposit")), Help: "until it is active"},
	}
	if s.Deadline != nil && s.Partition != nil && s.Slot != nil {
		about = append(about, fact{Label: "Proven in", Values: []value{faint("deadline"),
			{Kind: "data", Text: strconv.FormatUint(*s.Deadline, 10), Exact: strconv.FormatUint(*s.Deadline, 10), Href: at(minerPath(s.Miner), "deadline", strconv.FormatUint(*s.Deadline, 10))},
			faint("partition"), number(*s.Partition), faint("slot"), number(*s.Slot)}})
	}
	about = append(about, fact{Label: "Sealed CID", Values: only(code(s.SealedCID).of("sealedCid")), Help: "commits to the replica (CommR)"},
		fact{Label: "Unsealed CID", Values: only(code(s.UnsealedCID).of("unsealedCid")), Help: "commits to the data (CommD)"}, fact{Label: "Ticket", Values: only(code(s.Ticket).of("ticket"))})
	t := newTable("Pieces in their order", "No pieces: capacity without data.", "Piece", ">Size", "Deal")
	for _, p := range s.Pieces {
		of := only(numbered("deal", p.Deal))
		if len(of) == 0 {
			of = only(faint("none: padding or the miner's own"))
		}
		t.row(only(hash(p.PieceCID, "")), only(bytesOf(p.PaddedSize)), of)
	}
	d := &document{Kicker: "Sector", Title: s.Miner + " / " + group(s.Number), Live: sectorTopic(s.Miner, s.Number), Sections: []section{{Facts: facts(about...)}, {Title: "Pieces", Table: t}}}
	if id, err := chain.ParseMiner(v.r.PathValue("miner")); err == nil {
		d.Claim = claimOf(path, "sector", chain.SectorKey(id, s.Number), s.Height)
	}
	return d, nil
}
