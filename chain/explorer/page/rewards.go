package page

import (
	"strconv"
	"time"

	"github.com/perdure/perdure/chain/explorer"
)

// rewardSlots is how many hours or days a chart of rewards spans.
const rewardSlots = 30

// rewardSection is what a miner earned: by hour while the chain is young, by day later.
func (v *visit) rewardSection(path string) (*section, error) {
	of, name := 24*time.Hour, "1d"
	if v.fitting(rewardSlots).length < of {
		of, name = time.Hour, "1h"
	}
	r, err := ask[explorer.MinerRewards](v, path+"/rewards", "interval", name, "limit", strconv.Itoa(rewardSlots))
	if err != nil {
		return nil, err
	}
	out := &section{Title: "Earned", Tiles: rewardTiles(&r.RewardWindows), Links: []anchor{asCSV(path+"/rewards", "interval", name).named("What it earned as CSV")}}
	if len(r.Items) == 0 {
		out.Note = "Nothing in the last " + span(rewardSlots*of) + "."
		return out, nil
	}
	out.Chart = v.rewardChart(r, v.axisTo(of, rewardSlots))
	return out, nil
}

func rewardTiles(w *explorer.RewardWindows) []tile {
	return []tile{{"Rewards in 24 h", only(amount(w.Day)), nil}, {"in 7 d", only(amount(w.Week)), nil}, {"in 30 d", only(amount(w.Month)), nil},
		{"since the history begins", only(amount(w.Total)), nil}}
}

// rewardChart stacks what deals paid upon rewards.
func (v *visit) rewardChart(r *explorer.MinerRewards, a axis) *chart {
	out := &chart{Kind: "columns", Name: "rewards", Title: "Earned by " + r.Interval, Width: chartWidth, Height: chartHeight, Scale: a.scale(),
		Legend: []legend{{"rewards and tips", "column"}, {"deal pay", "second"}}}
	most := r.Items[0]
	for _, one := range r.Items {
		if float(one.Rewards)+float(one.DealPay) > float(most.Rewards)+float(most.DealPay) {
			most = one
		}
	}
	top := max(float(most.Rewards)+float(most.DealPay), 1)
	width := float64(chartWidth) / float64(a.slots)
	for i := range r.Items {
		one := &r.Items[i]
		slot, in := a.place(one.Timestamp)
		if !in {
			continue
		}
		says := moment(one.Start).Text + ": rewards " + amount(one.Rewards).Text + ", deal pay " + amount(one.DealPay).Text
		x, w := (float64(slot)+0.12)*width, width*0.76
		first, second := float(one.Rewards)/top*(chartHeight-8), float(one.DealPay)/top*(chartHeight-8)
		out.Shapes = append(out.Shapes, rect("column", x, chartHeight-first, w, first, says), rect("second", x, chartHeight-first-second, w, second, says))
	}
	out.Desc = "The most was earned in the interval from " + clock(most.Start).Text + ": rewards " + amount(most.Rewards).Text + ", deal pay " + amount(most.DealPay).Text + "."
	out.Table = rewardTable(r)
	return out
}

func rewardTable(r *explorer.MinerRewards) *table {
	t := newTable("Figures of the chart", "", "From", ">Rewards", ">of blocks", ">of power", ">Tips", ">Deal pay", ">Fines", ">Blocks", ">Proofs", ">Faults", ">Served")
	t.Folded = true
	for i := range r.Items {
		one := &r.Items[len(r.Items)-1-i]
		t.row(only(moment(one.Start)), only(amount(one.Rewards)), only(amount(one.BlockRewards)), only(amount(one.PowerRewards)), only(amount(one.Tips)),
			only(amount(one.DealPay)), only(amount(one.Fines)), only(number(one.Blocks)), only(number(one.Proofs)), only(badTone(one.Faults)), only(bytesOf(one.Served)))
	}
	return t
}

// faultTable lists faults, recoveries and fines.
func (v *visit) faultTable(caption string, all []*explorer.Fault, several bool) *table {
	labels := []string{"What", "Sector", "Why", ">Fined or burned", "Block", "Time"}
	if several {
		labels = append([]string{labels[0], "Miner"}, labels[1:]...)
	}
	t := newTable(caption, "No faults.", labels...)
	for _, f := range all {
		var of []value
		switch {
		case f.Sector != nil && f.Miner != "":
			of = only(sector(f.Miner, *f.Sector))
		case f.Sectors > 0:
			of = []value{number(f.Sectors), faint("sectors")}
		}
		cells := [][]value{only(kindLink(f.Kind))}
		if several {
			cells = append(cells, only(miner(f.Miner)))
		}
		t.row(append(cells, of, only(text(f.Reason)), only(some(&f.Amount)), only(v.height(f.Height)), only(moment(f.Time)))...)
	}
	return t
}

// faultList is the list of all faults.
var faultList = &list{page: "/faults", api: "/v1/faults", ranged: true, order: byTime}

const faultsAre = "A sector is faulty when its window closes without a proof of it. It counts for nothing and earns nothing until it is proven again, and is lost if that takes too long."

func faults(v *visit) (*document, error) {
	n := v.narrow(faultList)
	l, err := ask[explorer.List[*explorer.Fault]](v, "/v1/faults", n.asked(v)...)
	if err != nil {
		return nil, err
	}
	return &document{Title: "Faults", Live: n.live(v, "block"), Sections: []section{{Note: faultsAre}, {Form: n.form, Note: v.gaps(l.Gaps),
		Table: v.faultTable("Faults, recoveries and fines", l.Items, true), Links: n.links(v, l.Next)}}}, nil
}
