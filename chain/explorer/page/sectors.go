package page

import (
	"strconv"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
)

var sectorStates = []string{"preCommitted", "active", "faulty", "expired", "dropped", "lost", "terminated"}

func (v *visit) sectorTable(caption string, all []*explorer.Sector) *table {
	t := newTable(caption, "No sectors.", "Sector", "Miner", "State", ">Size", ">Deals", "Deadline", "Activated", "Expires", ">Pledge", "Sealed CID")
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
		t.row(only(sector(s.Miner, s.Number)), only(miner(s.Miner)), only(badge(s.State)), only(bytesOf(s.SectorSize)), only(number(deals)), line,
			v.past(s.Activated), only(v.height(s.Expiration)), only(amount(s.Pledge)), only(hash(s.SealedCID, "")))
	}
	return t
}

// sectorList is the list of sectors.
var sectorList = &list{page: "/sectors", api: "/v1/sectors", order: byChoice, filters: []field{{Name: "sortField", Label: "By", Words: []option{{"", "number"}, {"expiration", "expiration, those in force"}}}, {Name: "miner", Label: "Miner", Hint: "t01000"},
	{Name: "state", Label: "State", Words: anyOf(sectorStates...)}}}

func sectors(v *visit) (*document, error) {
	n := v.narrow(sectorList)
	l, err := ask[explorer.List[*explorer.Sector]](v, "/v1/sectors", n.asked(v)...)
	if err != nil {
		return nil, err
	}
	return &document{Title: "Sectors", Sections: []section{{Form: n.form, Table: v.sectorTable("Sectors", l.Items), Links: n.links(v, l.Next)}}}, nil
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
	life, err := v.lifeOfSector(path, s.Sector)
	if err != nil {
		return nil, err
	}
	d := &document{Kicker: "Sector", Title: s.Miner + " / " + group(s.Number), Live: sectorTopic(s.Miner, s.Number),
		Sections: []section{{Facts: facts(about...)}, *life, {Title: "Pieces", Table: t}}}
	if id, err := chain.ParseMiner(v.r.PathValue("miner")); err == nil {
		d.claims(claimOf(path, "sector", chain.SectorKey(id, s.Number), s.Height), s.Removed)
	}
	return d, nil
}

// lifeOfSector tells a sector's life from its pre-commit to its last proof.
func (v *visit) lifeOfSector(path string, s *explorer.Sector) (*section, error) {
	all, links, err := v.happenings(path+"/events", "sector", v.r.PathValue("miner")+"/"+v.r.PathValue("number"), "miner", "sector")
	if err != nil {
		return nil, err
	}
	proofs, err := v.proofTurns(path + "/proofs")
	if err != nil {
		return nil, err
	}
	out := v.sumUp(append(all, proofs...))
	if s.Deadline != nil && s.Expiration > v.tip {
		out = append(out, v.coming(s.Expiration, "Expires"))
	}
	return &section{Title: "Life", Life: out, Links: append(links, asCSV(path+"/proofs").named("Its proofs as CSV"))}, nil
}
