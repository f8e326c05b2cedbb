package mempool

import (
	"cmp"
	"container/heap"
	"slices"

	"github.com/perdure/perdure/chain"
)

// Room is what a block has left for one lane.
type Room struct{ Bytes, Units uint64 }

func (r *Room) take(t *Tx) bool {
	if t.Size > r.Bytes || t.Units > r.Units {
		return false
	}
	r.Bytes -= t.Size
	r.Units -= t.Units
	return true
}

// Propose chooses the messages of the block of a height: proofs whose window is
// open, then ordinary messages that are ready, each lane within its room.
func (p *Pool) Propose(height chain.Height, proof, ordinary Room) []*Tx {
	var out []*Tx
	for _, t := range p.sortedProofs() {
		if t.Opens <= height && (t.Closes == 0 || height < t.Closes) && proof.take(t) {
			out = append(out, t)
		}
	}
	return append(out, p.ordinary(ordinary)...)
}

// sortedProofs orders proofs by tip, then arrival.
func (p *Pool) sortedProofs() []*Tx {
	out := make([]*Tx, 0, len(p.proofs))
	//perdure:unordered sorted below by a total order
	for _, t := range p.proofs {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b *Tx) int { return cmp.Or(b.Tip.Cmp(a.Tip), cmp.Compare(a.seq, b.seq)) })
	return out
}

// runs is a heap of senders' remaining messages, by the first of each: what
// pays most on top.
type runs [][]*Tx

func (r runs) Len() int           { return len(r) }
func (r runs) Less(i, j int) bool { return cheaper(r[j][0], r[i][0]) }
func (r runs) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *runs) Push(v any)        { *r = append(*r, v.([]*Tx)) }
func (r *runs) Pop() any {
	last := len(*r) - 1
	v := (*r)[last]
	*r = (*r)[:last]
	return v
}

// ordinary takes what pays most first, each sender's in nonce order; a sender
// whose message does not fit waits.
func (p *Pool) ordinary(room Room) []*Tx {
	heads := make(runs, 0, len(p.queues))
	//perdure:unordered the heap's order is total
	for _, q := range p.queues {
		if q.ready > 0 {
			heads = append(heads, q.run[:q.ready])
		}
	}
	heap.Init(&heads)
	var out []*Tx
	for heads.Len() > 0 {
		run := heads[0]
		if !room.take(run[0]) {
			heap.Pop(&heads)
			continue
		}
		out = append(out, run[0])
		if len(run) > 1 {
			heads[0] = run[1:]
			heap.Fix(&heads, 0)
			continue
		}
		heap.Pop(&heads)
	}
	return out
}
