package explorer

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/post"
)

// CalendarPartition is what became, or is to become, of a partition in a window.
type CalendarPartition struct {
	Partition   uint64       `json:"partition"`
	State       string       `json:"state"`                 // proven, missed, due, upcoming, empty (nothing to prove) or unknown
	ProofHeight chain.Height `json:"proofHeight,omitempty"` // block that took the proof
	ProofTime   string       `json:"proofTime,omitempty"`   // of that block
	Message     string       `json:"message,omitempty"`     // with the proof, hexadecimal
	Sectors     int          `json:"sectors,omitempty"`     // proven, or due
	Failed      int          `json:"failed,omitempty"`      // that should have been proven and were not
	Faulty      int          `json:"faulty,omitempty"`      // now, of a window that is open or to come
}

// Window is one opening of a deadline.
type Window struct {
	Period     uint64              `json:"period"` // of the miner, from 0
	Deadline   uint64              `json:"deadline"`
	Opens      chain.Height        `json:"opens"`               // first height that takes its proofs
	Closes     chain.Height        `json:"closes"`              // last height that does
	OpensTime  string              `json:"opensTime,omitempty"` // of that block; absent: it is not known, or has not come
	State      string              `json:"state"`               // proven, missed, partial, due, upcoming, empty or unknown
	Partitions []CalendarPartition `json:"partitions"`          // that had or have sectors
}

// Calendar is a miner's windows as they open.
type Calendar struct {
	Miner string       `json:"miner"`
	From  chain.Height `json:"from"`
	To    chain.Height `json:"to"`
	Items []*Window    `json:"items"`
	AsOf
}

// Bounds of one calendar.
const (
	calendarPeriods = 4 // proving periods that it covers at most
	calendarRows    = 4_096
)

// calendar answers with a miner's windows: what was proven or missed, what is
// due, and what comes next.
func (a *API) calendar(q *query) (any, error) {
	m, err := q.loadMiner()
	if err != nil {
		return nil, err
	}
	s := q.params().Schedule()
	within, err := q.calendarRange(s)
	if err != nil {
		return nil, err
	}
	return q.fromIndex(func(x *index.Snapshot, at AsOf) (any, error) {
		c := &calendar{q: q, x: x, m: m, s: s, past: map[[2]uint64][]index.Window{}, now: map[[2]uint64]*chain.Partition{}}
		if err := c.read(within.from, within.to); err != nil {
			return nil, err
		}
		out := &Calendar{q.minerText(m.ID), within.from, within.to, []*Window{}, at}
		for h := max(uint64(within.from), uint64(m.PeriodStart)); h <= uint64(within.to); {
			d, _ := s.At(uint64(m.PeriodStart), h)
			w, err := c.window(d)
			if err != nil {
				return nil, err
			}
			out.Items = append(out.Items, w)
			h = d.Close
		}
		return entire(q, out, out.Items)
	})
}

// calendarRange reads the range of a calendar: by default one period before and one
// after the newest block. Of a range with one end given, the other is as near as it
// has to be.
func (q *query) calendarRange(s post.Schedule) (heights, error) {
	if err := q.ready(); err != nil {
		return heights{}, err
	}
	period, tip := chain.Height(s.Period()), q.view.Height()
	h := heights{tip - min(tip, period), tip + period}
	if err := q.ends("from", "to", &h); err != nil {
		return h, err
	}
	most := calendarPeriods * period
	switch {
	case q.given("from") && !q.given("to"):
		h.to = min(max(h.to, h.from+period), h.from+most)
	case q.given("to") && !q.given("from"):
		h.from = max(min(h.from, h.to-min(h.to, period)), h.to-min(h.to, most))
	}
	if err := h.check("from", "to"); err != nil {
		return h, err
	}
	if h.to-h.from > most || h.to > tip+most {
		return h, badRequest("from %d to %d: want at most %d proving periods, %d blocks, and as many ahead", h.from, h.to, calendarPeriods, most)
	}
	return h, nil
}

// calendar is one on its way.
type calendar struct {
	q    *query
	x    *index.Snapshot
	m    *chain.Miner
	s    post.Schedule
	past map[[2]uint64][]index.Window // by deadline and partition, as they closed
	now  map[[2]uint64]*chain.Partition
}

// read takes what the index knows of the miner's partitions between two heights.
func (c *calendar) read(from, to chain.Height) error {
	rows := 0
	for deadline, n := range c.m.Partitions {
		for partition := range n {
			at := [2]uint64{uint64(deadline), partition}
			p := new(chain.Partition)
			r, err := c.x.Load(chain.PartitionKey(c.m.ID, at[0], at[1]), p)
			if err != nil {
				return err
			}
			if r != nil {
				c.now[at] = p
			}
			_, err = c.x.WindowsOf(c.m.ID, at[0], at[1], from-min(from, chain.Height(c.s.Window)), to+chain.Height(c.s.Window),
				index.Page{Limit: calendarRows, Upward: true}, func(w *index.Window) (bool, error) {
					c.past[at] = append(c.past[at], *w)
					rows++
					return true, nil
				})
			if err != nil {
				return err
			}
			if rows > calendarRows {
				return badRequest("the miner has too many partitions for a calendar of so many blocks: ask for fewer")
			}
		}
	}
	return nil
}

// window is one opening with all partitions that had something to prove.
func (c *calendar) window(d post.Deadline) (*Window, error) {
	out := &Window{Period: d.Period, Deadline: d.Index, Opens: chain.Height(d.Open), Closes: chain.Height(d.Close - 1), Partitions: []CalendarPartition{}}
	if b, err := c.block(out.Opens); err != nil {
		return nil, err
	} else if b != nil {
		out.OpensTime = clock(b.Time)
	}
	if d.Index >= uint64(len(c.m.Partitions)) {
		out.State = c.over(out, nil)
		return out, nil
	}
	for n := range c.m.Partitions[d.Index] {
		p, err := c.partition(d, n)
		if err != nil {
			return nil, err
		}
		if p != nil {
			out.Partitions = append(out.Partitions, *p)
		}
	}
	out.State = c.over(out, out.Partitions)
	return out, nil
}

// block reads a block of the history; nil if it is not there.
func (c *calendar) block(h chain.Height) (*index.Block, error) {
	if h > c.x.Height || h < c.x.First {
		return nil, nil
	}
	return c.x.Block(h)
}

// partition is what became of a partition in an opening; nil if it had nothing to
// prove or, while the index knows of none, was not there.
func (c *calendar) partition(d post.Deadline, n uint64) (*CalendarPartition, error) {
	at := [2]uint64{d.Index, n}
	closes := chain.Height(d.Close - 1)
	out := &CalendarPartition{Partition: n}
	if i := slices.IndexFunc(c.past[at], func(w index.Window) bool { return w.Closes == closes }); i >= 0 {
		w := &c.past[at][i]
		out.Sectors, out.Failed = bits.OnesCount64(w.Covered), bits.OnesCount64(w.Failed)
		if w.Missed() {
			out.State = "missed"
			return out, nil
		}
		out.State = "proven"
		return out, c.proof(out, w)
	}
	p := c.now[at]
	if p == nil || closes <= c.x.Height {
		return nil, nil
	}
	out.Sectors, out.Faulty = bits.OnesCount64(p.Provable()), bits.OnesCount64(p.Faulty)
	switch {
	case p.Live == 0:
		return nil, nil
	case d.Open > uint64(c.x.Height)+1:
		out.State = "upcoming"
	case out.Sectors == 0:
		out.State = "empty"
	default:
		out.State = "due"
	}
	return out, nil
}

// proof adds where the proof of a window is.
func (c *calendar) proof(out *CalendarPartition, w *index.Window) error {
	out.ProofHeight = w.Height
	b, err := c.block(w.Height)
	if err != nil {
		return err
	}
	if b != nil {
		out.ProofTime = clock(b.Time)
	}
	if w.Message == 0 {
		return nil
	}
	page := index.Page{Limit: 1, Upward: true}
	if w.Message > 1 {
		page.After = binary.BigEndian.AppendUint32(nil, uint32(w.Message-2))
	}
	_, err = c.x.BlockMessages(w.Height, page, func(m *index.Message) (bool, error) {
		out.Message = hexText(m.Receipt.Hash[:])
		return true, nil
	})
	return err
}

// over is the state of a window with some partitions.
func (c *calendar) over(w *Window, parts []CalendarPartition) string {
	count := map[string]int{}
	for i := range parts {
		count[parts[i].State]++
	}
	open := uint64(w.Opens) <= uint64(c.x.Height)+1 && w.Closes > c.x.Height
	switch {
	case w.Closes <= c.x.Height && w.Opens < c.x.First:
		return "unknown"
	case w.Opens > c.x.Height+1:
		return "upcoming"
	case open && count["due"] > 0:
		return "due"
	case count["proven"] == 0 && count["missed"] == 0:
		return "empty"
	case count["missed"] == 0:
		return "proven"
	case count["proven"] == 0:
		return "missed"
	}
	return "partial"
}
