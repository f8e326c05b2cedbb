package mempool

import (
	"slices"

	"github.com/perdure/perdure/chain"
)

// queue is what waits of one sender's ordinary messages.
type queue struct {
	account Account
	run     []*Tx // by nonce
	ready   int   // how many of run, from its start, are ready
	place   int   // in the pool's weakest
}

// find returns where a nonce stands in the run or would stand.
func (q *queue) find(nonce uint64) (at int, found bool) {
	return slices.BinarySearchFunc(q.run, nonce, func(t *Tx, n uint64) int {
		switch {
		case t.Nonce < n:
			return -1
		case t.Nonce > n:
			return 1
		}
		return 0
	})
}

// last is the message that goes first if one must go.
func (q *queue) last() *Tx { return q.run[len(q.run)-1] }

// weaker reports whether q's last message goes before o's: blocked ones first,
// then what pays less.
func (q *queue) weaker(o *queue) bool {
	if blocked := q.ready < len(q.run); blocked != (o.ready < len(o.run)) {
		return blocked
	}
	return cheaper(q.last(), o.last())
}

// cheaper is the fee order of ordinary messages: what they pay beyond the base
// fee per byte and unit, then arrival.
func cheaper(a, b *Tx) bool {
	x, errX := a.Tip.Mul(b.Size + b.Units)
	y, errY := b.Tip.Mul(a.Size + a.Units)
	if errX == nil && errY == nil && x != y {
		return x.Less(y)
	}
	return a.seq > b.seq
}

// weakest is a heap of queues: the one whose last message goes first on top.
type weakest []*queue

func (w weakest) Len() int           { return len(w) }
func (w weakest) Less(i, j int) bool { return w[i].weaker(w[j]) }
func (w weakest) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].place, w[j].place = i, j
}
func (w *weakest) Push(v any) {
	q := v.(*queue)
	q.place = len(*w)
	*w = append(*w, q)
}
func (w *weakest) Pop() any {
	last := len(*w) - 1
	q := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	return q
}

// fee is what a message costs in the next block. Until the pool is told of a
// block, it is what admission found.
func (p *Pool) fee(t *Tx) (chain.Amount, error) {
	if t.Proof || p.baseFee.IsZero() {
		return t.Fee, nil
	}
	base, err := p.baseFee.Mul(t.Size + t.Units)
	if err != nil {
		return chain.Amount{}, err
	}
	return base.Add(t.Tip)
}

// pay takes from a balance what a message takes: its fee and what it spends.
// It reports false if the balance or the message's MaxFee is too small.
func (p *Pool) pay(t *Tx, free chain.Amount) (left chain.Amount, ok bool) {
	fee, err := p.fee(t)
	if err != nil || t.MaxFee.Less(fee) {
		return free, false
	}
	if left, err = free.Sub(fee); err != nil {
		return free, false
	}
	if left, err = left.Sub(t.Spend); err != nil {
		return free, false
	}
	return left, true
}

// judge finds out which messages of a queue are ready.
func (p *Pool) judge(q *queue) {
	q.ready = 0
	left, ok := q.account.Free, true
	for i, t := range q.run {
		if ok = ok && t.Nonce == q.account.Nonce+uint64(i); ok {
			left, ok = p.pay(t, left)
		}
		switch {
		case ok:
			q.ready, t.blocked = i+1, 0
		case t.blocked == 0:
			t.blocked = p.height + 1
		}
	}
}

// affordable reports whether the account pays for t and what waits before it.
func (p *Pool) affordable(t *Tx, q *queue, free chain.Amount) bool {
	left := free
	if q != nil {
		at, _ := q.find(t.Nonce)
		for _, o := range q.run[:at] {
			var ok bool
			if left, ok = p.pay(o, left); !ok {
				return false
			}
		}
	}
	_, ok := p.pay(t, left)
	return ok
}
