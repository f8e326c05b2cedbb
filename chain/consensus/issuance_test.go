package consensus

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/perdure/perdure/chain"
)

// remaining computes U(0) x (1-r)^h with r = ln2 / (halfLife x 2^32) to 400 bits.
func remaining(total chain.Amount, halfLife, h uint64) *big.Float {
	const precision = 400
	one := new(big.Float).SetPrec(precision).SetInt64(1)
	d := new(big.Float).SetPrec(precision).SetInt(new(big.Int).Lsh(new(big.Int).SetUint64(halfLife), 32))
	base := new(big.Float).SetPrec(precision).Quo(new(big.Float).SetPrec(precision).SetInt64(ln2), d)
	base.Sub(one, base)
	out := new(big.Float).SetPrec(precision).SetInt(total.Big())
	for ; h > 0; h >>= 1 {
		if h&1 != 0 {
			out.Mul(out, base)
		}
		base.Mul(base, base)
	}
	return out
}

// TestDecay compares the unissued money with the formula and its two bounds, and
// each block's emission with the same floor in big integers.
func TestDecay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := Devnet()
		p.IssuanceHalfLife = rapid.Uint64Range(1<<10, 1<<13).Draw(rt, "half-life")
		p.IssuanceTotal = chain.Atto(rapid.Uint64Range(1, 1<<63).Draw(rt, "total"))
		if rapid.Bool().Draw(rt, "large") {
			p.IssuanceTotal = maxIssuance
		}
		left := p.IssuanceTotal
		for range p.IssuanceHalfLife {
			e, err := p.Emission(left)
			must(t, err)
			want := new(big.Int).Mul(left.Big(), big.NewInt(ln2))
			if want.Rsh(want, 32).Div(want, new(big.Int).SetUint64(p.IssuanceHalfLife)); want.Cmp(e.Big()) != 0 {
				rt.Fatalf("emission of %s is %s, want %s", left, e, want)
			}
			left, err = left.Sub(e)
			must(t, err)
		}
		exact := remaining(p.IssuanceTotal, p.IssuanceHalfLife, p.IssuanceHalfLife)
		over := new(big.Float).Sub(new(big.Float).SetPrec(400).SetInt(left.Big()), exact)
		if most := float64(p.IssuanceHalfLife<<32) / ln2; over.Sign() < 0 || over.Cmp(big.NewFloat(most)) >= 0 {
			rt.Fatalf("%s are left after a half-life, exact %s: off by %s, want 0 to %g", left, exact.Text('g', 30), over.Text('g', 10), most)
		}
		if p.IssuanceTotal == maxIssuance {
			share := new(big.Float).Quo(exact, new(big.Float).SetInt(p.IssuanceTotal.Big()))
			half, _ := share.Float64()
			if off := 0.5 - half; off < 0 || off > 0.25/float64(p.IssuanceHalfLife) {
				rt.Fatalf("a half-life of %d leaves %g", p.IssuanceHalfLife, half)
			}
		}
	})
}

// rewards is what events say that proven power has earned, exactly.
type rewards struct {
	index    *big.Rat            // attoPDR per byte, never rounded
	since    map[uint64]*big.Rat // index at the last proof of each sector that is earning
	due      *big.Rat
	paid     sum
	blocks   sum
	releases int64
	accrued  int64 // blocks in which power earned
}

func newRewards() *rewards {
	return &rewards{index: new(big.Rat), since: map[uint64]*big.Rat{}, due: new(big.Rat)}
}

// book adds what a block after the state before gives to each byte.
func (r *rewards) book(p *Params, before *chain.Global) {
	if before.Power == 0 {
		return
	}
	e := new(big.Int).Mul(before.Issuance.Unissued.Big(), big.NewInt(ln2))
	e.Div(e, new(big.Int).Lsh(new(big.Int).SetUint64(p.IssuanceHalfLife), 32))
	proposer := new(big.Int).Mul(e, new(big.Int).SetUint64(p.ProposerShare))
	e.Sub(e, proposer.Div(proposer, big.NewInt(100)))
	r.index.Add(r.index, new(big.Rat).SetFrac(e, new(big.Int).SetUint64(max(before.Power, p.IssuanceFullPower))))
	r.accrued++
}

// follow applies the events of a block to the sectors of one miner, which are of size bytes.
func (r *rewards) follow(t testing.TB, u *Update, size uint64) {
	t.Helper()
	for _, e := range u.Events {
		switch e.Kind {
		case EventSectorFaulty, EventSectorEnded:
			delete(r.since, e.Sector)
		case EventSectorProven:
			if since := r.since[e.Sector]; since != nil {
				gain := new(big.Rat).Sub(r.index, since)
				r.due.Add(r.due, gain.Mul(gain, new(big.Rat).SetInt(new(big.Int).SetUint64(size))))
			}
			r.since[e.Sector] = new(big.Rat).Set(r.index)
		case EventPowerReward:
			r.paid.add(t, e.Amount)
			r.releases++
		case EventBlockReward:
			r.blocks.add(t, e.Amount)
		}
	}
}

// check compares what was minted with what was due. Each release is rounded
// down once, and each block's index by less than 1/2^32 a byte.
func (r *rewards) check(n *network, power uint64) {
	n.t.Helper()
	g := n.global()
	off := new(big.Rat).Sub(r.due, new(big.Rat).SetInt(r.paid.total.Big()))
	most := new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(r.accrued), new(big.Int).SetUint64(power)), big.NewInt(indexUnit))
	if most.Add(most, new(big.Rat).SetInt64(r.releases)); off.Sign() < 0 || off.Cmp(most) > 0 {
		n.t.Fatalf("height %d: power was paid %s, due are %s: off by more than %s", n.height, r.paid.total, r.due.FloatString(3), most.FloatString(3))
	}
	minted, err := chain.Sum(n.genesisMoney(), r.paid.total, r.blocks.total)
	must(n.t, err)
	if minted != g.Supply.Minted {
		n.t.Fatalf("height %d: rewards and genesis are %s, minted are %s", n.height, minted, g.Supply.Minted)
	}
	issued, err := n.params.IssuanceTotal.Sub(g.Issuance.Unissued)
	must(n.t, err)
	if most, err := n.genesisMoney().Add(issued); err != nil || most.Less(minted) {
		n.t.Fatalf("height %d: minted are %s, genesis and what was issued are %s", n.height, minted, most)
	}
}

func (n *network) genesisMoney() chain.Amount { return n.minted }

// TestIssuanceHistories is TestSectorHistories with money: what power is paid is
// compared with rational arithmetic over the events, at every height.
func TestIssuanceHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := testParams()
		p.Window, p.ChallengeLookback, p.FaultCutoff, p.FaultMaxAge = 4, 1, 4, 2
		p.SeedDelay, p.ProveDue, p.TicketAge, p.MinSectorLife = 3, 8, 20, 4
		p.IssuanceHalfLife = 1 << 10
		p.IssuanceFullPower = rapid.SampledFrom([]uint64{1, 4 << 10, 1 << 40}).Draw(rt, "full power")
		p.IssuanceTotal = chain.Atto(100_000_000 * p.IssuanceFullPower) // more, and sealing badly would pay
		p.ProposerShare = rapid.Uint64Range(0, 100).Draw(rt, "proposer share")
		h := &history{network: minerNetwork(shrinking{t, rt}, p, fakeVerifier{}, 2<<10), rt: rt,
			model: map[uint64]*covered{}, pay: map[uint64]*earned{}}
		r := newRewards()
		r.blocks.total, _ = h.global().Supply.Minted.Sub(h.minted) // of the block that registered the miner
		for range rapid.IntRange(10, 60).Draw(rt, "blocks") {
			h.ahead = 0
			var messages [][]byte
			if rapid.IntRange(0, 3).Draw(rt, "prove all") > 0 {
				messages = h.proofs()
			}
			for range rapid.IntRange(0, 3).Draw(rt, "messages") {
				messages = append(messages, h.draw())
			}
			before := h.global()
			r.book(p, &before)
			u, _ := h.block(messages...)
			h.follow(u)
			r.follow(h.t, u, 2<<10)
			r.check(h.network, max(before.Power, 1<<20))
		}
	})
}

// TestSupplyEveryHeight runs a long chain whose miner fails at random and sums
// all records at every height (the harness does), comparing with what was minted.
func TestSupplyEveryHeight(t *testing.T) {
	p := testParams()
	p.IssuanceTotal, p.IssuanceHalfLife, p.IssuanceFullPower = chain.Atto(10_000_000_000_000), 1<<10, 32<<10
	n := minerNetwork(t, p, fakeVerifier{}, 2<<10)
	n.sealSectors(1, 40)
	n.commitSectors(1, 40)
	r := newRewards()
	r.blocks.total, _ = n.global().Supply.Minted.Sub(n.minted)
	random := rand.New(rand.NewPCG(1, 2))
	blocks := 1500
	if testing.Short() {
		blocks = 300
	}
	for range blocks {
		var messages [][]byte
		if random.IntN(20) > 0 {
			for _, m := range n.proofs() {
				if random.IntN(30) > 0 {
					messages = append(messages, m)
				}
			}
		}
		if faulty := n.numbersOf(chain.SectorFaulty); len(faulty) > 0 && random.IntN(10) == 0 {
			messages = append(messages, n.message("worker", 0, &chain.DeclareRecoveries{Miner: chain.FirstMinerID, Sectors: faulty}))
		}
		before := n.global()
		r.book(p, &before)
		u, _ := n.block(messages...)
		r.follow(t, u, 2<<10)
		r.check(n, before.Power)
	}
	g := n.global()
	if r.releases == 0 || r.paid.total.IsZero() || r.blocks.total.IsZero() {
		t.Fatalf("%d releases, %s for power, %s for blocks: the run proves nothing", r.releases, r.paid.total, r.blocks.total)
	}
	t.Logf("height %d: minted %s, burned %s, %d releases pay %s to power, blocks %s, unissued %s", n.height, g.Supply.Minted.Human(),
		g.Supply.Burned.Human(), r.releases, r.paid.total.Human(), r.blocks.total.Human(), g.Issuance.Unissued.Human())
}

// numbersOf lists the sectors of the first miner in a state.
func (n *network) numbersOf(state chain.SectorState) (out []uint64) {
	n.t.Helper()
	each(n, chain.TableSector, func(_ chain.Key, s *chain.Sector) {
		if s.State == state {
			out = append(out, s.Number)
		}
	})
	return out
}

// TestIssuanceBounds holds the index and the money below 128 bits for the most
// extreme parameters that are allowed.
func TestIssuanceBounds(t *testing.T) {
	p := testParams()
	p.IssuanceTotal, p.IssuanceHalfLife, p.IssuanceFullPower = maxIssuance, 1<<10, 1
	must(t, p.checkBounds())
	s := &state{params: p, global: chain.Global{Power: 1, Issuance: chain.Issuance{Unissued: maxIssuance}}}
	for i := range 100_000 {
		if err := s.issue(chain.Address{}); err != nil {
			t.Fatalf("block %d: %v", i, err)
		}
	}
	if most := new(big.Int).Lsh(maxIssuance.Big(), 32); s.global.Issuance.Index.Big().Cmp(most) > 0 {
		t.Errorf("index %s exceeds %s", s.global.Issuance.Index, most)
	}
	p.IssuanceTotal, _ = maxIssuance.Add(chain.Atto(1))
	if err := p.checkBounds(); err == nil {
		t.Error("an issuance whose index overflows is allowed")
	}
}
