package mempool

import (
	"container/list"

	"github.com/perdure/perdure/chain"
)

// line holds messages in the order in which peers are to be given them.
type line = list.List

// The lines, in the order in which Gossip serves them. The second of each kind
// holds what was given before.
const (
	lineProofs = iota
	lineProofsAgain
	lineOthers
	lineOthersAgain
	lines
)

// queueGossip puts a message into the line that it belongs to.
func (p *Pool) queueGossip(t *Tx) {
	n := lineOthers
	if t.Proof {
		n = lineProofs
	}
	if t.due > 0 {
		n++
	}
	t.line = &p.lines[n]
	t.at = t.line.PushBack(t)
}

// rareness is how much longer than a proof an ordinary message waits for its
// next gossip.
const rareness = 4

// Gossip returns what peers should be given now, at most maxBytes or else one
// message: each once, then again until it is included, proofs every few blocks,
// others less often: a peer that was a block behind may have refused it. Its
// work is that of what it returns.
func (p *Pool) Gossip(height chain.Height, maxBytes uint64) []*Tx {
	var out []*Tx
	for i := range p.lines {
		l := &p.lines[i]
		for l.Len() > 0 {
			t := l.Front().Value.(*Tx)
			if t.due > height || t.Size > maxBytes && len(out) > 0 {
				break
			}
			maxBytes -= min(t.Size, maxBytes)
			l.Remove(t.at)
			pause := p.limits.Again
			if !t.Proof {
				pause *= rareness
			}
			t.due = height + chain.Height(max(pause, 1))
			p.queueGossip(t)
			out = append(out, t)
		}
	}
	return out
}
