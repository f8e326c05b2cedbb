package buyer

import (
	"slices"
	"time"

	"github.com/perdure/perdure/retrieval"
)

// overtakeGain is how much sooner a copied unit must be there: what then comes
// from both sellers is paid to both.
const overtakeGain = 500 * time.Millisecond

// overtake makes a unit of what another session has yet to bring, if that is
// slow: its oldest unit that was not asked for twice, from the end on.
func (t *Transfer) overtake(w *worker, x *want) {
	var slow *worker
	var unit *want
	var longest time.Duration
	for other := range t.workers {
		if other == w || other.src.part != w.src.part {
			continue
		}
		at := slices.IndexFunc(other.wants, func(x *want) bool { return x.sent && !x.copied && !t.useless(x) })
		if at < 0 {
			continue
		}
		if d := other.duration(other.wants[at]); slow == nil || d > longest {
			slow, unit, longest = other, other.wants[at], d
		}
	}
	if slow == nil || !slow.late(unit) && !w.gains(unit, longest) {
		return
	}
	unit.copied, x.copied = true, true
	for _, it := range slices.Backward(unit.items) {
		if it.state == fetched && !it.task.ended && !slices.Contains(it.lacks, w.src) {
			x.items = append(x.items, it)
		}
	}
}

// gains reports whether this session would bring a unit much sooner than the one
// that has it, which will take so long.
func (w *worker) gains(x *want, theirs time.Duration) bool {
	if w.moved == 0 {
		return false
	}
	own := w.duration(x)
	return theirs >= own*3/2 && theirs-own >= overtakeGain
}

// late reports whether a unit will take so long that another seller is to be
// asked as well: much longer than a seller takes to answer. A unit that waits for
// its channel to be opened is not the seller's fault.
func (w *worker) late(x *want) bool {
	return x.sent && w.duration(x) > max(slowUnit, slowAnswers*w.answer)
}

// duration is how long a session will be waited for until all of a unit is there,
// by how long its seller was waited for so far. What this side takes for a
// payment, or to write, is not the seller's.
func (w *worker) duration(x *want) time.Duration {
	busy := w.waited.elapsed()
	if w.moved < retrieval.ChunkSize { // a root of some hundred bytes tells an answer's time, no rate
		return busy
	}
	left := uint64(0)
	for _, it := range x.items {
		if it.state == fetched {
			left += it.weight()
		}
	}
	return time.Duration(float64(left) * float64(busy) / float64(w.moved))
}
