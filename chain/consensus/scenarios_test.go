package consensus

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/post"
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
	story   []Event  // of the blocks that prove made
}

// scenario is one attack and the sides that it is played between.
type scenario struct {
	params  func(*Params)
	verify  Verifier // fakeVerifier if there is none
	money   []named
	voters  []string
	cheater string   // the side that must end with less than honestly
	allies  []string // sides that are in league with the cheater: what they lose and gain is the cheater's
	victim  string   // the side, if any, that must not end with less than honestly, but for the share below
	bears   uint64   // percent of the cheater's loss that the victim may lose too
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
	loss := c.print(t, honest, cheated)
	if loss.Sign() <= 0 {
		t.Errorf("%s gains %s PDR by cheating", c.cheater, pdr(loss.Neg(loss)))
	}
	if c.victim == "" {
		return
	}
	harm := new(big.Int).Sub(honest.wealth(c.victim), cheated.wealth(c.victim))
	most := new(big.Int).Div(new(big.Int).Mul(loss, new(big.Int).SetUint64(c.bears)), big.NewInt(100))
	if harm.Cmp(most) > 0 {
		t.Errorf("%s loses %s PDR, want at most %s", c.victim, pdr(harm), pdr(most))
	}
}

// print tells what the attack is and what each side that had a part in it ended
// with, and returns what the cheat has cost the cheater and its allies.
func (c *scenario) print(t *testing.T, honest, cheated *scene) *big.Int {
	t.Helper()
	loss := new(big.Int)
	t.Log(attack(t))
	t.Logf("What each side has after %d blocks, in PDR:", cheated.height)
	t.Logf("%-18s %22s %22s %22s", "", "honestly", "with the cheat", "difference")
	for _, side := range c.money {
		a, b := honest.wealth(side.name), cheated.wealth(side.name)
		more := new(big.Int).Sub(b, a)
		if side.name == c.cheater || slices.Contains(c.allies, side.name) {
			loss.Sub(loss, more)
		}
		if role := c.role(side.name); role != "" || more.Sign() != 0 {
			t.Logf("%-18s %22s %22s %22s", side.name+role, pdr(a), pdr(b), pdr(more))
		}
	}
	if cheated.saved.Sign() > 0 {
		t.Logf("The cheater's amount includes %s that storing would have cost it at most.", pdr(cheated.saved))
	}
	who := "the cheater"
	if len(c.allies) > 0 {
		who += " and its allies"
	}
	t.Logf("Lost by %s: %s.", who, pdr(loss))
	return loss
}

// role says in brackets what a side is in the scenario.
func (c *scenario) role(side string) string {
	switch {
	case side == c.cheater:
		return " (cheater)"
	case slices.Contains(c.allies, side):
		return " (its ally)"
	case side == c.victim:
		return " (victim)"
	}
	return ""
}

// attack is what the comment of the running test says.
func attack(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("scenarios*_test.go")
	must(t, err)
	for _, f := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.ParseComments)
		must(t, err)
		for _, d := range parsed.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == t.Name() {
				_, text, _ := strings.Cut(strings.ReplaceAll(fn.Doc.Text(), "\n", " "), ": ")
				text = strings.TrimSpace(text)
				return strings.ToUpper(text[:1]) + text[1:]
			}
		}
	}
	t.Fatalf("%s has no comment", t.Name())
	return ""
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

// pdr writes attoPDR in PDR, to twelve places.
func pdr(v *big.Int) string {
	const places = 12
	n := new(big.Int).Abs(v)
	n.Add(n, big.NewInt(500_000)).Div(n, big.NewInt(1_000_000))
	text := fmt.Sprintf("%0*s", places+1, n)
	text = text[:len(text)-places] + "." + text[len(text)-places:]
	if v.Sign() < 0 {
		return "-" + text
	}
	return text
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
			add(m.Balance, m.Pledge, m.Bound, m.Deposits)
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
			if d.Succeeds != nil {
				add(d.Succeeds.Reserve)
			}
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
// it do what act says, which is to prove if it says nothing. Other miners prove
// what they have.
func (s *scene) prove(blocks int, act func(m *chain.Miner, period, deadline uint64) []string) {
	s.t.Helper()
	for range blocks {
		m := s.miner()
		var lines []string
		if open, ok := s.opens(&m); ok {
			if act != nil {
				lines = act(&m, open.Period, open.Index)
			}
			if lines == nil && m.Deadlines[open.Index] > 0 {
				lines = []string{"miner: window-proof miner=1000"}
			}
		}
		ahead := map[string]uint64{}
		var messages [][]byte
		for _, l := range append(lines, s.othersProofs()...) {
			messages = append(messages, s.message(l, ahead))
		}
		u, _ := s.block(messages...)
		s.story = append(s.story, u.Events...)
	}
}

// opens is the window of a miner that opens with the next block.
func (s *scene) opens(m *chain.Miner) (post.Deadline, bool) {
	open, ok := s.params.Schedule().At(uint64(m.PeriodStart), uint64(s.height+1))
	return open, ok && open.Open == uint64(s.height+1)
}

// othersProofs are the window proofs of all miners but the first.
func (s *scene) othersProofs() (lines []string) {
	s.t.Helper()
	each(s.network, chain.TableMiner, func(_ chain.Key, m *chain.Miner) {
		open, ok := s.opens(m)
		if !ok || m.ID == chain.FirstMinerID {
			return
		}
		var part chain.Partition
		if s.record(chain.PartitionKey(m.ID, open.Index, 0), &part) && part.Provable() != 0 {
			owner := s.rename(chain.FormatAddress(m.Keys.Owner, s.params.Network))
			lines = append(lines, fmt.Sprintf("%s: window-proof miner=%d", owner, m.ID))
		}
	})
	return lines
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
