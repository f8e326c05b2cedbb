package page

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
)

// windowTones are the colours of the states of windows.
var windowTones = map[string]string{"proven": "good", "missed": "bad", "partial": "bad", "due": "due", "upcoming": "next"}

// windowLegend says what the signs of a calendar mean.
var windowLegend = []legend{{"✓ proven", "good"}, {"! due", "due"}, {"✗ missed, ½ in part", "bad"}, {"· to come", "next"}, {"– nothing to prove", ""}, {"? before this node's history", ""}}

// calendarSpan are the heights of a calendar: two whole proving periods back, the
// one of now, and the next.
func (v *visit) calendarSpan(d *explorer.Deadlines) (from, to uint64) {
	now := d.PeriodStart
	if tip := uint64(v.tip); tip > now {
		now = tip - (tip-now)%d.Period
	}
	return now - min(now, 2*d.Period), now + 2*d.Period - 1
}

// windowGrid is a miner's calendar: a row for each proving period, a column for
// each deadline. nil: the miner has too many partitions for one.
func (v *visit) windowGrid(path, m string, d *explorer.Deadlines) (*grid, error) {
	from, to := v.calendarSpan(d)
	c, err := ask[explorer.Calendar](v, path+"/calendar", "from", strconv.FormatUint(from, 10), "to", strconv.FormatUint(to, 10))
	if p, ok := err.(*explorer.Problem); ok && p.Status == http.StatusBadRequest {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := &grid{Caption: "Windows by proving period and deadline", Legend: windowLegend}
	rows := map[uint64]int{}
	for _, w := range c.Items {
		row, known := rows[w.Period]
		if !known {
			row = len(out.Rows)
			rows[w.Period] = row
			out.Rows = append(out.Rows, gridRow{Label: v.periodLabel(w)})
		}
		for uint64(len(out.Columns)) <= w.Deadline {
			out.Columns = append(out.Columns, strconv.Itoa(len(out.Columns)))
		}
		for uint64(len(out.Rows[row].Cells)) <= w.Deadline {
			out.Rows[row].Cells = append(out.Rows[row].Cells, window{})
		}
		out.Rows[row].Cells[w.Deadline] = v.windowCell(m, w)
	}
	if len(out.Rows) == 0 {
		return nil, nil
	}
	return out, nil
}

// periodLabel names a row by its period and when its first window shown opens.
func (v *visit) periodLabel(w *explorer.Window) []value {
	from := v.height(w.Opens)
	return []value{faint("period"), number(w.Period), faint("from"), from}
}

// windowCell is a window: its sign, and in words what became of it.
func (v *visit) windowCell(m string, w *explorer.Window) window {
	var proven, failed, sectors uint64
	var last chain.Height
	for i := range w.Partitions {
		p := &w.Partitions[i]
		sectors += uint64(p.Sectors)
		failed += uint64(p.Failed)
		last = max(last, p.ProofHeight)
		if p.State == "proven" {
			proven++
		}
	}
	says := fmt.Sprintf("Period %d, deadline %d: %s, heights %s to %s", w.Period, w.Deadline, words(w.State), group(uint64(w.Opens)), group(uint64(w.Closes)))
	if len(w.Partitions) > 0 {
		says += fmt.Sprintf(", %s sectors, %d of %d partitions proven", group(sectors), proven, len(w.Partitions))
	}
	if failed > 0 {
		says += fmt.Sprintf(", %d sectors failed", failed)
	}
	out := window{Mark: marks[w.State], Title: says, Tone: windowTones[w.State], Href: at(minerPath(m), "deadline", strconv.FormatUint(w.Deadline, 10))}
	if last > 0 {
		out.Title += fmt.Sprintf(", at %s", group(uint64(last)))
		out.Href = blockPath(last)
	}
	return out
}
