package mempool

import (
	"slices"

	"github.com/perdure/perdure/chain"
)

// Pool holds the messages that wait. It is not safe for concurrent use.
type Pool struct {
	limits  Limits
	byHash  map[chain.Hash]*Tx
	bySlot  map[slot]*Tx
	senders map[chain.Address][]*Tx // ordinary messages by nonce
	proofs  map[chain.Address]uint64
	bytes   uint64
	seq     uint64
}

// New returns an empty pool.
func New(l Limits) *Pool {
	return &Pool{limits: l, byHash: map[chain.Hash]*Tx{}, bySlot: map[slot]*Tx{},
		senders: map[chain.Address][]*Tx{}, proofs: map[chain.Address]uint64{}}
}

// Len is the number of waiting messages.
func (p *Pool) Len() int { return len(p.byHash) }

// Bytes is their size together.
func (p *Pool) Bytes() uint64 { return p.bytes }

// Has reports whether a message waits.
func (p *Pool) Has(h chain.Hash) bool { return p.byHash[h] != nil }

// Pending is the nonce after a sender's run of waiting messages that starts at next.
func (p *Pool) Pending(from chain.Address, next uint64) uint64 {
	for _, t := range p.senders[from] {
		if t.Nonce == next {
			next++
		}
	}
	return next
}

// Add takes a message in. It may push out another of the same slot or, when
// the pool is full, the ones that pay least.
func (p *Pool) Add(t *Tx) error {
	if p.Has(t.Hash) {
		return ErrKnown
	}
	old := p.bySlot[t.slot()]
	if old != nil && !outbids(t, old) {
		return ErrUnderpriced
	}
	if err := p.checkSender(t, old != nil); err != nil {
		return err
	}
	t.seq = p.seq + 1 // before any comparison: on a tie the older one stays
	victims, err := p.makeRoom(t, old)
	if err != nil {
		return err
	}
	for _, v := range victims {
		p.remove(v)
	}
	p.seq = t.seq
	p.insert(t)
	return nil
}

// outbids reports whether t pays at least a tenth more than old.
func outbids(t, old *Tx) bool {
	least, err := old.Fee.MulDivCeil(11, 10)
	return err == nil && !t.Fee.Less(least)
}

func (p *Pool) checkSender(t *Tx, replaces bool) error {
	if t.Proof {
		if !replaces && p.proofs[t.Payer] >= p.limits.PerSender {
			return ErrSender
		}
		return nil
	}
	if t.Nonce >= t.Next+p.limits.PerSender {
		return ErrGap
	}
	if !replaces && uint64(len(p.senders[t.From])) >= p.limits.PerSender {
		return ErrSender
	}
	return nil
}

// makeRoom chooses what must go for t: the message that it replaces and, if
// the pool is full, the cheapest ones at the end of their senders' runs.
func (p *Pool) makeRoom(t, old *Tx) ([]*Tx, error) {
	var victims []*Tx
	bytes, count := p.bytes+t.Size, uint64(len(p.byHash))+1
	if old != nil {
		victims = append(victims, old)
		bytes, count = bytes-old.Size, count-1
	}
	if bytes <= p.limits.Bytes && count <= p.limits.Count {
		return victims, nil
	}
	for bytes > p.limits.Bytes || count > p.limits.Count {
		v := p.cheapest(t, victims)
		if v == nil || len(victims) == maxVictims {
			return nil, ErrFull
		}
		victims = append(victims, v)
		bytes, count = bytes-v.Size, count-1
	}
	return victims, nil
}

// maxVictims is the most messages that one may push out.
const maxVictims = 64

// cheapest returns, of the last ordinary messages of all other senders, the one
// that pays least, if it pays less than t. Proofs are never pushed out: their
// number is bounded by the chain.
func (p *Pool) cheapest(t *Tx, chosen []*Tx) *Tx {
	var least *Tx
	//perdure:unordered the minimum of a total order
	for _, run := range p.senders {
		v := run[len(run)-1]
		if v.From == t.From && !t.Proof || slices.Contains(chosen, v) {
			continue
		}
		if least == nil || cheaper(v, least) {
			least = v
		}
	}
	if least == nil || !t.Proof && !cheaper(least, t) {
		return nil
	}
	return least
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

func (p *Pool) insert(t *Tx) {
	p.byHash[t.Hash], p.bySlot[t.slot()] = t, t
	p.bytes += t.Size
	if t.Proof {
		p.proofs[t.Payer]++
		return
	}
	run := p.senders[t.From]
	at, _ := slices.BinarySearchFunc(run, t.Nonce, func(t *Tx, n uint64) int {
		switch {
		case t.Nonce < n:
			return -1
		case t.Nonce > n:
			return 1
		}
		return 0
	})
	p.senders[t.From] = slices.Insert(run, at, t)
}

func (p *Pool) remove(t *Tx) {
	delete(p.byHash, t.Hash)
	delete(p.bySlot, t.slot())
	p.bytes -= t.Size
	if t.Proof {
		if p.proofs[t.Payer]--; p.proofs[t.Payer] == 0 {
			delete(p.proofs, t.Payer)
		}
		return
	}
	run := slices.DeleteFunc(p.senders[t.From], func(o *Tx) bool { return o == t })
	if len(run) == 0 {
		delete(p.senders, t.From)
		return
	}
	p.senders[t.From] = run
}

// Remove forgets a message, if it waits.
func (p *Pool) Remove(h chain.Hash) {
	if t := p.byHash[h]; t != nil {
		p.remove(t)
	}
}

// Committed tells the pool of a block: what it included is gone, and so is what
// can never be included any more. next returns an account's next nonce.
func (p *Pool) Committed(height chain.Height, included []chain.Hash, next func(chain.Address) uint64) {
	for _, h := range included {
		p.Remove(h)
	}
	var gone []*Tx
	//perdure:unordered each message is judged alone, removal is by identity
	for _, t := range p.byHash {
		if t.Proof && t.Closes != 0 && height+1 >= t.Closes {
			gone = append(gone, t)
		}
	}
	//perdure:unordered each sender is judged alone, removal is by identity
	for from, run := range p.senders {
		turn := next(from)
		for _, t := range run {
			if t.Next = turn; t.Nonce < turn {
				gone = append(gone, t)
			}
		}
	}
	for _, t := range gone {
		p.remove(t)
	}
}
