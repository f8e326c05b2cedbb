package buyer

import (
	"sync"

	"github.com/perdure/perdure/chain"
)

// Budget bounds what fetches may spend together. Sessions beside each other set
// aside what the blocks that they ask for will cost, so that they cannot
// overrun it between them. A nil Budget has no bound.
type Budget struct {
	mu    sync.Mutex
	most  chain.Amount
	spent chain.Amount
	aside chain.Amount // for blocks on their way
}

// NewBudget makes a budget of at most attoPDR; zero has no bound.
func NewBudget(most chain.Amount) *Budget {
	if most.IsZero() {
		return nil
	}
	return &Budget{most: most}
}

// Spent is what was paid so far, in attoPDR.
func (b *Budget) Spent() chain.Amount {
	if b == nil {
		return chain.Amount{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spent
}

// left is what was not spent yet; bounded is false if there is no bound.
func (b *Budget) left() (left chain.Amount, bounded bool) {
	if b == nil {
		return left, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	left, _ = b.most.Sub(b.spent.Min(b.most))
	return left, true
}

// reserve sets an amount aside if it is neither spent nor set aside yet.
func (b *Budget) reserve(amount chain.Amount) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	sum, err := chain.Sum(b.spent, b.aside, amount)
	if err != nil || b.most.Less(sum) {
		return false
	}
	b.aside, _ = b.aside.Add(amount)
	return true
}

// release gives back what was set aside and not spent.
func (b *Budget) release(amount chain.Amount) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.aside, _ = b.aside.Sub(amount.Min(b.aside))
}

// idle reports whether nothing is set aside: what cannot be reserved now never
// can.
func (b *Budget) idle() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.aside.IsZero()
}

// spend takes an amount, first from what its owner set aside; it is refused
// where it goes beyond the budget.
func (b *Budget) spend(amount, aside chain.Amount) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	others, err := b.aside.Sub(aside.Min(b.aside))
	if err != nil {
		return false
	}
	sum, err := chain.Sum(b.spent, others, amount)
	if err != nil || b.most.Less(sum) {
		return false
	}
	b.spent, _ = b.spent.Add(amount)
	b.aside = others
	return true
}
