package explorer

import (
	"hash/maphash"
	"sync"

	"github.com/perdure/perdure/chain"
)

// maxAnswers bounds the bytes of answers that are kept until the next block.
const maxAnswers = 16 << 20

// maxAsked bounds the addresses that are remembered as asked for.
const maxAsked = 1 << 16

// answers are those that were given since the newest block to what is asked more
// than once, by the addresses that were asked: whoever asks the same again gets the
// same. What nobody asks twice, such as most deals and messages, would only take the
// room of the pages that everybody opens.
type answers struct {
	mu     sync.Mutex
	height chain.Height
	tag    string // of the chain that they speak of
	by     map[string]*kept
	size   int

	asked, before map[uint64]struct{} // hashes of the addresses asked for since the newest block, and since the one before until it
}

var askedSeed = maphash.MakeSeed()

// kept is an answer, or the place of one that somebody is making: who holds mu.
type kept struct {
	mu       sync.Mutex
	delivery *Delivery // nil: not made yet
	own      bool      // each that asks gets another
}

// place is where an answer is kept, or nil if nobody asked for it before, if there
// is no room for it, or if the chain has gone on.
func (a *answers) place(h chain.Height, tag, address string) *kept {
	hash := maphash.String(askedSeed, address)
	a.mu.Lock()
	defer a.mu.Unlock()
	if h < a.height {
		return nil
	}
	if a.asked == nil || h != a.height {
		a.asked, a.before = map[uint64]struct{}{}, a.asked
	}
	if a.tag != tag {
		a.height, a.tag, a.by, a.size = h, tag, map[string]*kept{}, 0
	}
	again := a.again(hash)
	if one := a.by[address]; one != nil {
		return one
	}
	if !again || a.size >= maxAnswers {
		return nil
	}
	one := new(kept)
	a.by[address] = one
	a.size += len(address) + 256
	return one
}

// again reports whether an address was asked for before, and remembers it.
func (a *answers) again(hash uint64) bool {
	if _, ok := a.asked[hash]; ok {
		return true
	}
	if len(a.asked) < maxAsked {
		a.asked[hash] = struct{}{}
	}
	_, ok := a.before[hash]
	return ok
}

// grew counts an answer that was made.
func (a *answers) grew(tag string, d *Delivery) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tag == tag {
		a.size += 2 * len(d.Body) // its compressed forms are smaller
	}
}
