package mempool

import (
	"container/heap"
	"slices"

	"github.com/perdure/perdure/chain"
)

// Pool holds the messages that wait. It is not safe for concurrent use.
type Pool struct {
	limits  Limits
	height  chain.Height // of the newest block that it was told of
	baseFee chain.Amount // of the next one; zero: not told yet

	byHash  map[chain.Hash]*Tx
	queues  map[chain.Address]*queue // ordinary messages by sender
	weakest weakest                  // the same queues
	proofs  map[chain.Key]*Tx        // window proofs by replay key
	payers  map[chain.Address]uint64 // how many proofs each pays for
	lines   [lines]line
	bytes   uint64
	seq     uint64
}

// New returns an empty pool.
func New(l Limits) *Pool {
	return &Pool{limits: l, byHash: map[chain.Hash]*Tx{}, queues: map[chain.Address]*queue{},
		proofs: map[chain.Key]*Tx{}, payers: map[chain.Address]uint64{}}
}

// Len is the number of waiting messages.
func (p *Pool) Len() int { return len(p.byHash) }

// Bytes is their size together.
func (p *Pool) Bytes() uint64 { return p.bytes }

// Has reports whether a message waits.
func (p *Pool) Has(h chain.Hash) bool { return p.byHash[h] != nil }

// Get returns a waiting message, or nil.
func (p *Pool) Get(h chain.Hash) *Tx { return p.byHash[h] }

// Waits reports whether an ordinary message of a sender waits.
func (p *Pool) Waits(from chain.Address) bool { return p.queues[from] != nil }

// Pending is the nonce after a sender's run of waiting messages that starts at next.
func (p *Pool) Pending(from chain.Address, next uint64) uint64 {
	if q := p.queues[from]; q != nil {
		for _, t := range q.run {
			if t.Nonce == next {
				next++
			}
		}
	}
	return next
}

// Add takes a message in; payer is the account of an ordinary one's sender. It
// may push out another of the same nonce or partition or, when the pool is
// full, the weakest ones.
func (p *Pool) Add(t *Tx, payer Account) error {
	if p.Has(t.Hash) {
		return ErrKnown
	}
	old := p.rival(t)
	if old != nil && !p.outbids(t, old) {
		return ErrUnderpriced
	}
	if err := p.checkSender(t, payer, old != nil); err != nil {
		return err
	}
	if old != nil {
		p.remove(old)
	}
	p.seq++
	t.seq, t.since = p.seq, p.height
	p.insert(t, payer)
	gone, fits := p.makeRoom(t)
	if fits {
		return nil
	}
	p.remove(t)
	for _, back := range gone {
		p.insert(back, p.accountOf(back, payer))
	}
	if old != nil {
		p.insert(old, payer)
	}
	return ErrFull
}

// accountOf is what the pool knows of a sender, or else.
func (p *Pool) accountOf(t *Tx, or Account) Account {
	if q := p.queues[t.From]; q != nil {
		return q.account
	}
	return or
}

// rival is the message whose nonce or partition t wants.
func (p *Pool) rival(t *Tx) *Tx {
	if t.Proof {
		return p.proofs[t.Replay]
	}
	if q := p.queues[t.From]; q != nil {
		if at, found := q.find(t.Nonce); found {
			return q.run[at]
		}
	}
	return nil
}

// outbids reports whether t pays at least a tenth more than old.
func (p *Pool) outbids(t, old *Tx) bool {
	fee, err := p.fee(t)
	if err != nil {
		return false
	}
	least, err := p.fee(old)
	if err != nil {
		return true
	}
	least, err = least.MulDivCeil(11, 10)
	return err == nil && !fee.Less(least)
}

func (p *Pool) checkSender(t *Tx, payer Account, replaces bool) error {
	if t.Proof {
		if !replaces && p.payers[t.Payer] >= p.limits.PerSender {
			return ErrSender
		}
		return nil
	}
	q := p.queues[t.From]
	switch {
	case t.Nonce >= payer.Nonce+p.limits.PerSender:
		return ErrGap
	case !replaces && q != nil && uint64(len(q.run)) >= p.limits.PerSender:
		return ErrSender
	case !p.affordable(t, q, payer.Free):
		return ErrUnfunded
	}
	return nil
}

// maxVictims is the most messages that one may push out.
const maxVictims = 64

// makeRoom removes the weakest ordinary messages until what is left fits. It
// reports false if t itself would have to go. Proofs are never pushed out:
// their number is bounded by the chain.
func (p *Pool) makeRoom(t *Tx) (gone []*Tx, fits bool) {
	for p.bytes > p.limits.Bytes || uint64(len(p.byHash)) > p.limits.Count {
		if len(p.weakest) == 0 || len(gone) == maxVictims {
			return gone, false
		}
		v := p.weakest[0].last()
		if v == t {
			return gone, false
		}
		p.remove(v)
		gone = append(gone, v)
	}
	return gone, true
}

func (p *Pool) insert(t *Tx, payer Account) {
	p.byHash[t.Hash] = t
	p.bytes += t.Size
	p.queueGossip(t)
	if t.Proof {
		p.proofs[t.Replay] = t
		p.payers[t.Payer]++
		return
	}
	q := p.queues[t.From]
	if q == nil {
		q = &queue{run: []*Tx{t}, account: payer}
		p.queues[t.From] = q
		p.judge(q)
		heap.Push(&p.weakest, q)
		return
	}
	at, _ := q.find(t.Nonce)
	q.run, q.account = slices.Insert(q.run, at, t), payer
	p.judge(q)
	heap.Fix(&p.weakest, q.place)
}

func (p *Pool) remove(t *Tx) {
	if t.Proof {
		p.unlist(t)
		return
	}
	at, _ := p.queues[t.From].find(t.Nonce)
	p.cut(t.From, at, at+1)
}

// cut removes a stretch of a sender's messages.
func (p *Pool) cut(from chain.Address, at, end int) {
	q := p.queues[from]
	for _, t := range q.run[at:end] {
		p.unlist(t)
	}
	if q.run = slices.Delete(q.run, at, end); len(q.run) == 0 {
		heap.Remove(&p.weakest, q.place)
		delete(p.queues, from)
		return
	}
	p.judge(q)
	heap.Fix(&p.weakest, q.place)
}

// unlist removes a message from everything but its sender's queue.
func (p *Pool) unlist(t *Tx) {
	delete(p.byHash, t.Hash)
	p.bytes -= t.Size
	t.line.Remove(t.at)
	if !t.Proof {
		return
	}
	delete(p.proofs, t.Replay)
	if p.payers[t.Payer]--; p.payers[t.Payer] == 0 {
		delete(p.payers, t.Payer)
	}
}

// Drop forgets a message that can have no effect, if it waits, and all of its
// sender's that come after it: they cannot have any before it.
func (p *Pool) Drop(h chain.Hash) {
	t := p.byHash[h]
	switch {
	case t == nil:
	case t.Proof:
		p.unlist(t)
	default:
		q := p.queues[t.From]
		at, _ := q.find(t.Nonce)
		p.cut(t.From, at, len(q.run))
	}
}
