package mempool

import (
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
// open, then ordinary messages, each lane within its room.
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
	var out []*Tx
	//perdure:unordered sorted below by a total order
	for _, t := range p.byHash {
		if t.Proof {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b *Tx) int {
		if c := b.Tip.Cmp(a.Tip); c != 0 {
			return c
		}
		if a.seq < b.seq {
			return -1
		}
		return 1
	})
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
// whose turn has not come, or whose message does not fit, waits.
func (p *Pool) ordinary(room Room) []*Tx {
	var heads runs
	//perdure:unordered the heap's order is total
	for _, run := range p.senders {
		if run[0].Nonce == run[0].Next {
			heads = append(heads, run)
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
		if len(run) > 1 && run[1].Nonce == run[0].Nonce+1 {
			heads[0] = run[1:]
			heap.Fix(&heads, 0)
			continue
		}
		heap.Pop(&heads)
	}
	return out
}

// Gossip returns what peers should be given now, at most maxBytes: each message
// once, then again until it is included, proofs every few blocks, others less
// often: a peer that was a block behind may have refused it.
func (p *Pool) Gossip(height chain.Height, maxBytes uint64) []*Tx {
	var out []*Tx
	due := p.due(height)
	for _, t := range due {
		if t.Size > maxBytes {
			continue
		}
		maxBytes -= t.Size
		t.gossiped = height + 1
		out = append(out, t)
	}
	return out
}

// rareness is how much longer than a proof an ordinary message waits for its
// next gossip.
const rareness = 4

func (p *Pool) due(height chain.Height) []*Tx {
	var out []*Tx
	//perdure:unordered sorted below by arrival
	for _, t := range p.byHash {
		pause := p.limits.Again
		if !t.Proof {
			pause *= rareness
		}
		again := uint64(height+1) >= uint64(t.gossiped)+pause
		if t.gossiped == 0 || again {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b *Tx) int {
		if a.Proof != b.Proof {
			if a.Proof {
				return -1
			}
			return 1
		}
		if a.seq < b.seq {
			return -1
		}
		return 1
	})
	return out
}
