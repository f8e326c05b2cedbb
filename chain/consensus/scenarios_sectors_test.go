package consensus

import (
	"fmt"
	"math/big"
	"testing"

	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/chain"
)

const mib8 = 8 << 20

// TestScenarioPreCommitDropped: space is announced that is never sealed.
func TestScenarioPreCommitDropped(t *testing.T) {
	(&scenario{money: miners(), cheater: "miner", play: func(s *scene) {
		s.send("miner: create-miner size=8MiB fund=500PDR")
		s.send("miner: precommit miner=1000 sectors=1,2,3,4")
		s.advance(int(s.params.SeedDelay))
		if s.cheat {
			s.advance(1)
			s.unstored(4*mib8, 600)
		} else {
			s.proveSeal(1, 2, 3, 4)
		}
		s.prove(600, nil)
	}}).run(t)
}

// gaps lets a proof that says "gap" pass as one of a sector does of which a
// share is not there: each challenge, drawn from what the check draws from, hits
// the gap with that probability, in percent.
type gaps struct {
	fakeVerifier
	share uint64
}

func (g gaps) hit(seed [32]byte, challenge, sector uint64) bool {
	h := sha256.Sum256(fmt.Appendf(nil, "%x %d %d", seed, challenge, sector))
	return (uint64(h[0])<<8|uint64(h[1]))*100 < g.share<<16
}

func (g gaps) proof(proof []byte, seed [32]byte, challenges, sector uint64) error {
	if string(proof) != "gap" {
		return fakeProof(proof)
	}
	for i := range challenges {
		if g.hit(seed, i, sector) {
			return fmt.Errorf("challenge %d: leaf is missing", i)
		}
	}
	return nil
}

func (g gaps) SealProof(c *SealCheck, proof []byte) error {
	return g.proof(proof, c.Seed, c.Count, c.Number)
}

func (g gaps) WindowProof(c *WindowCheck, proof []byte) error {
	for i := range c.Sectors {
		if err := g.proof(proof, c.Randomness, c.Challenges, c.Sectors[i].Number); err != nil {
			return err
		}
	}
	return nil
}

// TestScenarioSeedGrinding: nine tenths of each of 40 sectors are sealed, and a
// pre-commit whose seed finds the gap is left to lapse. Only sealing is played:
// those that pass are then stored whole.
func TestScenarioSeedGrinding(t *testing.T) {
	(&scenario{money: miners(), cheater: "miner", verify: gaps{share: 10}, play: func(s *scene) {
		s.send("miner: create-miner size=8MiB fund=500PDR")
		var passed uint64
		for batch := range uint64(4) {
			first := 10*batch + 1
			numbers := make([]uint64, 10)
			for i := range numbers {
				numbers[i] = first + uint64(i)
			}
			s.send("miner: precommit miner=1000 sectors=" + list(numbers))
			s.advance(int(s.params.SeedDelay))
			ahead := map[string]uint64{}
			var messages [][]byte
			for _, n := range numbers {
				line := fmt.Sprintf("miner: prove miner=1000 sector=%d", n)
				if s.cheat {
					line += " proof=gap"
				}
				messages = append(messages, s.message(line, ahead))
			}
			_, results := s.block(messages...)
			for _, r := range results {
				if r.Code == CodeOK {
					passed++
				}
			}
		}
		if s.cheat && (passed == 0 || passed == 40) {
			s.t.Fatalf("%d of 40 sectors pass: nothing is played", passed)
		}
		s.unstored(passed*mib8/10, 600)
		s.prove(600, nil)
	}}).run(t)
}

// TestScenarioPartOfSector: nine tenths of two sectors are kept. When the rest
// is challenged no proof can be made, and the sectors are declared again after.
func TestScenarioPartOfSector(t *testing.T) {
	(&scenario{money: miners(), cheater: "miner", verify: gaps{share: 10}, play: func(s *scene) {
		s.seal(1, 2)
		missed := 0
		s.prove(900, func(m *chain.Miner, _, deadline uint64) []string {
			if !s.cheat || m.Deadlines[deadline] == 0 {
				return nil
			}
			sector := deadline + 1
			if s.sector(sector).State == chain.SectorFaulty {
				missed++
				return []string{"miner: window-proof miner=1000"} // it is fetched again for this once
			}
			return []string{"miner: window-proof miner=1000 proof=gap",
				fmt.Sprintf("miner: declare-recoveries miner=1000 sectors=%d", 2-deadline)} // the other one, if it is faulty
		})
		if s.cheat && missed == 0 {
			s.t.Fatal("the gap was never found: nothing is played")
		}
		s.unstored(2*mib8/10, 900)
	}}).run(t)
}

// TestScenarioFaultBudget: of each of 24 sectors a hundredth is not kept. Those
// whose gap is challenged are skipped and come back a period later; the budget,
// the largest that the bounds allow, covers all of it.
func TestScenarioFaultBudget(t *testing.T) {
	verify := gaps{share: 1}
	(&scenario{money: miners(), cheater: "miner", verify: verify,
		params: func(p *Params) { p.BudgetPeriods, p.FaultBudget = 4, 50 }, play: func(s *scene) {
			s.seal(1, 2, 3, 4, 5, 6, 7, 8)
			for first := uint64(9); first <= 17; first += 8 {
				numbers := []uint64{first, first + 1, first + 2, first + 3, first + 4, first + 5, first + 6, first + 7}
				s.send("miner: precommit miner=1000 sectors=" + list(numbers))
				s.advance(int(s.params.SeedDelay))
				s.proveSeal(numbers...)
			}
			s.prove(360, nil)
			if !s.cheat {
				s.prove(900, nil)
				return
			}
			s.prove(900, func(_ *chain.Miner, _, _ uint64) []string { return s.skipGaps(verify) })
			s.unstored(24*mib8/100, 900)
			skips := 0
			for _, e := range s.story {
				if e.Kind == EventSectorFaulty {
					skips++
				}
				if (e.Kind == EventSectorFaulty || e.Kind == EventSectorsFined) && !e.Amount.IsZero() {
					s.t.Errorf("the budget does not cover %+v", e)
				}
			}
			if s.t.Logf("%d skips, all of them covered", skips); skips < 10 {
				s.t.Errorf("%d skips: nothing is played", skips)
			}
		}}).run(t)
}

// skipGaps is a proof of all sectors of the deadline that opens but those whose
// gap is challenged, and the recovery of those skipped before.
func (s *scene) skipGaps(v gaps) []string {
	s.t.Helper()
	m := s.miner()
	open, _ := s.opens(&m)
	var beacon chain.Beacon
	s.record(chain.BeaconKey(chain.Height(open.Challenge)), &beacon)
	randomness := WindowRandomness(beacon.Value, m.ID, open.Index)
	var skipped, back []uint64
	each(s.network, chain.TableSector, func(_ chain.Key, sec *chain.Sector) {
		part := s.partitionOf(s.t, sec.Deadline, sec.Partition)
		if sec.Deadline != open.Index {
			if sec.State == chain.SectorFaulty && part.Recovering&slotBit(sec) == 0 {
				back = append(back, sec.Number)
			}
			return
		}
		for c := range s.params.WindowChallenges {
			if part.Provable()&slotBit(sec) != 0 && v.hit(randomness, c, sec.Number) {
				skipped = append(skipped, sec.Slot)
				return
			}
		}
	})
	line := "miner: window-proof miner=1000 proof=gap"
	if len(skipped) > 0 {
		line += " skip=" + list(skipped)
	}
	if len(back) == 0 {
		return []string{line}
	}
	return []string{line, "miner: declare-recoveries miner=1000 sectors=" + list(back)}
}

// TestScenarioGrades: the later a fault is owned up to, the more it costs:
// honest > declared > skipped > missed > lost.
func TestScenarioGrades(t *testing.T) {
	grades := []string{"honest", "declared", "skipped", "missed", "lost"}
	ends := make([]*big.Int, len(grades))
	t.Log(attack(t))
	t.Log("What the miner has at the end, in PDR:")
	for i, grade := range grades {
		c := &scenario{money: miners(), params: func(p *Params) { p.FaultMaxAge = 3 }, play: func(s *scene) { playGrade(s, grade) }}
		s := c.once(t, grade != "honest")
		ends[i] = s.wealth("miner")
		t.Logf("%-10s %s", grade, pdr(ends[i]))
		if i > 0 && ends[i].Cmp(ends[i-1]) >= 0 {
			t.Errorf("%s ends with %s, %s with %s: want less", grade, pdr(ends[i]), grades[i-1], pdr(ends[i-1]))
		}
	}
}

// playGrade lets sector 4, which shares a partition with sector 1, be faulty in
// one window, period 2, and come back; a lost one never does.
func playGrade(s *scene, grade string) {
	s.seal(1, 2, 3, 4)
	s.prove(600, func(m *chain.Miner, period, deadline uint64) []string {
		switch {
		case grade == "declared" && period == 1 && deadline == 1:
			return []string{"miner: window-proof miner=1000", "miner: declare-faults miner=1000 sectors=4"}
		case grade == "missed" && period == 2 && deadline == 0:
			return idle
		case deadline == 0 && (grade == "skipped" && period == 2 || grade == "lost" && period >= 2):
			return []string{"miner: window-proof miner=1000 skip=1"}
		case period == 2 && deadline == 1 && grade != "honest" && grade != "lost":
			sectors := "4"
			if grade == "missed" { // of the whole partition
				sectors = "1,4"
			}
			return []string{"miner: window-proof miner=1000", "miner: declare-recoveries miner=1000 sectors=" + sectors}
		}
		return nil
	})
	want := chain.SectorActive
	if grade == "lost" {
		want = chain.SectorLost
	}
	if got := s.sector(4).State; got != want {
		s.t.Fatalf("%s: sector 4 is %s, want %s", grade, got, want)
	}
}

// TestScenarioWithdrawFirst: everything free is withdrawn before a fault, so that
// no fee could be taken. It is owed, and paid out of what the miner earns.
func TestScenarioWithdrawFirst(t *testing.T) {
	(&scenario{money: miners(), cheater: "miner", play: func(s *scene) {
		s.seal(1, 2, 3)
		s.prove(120, nil)
		if s.cheat {
			s.send("miner: update-miner miner=1000 withdraw=" + s.miner().Balance.String())
		} else {
			s.advance(1)
		}
		s.prove(180, func(_ *chain.Miner, period, _ uint64) []string {
			if s.cheat && period >= 3 {
				return idle
			}
			return nil
		})
		if s.cheat {
			if s.miner().Debt.IsZero() {
				s.t.Error("the miner owes nothing")
			}
			s.unstored(3*mib8, 180)
		}
	}}).run(t)
}

// TestScenarioWrongProofs: wrong proofs are sent over and over, which every
// validator must check. Each pays.
func TestScenarioWrongProofs(t *testing.T) {
	(&scenario{money: miners(), cheater: "miner", play: func(s *scene) {
		s.seal(1, 2, 3)
		s.prove(300, func(_ *chain.Miner, _, _ uint64) []string {
			if s.cheat {
				return []string{"miner: window-proof miner=1000 proof=no"}
			}
			return nil
		})
		s.unstored(3*mib8, 300)
	}}).run(t)
}

// TestScenarioSelfDeal: a miner trades with itself to look used. Issuance does
// not ask what a sector holds, so it earns nothing by it and pays the fees.
func TestScenarioSelfDeal(t *testing.T) {
	(&scenario{money: miners(), cheater: "miner", play: func(s *scene) {
		s.send("miner: create-miner size=8MiB fund=500PDR")
		if s.cheat {
			s.send("miner: ask miner=1000 price=0.001PDR capacity=8MiB min=8MiB max=8MiB collateral=0.1PDR",
				"miner: bid piece=p size=8MiB price=0.001PDR duration=300")
			s.advance(3)
			s.send("miner: accept miner=1000 deals=1")
			s.send(fmt.Sprintf("miner: precommit miner=1000 sectors=1 pieces=8MiB:1 expires=%d", s.height+3000))
		} else {
			s.advance(5)
			s.send(fmt.Sprintf("miner: precommit miner=1000 sectors=1 expires=%d", s.height+3000))
		}
		s.advance(int(s.params.SeedDelay))
		s.proveSeal(1)
		s.prove(600, nil)
	}}).run(t)
}
