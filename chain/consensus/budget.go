package consensus

import "github.com/perdure/perdure/chain"

// The fault budget: one for each miner, for outages that it did not plan and
// maintenance that it did. A fault that the budget covers costs no fine; it earns
// nothing and ages like any other. The budget is FaultBudget percent of the
// sector-windows that the miner has proven in its last BudgetPeriods periods, so
// that neither a new miner nor the next partition of an old one has another.
//
// Both sides are counted down by 1/BudgetPeriods a period, which takes no more
// room than two numbers: what is proven at a steady rate of n a period counts for
// BudgetPeriods x n. They are kept in small parts of a sector-window, and what is
// proven is rounded down, what is used up, so that rounding is worth nothing.

// budgetParts is how many parts a Budget counts a sector-window as.
const budgetParts = 1 << 16

// aged returns a budget counted down to a period.
func (p *Params) aged(b chain.Budget, period uint64) chain.Budget {
	for ; b.Period < period && b.Proven|b.Used != 0; b.Period++ {
		b.Proven -= (b.Proven + p.BudgetPeriods - 1) / p.BudgetPeriods
		b.Used -= b.Used / p.BudgetPeriods
		if b.Used < p.BudgetPeriods {
			b.Used = 0
		}
	}
	b.Period = max(b.Period, period)
	return b
}

// budgetLeft is how many sector-windows a budget, counted down to now, still
// covers: none in a miner's first BudgetPeriods periods.
func (p *Params) budgetLeft(b *chain.Budget) uint64 {
	if b.Period < p.BudgetPeriods {
		return 0
	}
	whole := p.FaultBudget * b.Proven / 100
	return (whole - min(whole, b.Used)) / budgetParts
}

// budget is a miner's, counted down to now.
func (s *state) budget(m *chain.Miner) chain.Budget {
	now, start := uint64(s.global.Height), uint64(m.PeriodStart)
	return s.params.aged(m.Budget, (now-min(now, start))/s.params.Period())
}

// earnBudget counts sector-windows that were proven.
func (s *state) earnBudget(m *chain.Miner, proven uint64) {
	m.Budget = s.budget(m)
	m.Budget.Proven += proven * budgetParts
}

// spendBudget takes the weight of up to count faults from a miner's budget and
// returns how many it covers.
func (s *state) spendBudget(m *chain.Miner, count, weight uint64) (covered uint64) {
	m.Budget = s.budget(m)
	covered = min(count, s.params.budgetLeft(&m.Budget)/weight)
	m.Budget.Used += covered * weight * budgetParts
	return covered
}
