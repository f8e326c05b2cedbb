package consensus

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/perdure/perdure/chain"
)

// TestBudgetAgainstBig counts a budget down by the formula in exact numbers.
func TestBudgetAgainstBig(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := testParams()
		p.BudgetPeriods = rapid.Uint64Range(1, 50).Draw(rt, "periods")
		p.FaultBudget = rapid.Uint64Range(0, 50).Draw(rt, "percent")
		n := new(big.Int).SetUint64(p.BudgetPeriods)
		proven, used, b := new(big.Int), new(big.Int), chain.Budget{}
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			for range rapid.Uint64Range(0, 5).Draw(rt, "later") {
				b = p.aged(b, b.Period+1)
				loss := new(big.Int).Add(proven, new(big.Int).Sub(n, big.NewInt(1)))
				proven.Sub(proven, loss.Div(loss, n))
				if used.Sub(used, new(big.Int).Div(used, n)); used.Cmp(n) < 0 {
					used.SetInt64(0)
				}
			}
			more := rapid.Uint64Range(0, 1<<36).Draw(rt, "proven")
			b.Proven += more * budgetParts
			proven.Add(proven, new(big.Int).Lsh(new(big.Int).SetUint64(more), 16))
			left := new(big.Int).Mul(proven, new(big.Int).SetUint64(p.FaultBudget))
			if left.Div(left, big.NewInt(100)).Sub(left, used); left.Sign() > 0 {
				left.Rsh(left, 16)
			}
			if left.Sign() < 0 || b.Period < p.BudgetPeriods {
				left.SetInt64(0)
			}
			if got := p.budgetLeft(&b); !left.IsUint64() || left.Uint64() != got {
				rt.Fatalf("%+v: %d left, want %s", b, got, left)
			}
			spent := rapid.Uint64Range(0, min(left.Uint64(), 1<<40)).Draw(rt, "used")
			b.Used += spent * budgetParts
			used.Add(used, new(big.Int).Lsh(new(big.Int).SetUint64(spent), 16))
		}
		if b.Proven != proven.Uint64() || b.Used != used.Uint64() {
			rt.Fatalf("%+v, want %s proven and %s used", b, proven, used)
		}
		later := b.Period + 4000 // everything is forgotten in the end
		if b = p.aged(b, later); b != (chain.Budget{Period: later}) {
			rt.Fatalf("long after: %+v", b)
		}
	})
}

// budgetNetwork is a miner with a partition of sectors in each deadline that has
// proven everything for some periods.
func budgetNetwork(t *testing.T, p *Params, sectors uint64, periods int) *network {
	t.Helper()
	n := minerNetwork(t, p, fakeVerifier{}, 2<<10)
	n.sealSectors(1, sectors)
	n.commitSectors(1, sectors)
	n.advanceTo(n.miner().PeriodStart - 1)
	for range periods * int(p.Deadlines) {
		n.proveWindow(nil)
	}
	return n
}

// proveWindow goes through one window, proving every sector but those in skip's
// partitions, by deadline and index.
func (n *network) proveWindow(skip func(deadline, index uint64) bool) []Event {
	n.t.Helper()
	m := n.miner()
	open, _ := n.params.Schedule().At(uint64(m.PeriodStart), uint64(n.height+1))
	var proofs [][]byte
	for i, proof := range n.proofs() {
		part := n.partitionOf(n.t, open.Index, uint64(i))
		if part.Provable() != 0 && (skip == nil || !skip(open.Index, uint64(i))) {
			proofs = append(proofs, proof)
		}
	}
	events := n.mustAll(proofs...).Events
	return append(events, n.advance(int(n.params.Window)-1)...)
}

// recoverAll declares the recovery of every sector that is faulty.
func (n *network) recoverAll() {
	n.t.Helper()
	var faulty []uint64
	each(n, chain.TableSector, func(_ chain.Key, s *chain.Sector) {
		if s.State == chain.SectorFaulty {
			faulty = append(faulty, s.Number)
		}
	})
	if len(faulty) > 0 {
		n.block(n.message("worker", 0, &chain.DeclareRecoveries{Miner: chain.FirstMinerID, Sectors: faulty}))
	}
}

// TestBudgetCannotBeFarmed lets one partition after another go unproven: what
// the budget covers in all stays within its share of what the miner has proven,
// as if it were always the same partition; a new miner has none.
func TestBudgetCannotBeFarmed(t *testing.T) {
	p := testParams()
	p.BudgetPeriods, p.FaultBudget, p.FaultMaxAge, p.StateRetention, p.EndedRetention = 4, 20, 1_000, 100_000, 100_001
	standing, err := chain.PerGiB(p.StandingFee, 2<<10)
	must(t, err)
	covered := func(skip func(period int) func(deadline, index uint64) bool) (weight, proven uint64) {
		n := budgetNetwork(t, p, 96, 6)
		proven = 6 * 96
		for period := range 12 {
			n.recoverAll()
			for range p.Deadlines {
				for _, e := range n.proveWindow(skip(period)) {
					switch {
					case e.Kind == EventSectorProven:
						proven++
					case e.Kind == EventSectorFaulty && e.Amount.IsZero():
						weight += gradeMissed.weight()
					case e.Kind == EventSectorsFined:
						weight += e.Index - new(big.Int).Div(e.Amount.Big(), standing.Big()).Uint64()
					}
				}
			}
		}
		return weight, proven
	}
	one, provenOne := covered(func(int) func(uint64, uint64) bool { return func(d, _ uint64) bool { return d == 0 } })
	other, provenAll := covered(func(period int) func(uint64, uint64) bool {
		return func(d, _ uint64) bool { return d == uint64(period)%3 }
	})
	if one == 0 || other == 0 {
		t.Fatalf("the budget covered %d and %d: it does nothing", one, other)
	}
	if 100*one > p.FaultBudget*provenOne || 100*other > p.FaultBudget*provenAll {
		t.Errorf("the budget covered %d of %d and %d of %d sector-windows, more than %d percent", one, provenOne, other, provenAll, p.FaultBudget)
	}
	fresh := budgetNetwork(t, p, 96, 1)
	for _, e := range fresh.proveWindow(func(uint64, uint64) bool { return true }) {
		if e.Kind == EventSectorFaulty && e.Amount.IsZero() {
			t.Fatalf("a new miner's fault cost nothing: %+v", e)
		}
	}
}

// lostBy is what a fault of sector 1 of a grade costs until the window that it
// is not proven in closes: fines, and budget. n is left as it is.
func lostBy(t *testing.T, n *network, g grade) (fines chain.Amount, budget uint64) {
	t.Helper()
	n = n.fork(t)
	m, sec := n.miner(), n.sector(1)
	next, _ := n.params.Schedule().Next(uint64(m.PeriodStart), sec.Deadline, uint64(n.height))
	var total sum
	charged := func(events []Event) {
		for _, e := range events {
			if e.Kind == EventSectorFaulty || e.Kind == EventSectorsFined {
				total.add(t, e.Amount)
			}
		}
	}
	proof := &chain.SubmitWindowProof{Miner: m.ID, Period: next.Period, Deadline: next.Index, Proof: []byte("ok")}
	switch g {
	case gradeDeclared:
		n.mustAll(n.message("worker", 0, &chain.DeclareFaults{Miner: m.ID, Sectors: []uint64{1}}))
	case gradeLate:
		n.advanceTo(chain.Height(next.Cutoff))
		charged(n.mustAll(n.message("worker", 0, &chain.DeclareFaults{Miner: m.ID, Sectors: []uint64{1}})).Events)
	case gradeSkipped:
		proof.Skipped = slotBit(&sec)
	}
	n.advanceTo(chain.Height(next.Open) - 1)
	if g != gradeMissed {
		charged(n.mustAll(n.message("worker", 0, proof)).Events)
	}
	charged(n.advanceTo(chain.Height(next.Close) - 1))
	after := n.miner()
	if sec = n.sector(1); sec.State != chain.SectorFaulty {
		t.Fatalf("a fault %s left sector 1 %s", g, sec.State)
	}
	if lost, err := m.Balance.Sub(after.Balance); err != nil || lost.Less(total.total) && after.Debt.IsZero() {
		t.Fatalf("a fault %s cost %s, the miner has lost %s and owes nothing", g, total.total, lost)
	}
	return total.total, n.params.aged(after.Budget, next.Period+2).Used
}

// TestGradesCostMore: with money, without, and with a budget that covers it, a
// fault declared in time costs less than one skipped, which costs as much as one
// declared late, which costs less than a missed window.
func TestGradesCostMore(t *testing.T) {
	p := testParams()
	p.StandingFee, p.SkipFee, p.FaultFee = chain.PDR(1<<19), chain.PDR(1<<20), chain.PDR(1<<21) // 1, 2 and 4 PDR a sector
	p.SectorPledge = chain.PDR(1 << 24)                                                         // 32 PDR: more than any fine
	p.BudgetPeriods, p.StateRetention, p.EndedRetention = 4, 100_000, 100_001
	for name, c := range map[string]struct {
		keep    chain.Amount // balance that is left; zero: all
		periods int
		percent uint64
		sectors uint64
	}{
		"rich":       {chain.Amount{}, 1, 0, 6},
		"nearly out": {chain.PDR(1), 1, 0, 6},
		"budget":     {chain.Amount{}, 8, 50, 30},
	} {
		p.FaultBudget = c.percent
		n := budgetNetwork(t, p, c.sectors, c.periods)
		n.proveWindow(nil)
		n.proveWindow(nil)
		n.mustAll(n.proofs()...) // deadline 2 is proven, and still open: the next window is sector 1's
		if !c.keep.IsZero() {
			out, err := n.miner().Balance.Sub(c.keep)
			must(t, err)
			n.mustAll(n.message("worker", 0, &chain.UpdateMiner{Miner: chain.FirstMinerID, Withdraw: &out}))
		}
		cost := func(g grade) *big.Int {
			fines, budget := lostBy(t, n, g)
			if g == gradeMissed { // of all sectors of the deadline
				share, err := fines.MulDiv(1, c.sectors/3)
				must(t, err)
				return new(big.Int).Add(share.Big(), new(big.Int).SetUint64(budget/(c.sectors/3)))
			}
			return new(big.Int).Add(fines.Big(), new(big.Int).SetUint64(budget))
		}
		declared, skipped, late, missed := cost(gradeDeclared), cost(gradeSkipped), cost(gradeLate), cost(gradeMissed)
		if c.percent > 0 && skipped.Cmp(late) != 0 { // spent a period earlier, it is counted down once more
			late.Mul(late, big.NewInt(4)).Div(late, big.NewInt(3))
		}
		if declared.Sign() == 0 || declared.Cmp(skipped) >= 0 || skipped.Cmp(late) != 0 || late.Cmp(missed) >= 0 {
			t.Errorf("%s: declared %s, skipped %s, late %s, missed %s", name, declared, skipped, late, missed)
		}
		if covered := declared.IsUint64() && declared.Uint64() < 100*budgetParts; covered != (c.percent > 0) {
			t.Errorf("%s: the budget covers it: %v", name, covered)
		}
	}
}

// TestFaultsAge: a sector that is proven only now and then is lost, one that
// fails once in a while is not.
func TestFaultsAge(t *testing.T) {
	p := testParams()
	p.FaultMaxAge, p.FaultForgive, p.StateRetention, p.EndedRetention = 3, 4, 100_000, 100_001
	lives := func(every int) int {
		n := budgetNetwork(t, p, 1, 1)
		for period := 1; period <= 40; period++ {
			n.proveWindow(func(uint64, uint64) bool { return period%every == 0 })
			n.recoverAll() // proven in the next window
			n.advance(int(2*p.Window) - int(n.height+1-n.miner().PeriodStart)%int(p.Window))
			if sec := n.sector(1); !sec.Live() {
				if sec.State != chain.SectorLost {
					t.Fatalf("sector is %s", sec.State)
				}
				return period
			}
		}
		return 0
	}
	if at := lives(2); at == 0 || at > 20 {
		t.Errorf("a sector that fails every other period was lost in period %d, want by 20", at)
	}
	if at := lives(10); at != 0 {
		t.Errorf("a sector that fails every tenth period was lost in period %d", at)
	}
}
