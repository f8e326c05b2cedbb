package buyer

import (
	"slices"
	"sync"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
)

// tally counts what a fetch gets and pays, over all of its sessions.
type tally struct {
	budget *Budget
	notify func(Stats)

	mu     sync.Mutex
	stats  Stats
	atoned map[int]bool // by seat

	telling sync.Mutex // one call of notify at a time
}

// seat is where a peer's numbers stand.
func (t *tally) seat(peer string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.stats.Sellers, func(s SellerStats) bool { return s.Peer == peer })
	if i < 0 {
		t.stats.Sellers = append(t.stats.Sellers, SellerStats{Peer: peer})
		i = len(t.stats.Sellers) - 1
	}
	return i
}

// peer is whose numbers stand in a seat.
func (t *tally) peer(seat int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stats.Sellers[seat].Peer
}

// seller changes a peer's numbers.
func (t *tally) seller(seat int, change func(*SellerStats)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.stats.Sellers[seat])
}

// kept counts a block that was handed on.
func (t *tally) kept(bytes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.Blocks++
	t.stats.Bytes += uint64(bytes)
}

// came counts a chunk.
func (t *tally) came(seat int, bytes uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.Chunks++
	t.stats.Sellers[seat].Chunks++
	t.stats.Sellers[seat].Bytes += bytes
}

// paid counts a payment for one chunk.
func (t *tally) paid(seat int, price chain.Amount) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.Paid++
	of := &t.stats.Sellers[seat]
	of.Paid++
	for _, sum := range []*chain.Amount{&t.stats.Spent, &of.Spent} {
		if more, err := sum.Add(price); err == nil {
			*sum = more
		}
	}
}

// unsealed counts a payment for unsealing.
func (t *tally) unsealed(seat int, cost chain.Amount) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := &t.stats.Sellers[seat]
	for _, sum := range []*chain.Amount{&t.stats.Spent, &of.Spent, &of.Unsealing} {
		if more, err := sum.Add(cost); err == nil {
			*sum = more
		}
	}
}

// atone says whether what earlier sessions left unpaid may be paid to a peer: once.
func (t *tally) atone(seat int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.atoned == nil {
		t.atoned = map[int]bool{}
	}
	first := !t.atoned[seat]
	t.atoned[seat] = true
	return first
}

// snapshot is a copy of the numbers.
func (t *tally) snapshot() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	st := t.stats
	st.Sellers = slices.Clone(st.Sellers)
	return st
}

// progress tells who wants to know.
func (t *tally) progress() {
	if t.notify == nil {
		return
	}
	t.telling.Lock()
	defer t.telling.Unlock()
	t.notify(t.snapshot())
}

// affordable is how many of chunks chunks, and of those that a voucher may have,
// the budget still pays; 0: none.
func (t *tally) affordable(price chain.Amount, chunks uint64) uint64 {
	chunks = min(chunks, chain.MaxTicks)
	left, bounded := t.budget.left()
	if !bounded {
		return chunks
	}
	for n := chunks; n > 0; n /= 2 {
		if cost, err := retrieval.Cost(price, n); err == nil && !left.Less(cost) {
			return n
		}
	}
	return 0
}
