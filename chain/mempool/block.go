package mempool

import (
	"container/heap"

	"github.com/perdure/perdure/chain"
)

// Block is what the pool is told of a committed block.
type Block struct {
	Height   chain.Height
	BaseFee  chain.Amount              // of the next block
	Included []chain.Hash              // its messages
	Proven   []chain.Key               // replay keys of the proofs that it accepted
	Accounts map[chain.Address]Account // those that it changed; others may be left out if Waits says no
}

// Committed tells the pool of a block. What the block used up is gone, and so
// is what can never be included any more or stayed blocked for too long.
func (p *Pool) Committed(b *Block) {
	p.height, p.baseFee = b.Height, b.BaseFee
	p.dropProofs(b)
	p.weakest = p.weakest[:0]
	//perdure:unordered each sender is judged alone; the heap's order is total
	for from, q := range p.queues {
		if account, changed := b.Accounts[from]; changed {
			q.account = account
		}
		p.keepUseful(q)
		if len(q.run) == 0 {
			delete(p.queues, from)
			continue
		}
		q.place = len(p.weakest)
		p.weakest = append(p.weakest, q)
	}
	heap.Init(&p.weakest)
}

// dropProofs removes the proofs that were in the block, those of partitions
// that it proved, and those whose window is over.
func (p *Pool) dropProofs(b *Block) {
	for _, h := range b.Included {
		if t := p.byHash[h]; t != nil && t.Proof {
			p.unlist(t)
		}
	}
	for _, k := range b.Proven {
		if t := p.proofs[k]; t != nil {
			p.unlist(t)
		}
	}
	//perdure:unordered each message is judged alone, removal is by identity
	for _, t := range p.proofs {
		if t.Closes != 0 && b.Height+1 >= t.Closes {
			p.unlist(t)
		}
	}
}

// keepUseful removes what a queue's account has used up and what was blocked
// for too long.
func (p *Pool) keepUseful(q *queue) {
	used, _ := q.find(q.account.Nonce)
	for _, t := range q.run[:used] {
		p.unlist(t)
	}
	q.run = q.run[used:]
	p.judge(q)
	kept := q.run[:q.ready:q.ready]
	for _, t := range q.run[q.ready:] {
		if t.blocked-1+chain.Height(p.limits.Patience) <= p.height {
			p.unlist(t)
			continue
		}
		kept = append(kept, t)
	}
	q.run = kept
}

// LeftOut counts the window proofs that the newest block should have had: they
// waited here for a block before it, and their windows were open for it.
func (p *Pool) LeftOut() int {
	left := 0
	//perdure:unordered a count
	for _, t := range p.proofs {
		if t.Opens < p.height && t.since+1 < p.height {
			left++
		}
	}
	return left
}

// Proofs counts the window proofs that the next block may have.
func (p *Pool) Proofs() int {
	open := 0
	//perdure:unordered a count
	for _, t := range p.proofs {
		if t.Opens <= p.height+1 {
			open++
		}
	}
	return open
}
