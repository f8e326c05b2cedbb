package explorer

import (
	"sync"

	"github.com/perdure/perdure/chain"
)

// maxAnswers bounds the bytes of answers that are kept until the next block.
const maxAnswers = 16 << 20

// answers are those that were given since the newest block, by the addresses
// that were asked: whoever asks the same again gets the same.
type answers struct {
	mu     sync.Mutex
	height chain.Height
	tag    string // of the chain that they speak of
	by     map[string]*kept
	size   int
}

// kept is an answer, or the place of one that somebody is making: who holds mu.
type kept struct {
	mu       sync.Mutex
	delivery *Delivery // nil: not made yet
	own      bool      // each that asks gets another
}

// place is where an answer is kept, or nil if there is no room for it, or the
// chain has gone on.
func (a *answers) place(h chain.Height, tag, address string) *kept {
	a.mu.Lock()
	defer a.mu.Unlock()
	if h < a.height {
		return nil
	}
	if a.tag != tag {
		a.height, a.tag, a.by, a.size = h, tag, map[string]*kept{}, 0
	}
	if one := a.by[address]; one != nil {
		return one
	}
	if a.size >= maxAnswers {
		return nil
	}
	one := new(kept)
	a.by[address] = one
	a.size += len(address) + 256
	return one
}

// grew counts an answer that was made.
func (a *answers) grew(tag string, d *Delivery) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tag == tag {
		a.size += 2 * len(d.Body) // its compressed forms are smaller
	}
}
