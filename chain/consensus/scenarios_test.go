package consensus

import (
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/perdure/perdure/chain"
)

// The scenario suite plays the attacks of docs/threat-model.md with the real
// rules: each once honestly and once with the cheat, for as many blocks, and
// prints what every side ended with. go test -run Scenario -v ./chain/consensus

// scene is a chain on which a scenario is played.
type scene struct {
	*script
	cheat   bool
	cheater string
	saved   *big.Int // what the cheat did not have to spend outside the chain
}

// scenario is one attack and the sides that it is played between.
type scenario struct {
	params  func(*Params)
	verify  Verifier // fakeVerifier if there is none
	money   []named
	voters  []string
	cheater string // the side that must end with less than honestly
	victim  string // the side, if any, that must not end with less than honestly, but for the share below
	bears   uint64 // percent of the cheater's loss that the victim may lose too
	play    func(*scene)
}

// scenarioParams are devnet's, issuance and all, with 8 MiB sectors in mind:
// those of 2 KiB earn less than their proofs cost.
func scenarioParams() *Params {
	p := Devnet()
	p.ChainID = testParams().ChainID // the harness proves vote keys for it
	return p
}

// run plays a scenario both ways and compares.
func (c *scenario) run(t *testing.T) {
	t.Helper()
	honest, cheated := c.once(t, false), c.once(t, true)
	if honest.height != cheated.height {
		t.Fatalf("played for %d blocks honestly, for %d with the cheat", honest.height, cheated.height)
	}
	t.Logf("%-10s %32s %32s %32s", "side", "honest", "cheat", "difference")
	for _, side := range c.money {
		a, b := honest.wealth(side.name), cheated.wealth(side.name)
		t.Logf("%-10s %32s %32s %32s", side.name, pdr(a), pdr(b), pdr(new(big.Int).Sub(b, a)))
	}
	loss := new(big.Int).Sub(honest.wealth(c.cheater), cheated.wealth(c.cheater))
	if loss.Sign() <= 0 {
		t.Errorf("%s gains %s by cheating", c.cheater, pdr(loss.Neg(loss)))
	}
	if c.victim == "" {
		return
	}
	harm := new(big.Int).Sub(honest.wealth(c.victim), cheated.wealth(c.victim))
	most := new(big.Int).Div(new(big.Int).Mul(loss, new(big.Int).SetUint64(c.bears)), big.NewInt(100))
	if harm.Cmp(most) > 0 {
		t.Errorf("%s loses %s, want at most %s", c.victim, pdr(harm), pdr(most))
	}
}

func (c *scenario) once(t *testing.T, cheat bool) *scene {
	t.Helper()
	p := scenarioParams()
	if c.params != nil {
		c.params(p)
	}
	verify := c.verify
	if verify == nil {
		verify = fakeVerifier{}
	}
	s := &scene{script: &script{memory: map[string]any{"names": c.money}}, cheat: cheat, cheater: c.cheater,
		saved: new(big.Int)}
	s.network = newNetwork(t, p, verify, c.money, c.voters...)
	c.play(s)
	return s
}

func pdr(v *big.Int) string {
	a, err := chain.AmountFromBig(new(big.Int).Abs(v))
	if err != nil {
		return v.String()
	}
	if v.Sign() < 0 {
		return "-" + a.Human()
	}
	return a.Human()
}

// wealth is all that a side has: free money, pledge, deposits, what its orders,
// deals and channels hold, less its miners' debts; and what it saved.
func (s *scene) wealth(name string) *big.Int {
	s.t.Helper()
	who := addressOf(s.t, name)
	own := map[chain.MinerID]bool{}
	total := s.account(name).Balance.Big()
	add := func(amounts ...chain.Amount) {
		for _, a := range amounts {
			total.Add(total, a.Big())
		}
	}
	each(s.network, chain.TableMiner, func(_ chain.Key, m *chain.Miner) {
		if m.Keys.Owner == who {
			own[m.ID] = true
			add(m.Balance, m.Pledge, m.Deposits)
			total.Sub(total, m.Debt.Big())
		}
	})
	each(s.network, chain.TableOrder, func(_ chain.Key, o *chain.Order) {
		if o.Owner == who {
			add(o.Locked, o.Deposit)
		}
	})
	each(s.network, chain.TableDeal, func(_ chain.Key, d *chain.Deal) {
		if d.Client == who {
			add(d.Unspent, d.ClientDeposit)
		}
		if own[d.Miner] {
			add(d.Collateral, d.MinerDeposit)
		}
	})
	each(s.network, chain.TableChannel, func(_ chain.Key, c *chain.Channel) {
		if c.Payer == who {
			add(c.Balance)
		}
	})
	if s.cheat && name == s.cheater {
		total.Add(total, s.saved)
	}
	return total
}

// send makes a block of messages, which all succeed.
func (s *scene) send(lines ...string) *Update {
	s.t.Helper()
	ahead := map[string]uint64{}
	var messages [][]byte
	for _, l := range lines {
		messages = append(messages, s.message(l, ahead))
	}
	return s.mustAll(messages...)
}

// seal makes miner 1000 of "miner", with 8 MiB sectors, and proves sectors.
func (s *scene) seal(numbers ...uint64) {
	s.t.Helper()
	s.send("miner: create-miner size=8MiB fund=500PDR")
	s.send("miner: precommit miner=1000 sectors=" + list(numbers))
	s.advance(int(s.params.SeedDelay))
	s.proveSeal(numbers...)
}

func (s *scene) proveSeal(numbers ...uint64) {
	s.t.Helper()
	var lines []string
	for _, n := range numbers {
		lines = append(lines, fmt.Sprintf("miner: prove miner=1000 sector=%d", n))
	}
	s.send(lines...)
}

func list(numbers []uint64) string {
	text := fmt.Sprint(numbers)
	return strings.ReplaceAll(strings.Trim(text, "[]"), " ", ",")
}

// prove makes blocks and, at the beginning of every window of miner 1000, lets
// it do what act says, which is to prove if it says nothing.
func (s *scene) prove(blocks int, act func(m *chain.Miner, period, deadline uint64) []string) {
	s.t.Helper()
	for range blocks {
		m := s.miner()
		open, ok := s.params.Schedule().At(uint64(m.PeriodStart), uint64(s.height+1))
		if !ok || open.Open != uint64(s.height+1) {
			s.block()
			continue
		}
		var lines []string
		if act != nil {
			lines = act(&m, open.Period, open.Index)
		}
		if lines == nil && m.Deadlines[open.Index] > 0 {
			lines = []string{"miner: window-proof miner=1000"}
		}
		ahead := map[string]uint64{}
		var messages [][]byte
		for _, l := range lines {
			messages = append(messages, s.message(l, ahead))
		}
		s.block(messages...)
	}
}

// idle is an action that sends nothing.
var idle = []string{}

// unstored books what issuance pays, at most, for bytes that a miner did not
// keep for so many blocks: more than their storage can cost, or nobody would store.
func (s *scene) unstored(bytes, blocks uint64) {
	s.t.Helper()
	y := &yields{p: s.params}
	perGiB := y.blocks(blocks)
	must(s.t, y.err)
	saved, err := chain.PerGiB(perGiB, bytes)
	must(s.t, err)
	s.saved.Add(s.saved, saved.Big())
}

// miners is the money of a scenario with a miner and a client.
func miners() []named { return []named{{"miner", chain.PDR(1000)}, {"client", chain.PDR(1000)}} }
