package consensus

import (
	"math/big"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/perdure/perdure/chain"
)

// anyAmount draws an amount of any size.
func anyAmount(rt *rapid.T, name string, most *big.Int) chain.Amount {
	bytes := rapid.SliceOfN(rapid.Byte(), 0, 16).Draw(rt, name)
	v := new(big.Int).SetBytes(bytes)
	a, err := chain.AmountFromBig(v.Mod(v, new(big.Int).Add(most, big.NewInt(1))))
	if err != nil {
		rt.Fatal(err)
	}
	return a
}

func u64(v uint64) *big.Int { return new(big.Int).SetUint64(v) }

// TestRepairAgainstBig computes the price and the allowance of a repair in exact
// numbers, and that the escrow pays for both whatever they are.
func TestRepairAgainstBig(t *testing.T) {
	top := chain.MaxAmount().Big()
	rapid.Check(t, func(rt *rapid.T) {
		p := testParams()
		p.RepairPrice = rapid.Uint64Range(0, 1000).Draw(rt, "percent")
		p.RepairFetch = anyAmount(rt, "fetch", top)
		size := uint64(128) << rapid.IntRange(0, 29).Draw(rt, "size")
		duration := rapid.Uint64Range(1, 1<<27).Draw(rt, "duration")
		escrow, old := anyAmount(rt, "escrow", top), anyAmount(rt, "price", top)
		d := &chain.Deal{PaddedSize: size}
		fetch := p.fetchAllowance(d, duration, old, escrow)
		price := ownPrice(size, duration, p.RepairPrice, old, escrow, fetch)

		work := new(big.Int).Mul(u64(size), u64(duration))
		cost := func(price *big.Int) *big.Int { // ceil(price * size * duration / 2^30)
			c := new(big.Int).Mul(price, work)
			return c.Add(c, u64(chain.GiB-1)).Rsh(c, 30)
		}
		spare := new(big.Int).Sub(escrow.Big(), cost(old.Big()))
		allowed := new(big.Int).Mul(p.RepairFetch.Big(), u64(size))
		allowed.Add(allowed, u64(chain.GiB-1)).Rsh(allowed, 30)
		if spare.Sign() < 0 {
			allowed.SetInt64(0)
		} else if spare.Cmp(allowed) < 0 {
			allowed = spare
		}
		if fetch.Big().Cmp(allowed) != 0 {
			rt.Fatalf("allowance %s, want %s", fetch, allowed)
		}
		most := new(big.Int).Mul(old.Big(), u64(p.RepairPrice))
		most.Div(most, u64(100))
		paid := new(big.Int).Sub(escrow.Big(), fetch.Big())
		paid.Lsh(paid, 30).Div(paid, work)
		if paid.Cmp(most) < 0 {
			most = paid
		}
		if price.Big().Cmp(most) != 0 && most.Cmp(top) <= 0 {
			rt.Fatalf("price %s, want %s", price, most)
		}
		if total := cost(price.Big()); total.Add(total, fetch.Big()).Cmp(escrow.Big()) > 0 {
			rt.Fatalf("an escrow of %s promises %s", escrow, total)
		}
	})
}

// TestSettleAgainstBig settles a deal step by step, through faults, and compares
// what it has paid with floor(Total * covered / Duration) in exact numbers.
func TestSettleAgainstBig(t *testing.T) {
	n := minerNetwork(t, testParams(), fakeVerifier{}, 2<<10)
	half := new(big.Int).Rsh(chain.MaxAmount().Big(), 1)
	rapid.Check(t, func(rt *rapid.T) {
		s, err := newState(n.params, n.view, n.verify)
		must(shrinking{t, rt}, err)
		duration := rapid.Uint64Range(1, 1<<40).Draw(rt, "duration")
		d := &chain.Deal{ID: 1, State: chain.DealActive, Client: addressOf(t, "worker"), Miner: chain.FirstMinerID,
			Total: anyAmount(rt, "total", half), Duration: duration, Activated: 100, PaidThrough: 100, End: 100 + chain.Height(duration)}
		d.Unspent = d.Total
		s.global.Supply.Locked, s.global.Supply.Minted = d.Total, chain.MaxAmount()
		sec := &chain.Sector{Miner: d.Miner, PaidThrough: 100}
		covered, at := uint64(0), chain.Height(100)
		for range rapid.IntRange(1, 10).Draw(rt, "steps") {
			to := at + chain.Height(rapid.Uint64Range(0, 1+duration/4).Draw(rt, "blocks"))
			if rapid.Bool().Draw(rt, "faulty") {
				sec.PaidThrough = to // recovered at that height
			} else {
				covered += uint64(min(to, d.End) - min(at, d.End))
			}
			at = to
			must(shrinking{t, rt}, s.settleDeal(d, sec, at))
			want := new(big.Int).Mul(d.Total.Big(), u64(covered))
			want.Div(want, u64(duration))
			if d.State != chain.DealActive { // over: what was not earned is repaid
				return
			}
			if got := new(big.Int).Sub(d.Total.Big(), d.Unspent.Big()); got.Cmp(want) != 0 {
				rt.Fatalf("%d of %d blocks of %s have paid %s, want %s", covered, duration, d.Total, got, want)
			}
		}
	})
}

// TestFinesAgainstBig fines a miner for any number of sectors at any fee: what
// is burned and owed is their product, or as much of it as an Amount holds.
func TestFinesAgainstBig(t *testing.T) {
	n := minerNetwork(t, testParams(), fakeVerifier{}, 2<<10)
	top := chain.MaxAmount().Big()
	rapid.Check(t, func(rt *rapid.T) {
		p := *n.params
		p.FaultFee = anyAmount(rt, "fee", top)
		s, err := newState(&p, n.view, n.verify)
		must(shrinking{t, rt}, err)
		before, burned := n.miner(), s.global.Supply.Burned
		count := rapid.Uint64Range(1, chain.PartitionSectors).Draw(rt, "count")
		_, fee, err := s.fine(chain.FirstMinerID, count, gradeMissed)
		must(shrinking{t, rt}, err)
		after, err := s.miner(chain.FirstMinerID)
		must(shrinking{t, rt}, err)
		want := new(big.Int).Mul(p.FaultFee.Big(), u64(2<<10))
		want.Add(want, u64(chain.GiB-1)).Rsh(want, 30)
		if fee.Big().Cmp(want) != 0 {
			rt.Fatalf("fee %s, want %s", fee, want)
		}
		if want.Mul(want, u64(count)); want.Cmp(top) > 0 {
			want = top
		}
		lost := new(big.Int).Sub(before.Balance.Big(), after.Balance.Big())
		if got := new(big.Int).Add(lost, after.Debt.Big()); got.Cmp(want) != 0 {
			rt.Fatalf("%d fines of %s cost %s, want %s", count, fee, got, want)
		}
		if got := new(big.Int).Sub(s.global.Supply.Burned.Big(), burned.Big()); got.Cmp(lost) != 0 {
			rt.Fatalf("the miner lost %s, %s are burned", lost, got)
		}
	})
}

// TestBaseFeeAgainstBig moves base fees of any size by blocks of any fullness and
// compares with fee x (1 + (used - target) / target / 8), rounded away from target
// upwards, in exact numbers.
func TestBaseFeeAgainstBig(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := testParams()
		p.MaxBlockBytes = rapid.Uint64Range(2<<20, 1<<26).Draw(rt, "block bytes")
		p.MaxBlockUnits = rapid.Uint64Range(8*baseFeeSteps, 1<<36).Draw(rt, "block units")
		bytes, units := p.MaxBlockBytes-p.ProofLaneBytes(), p.MaxBlockUnits-p.ProofLaneUnits()
		used := lane{rapid.Uint64Range(0, bytes).Draw(rt, "bytes"), rapid.Uint64Range(0, units).Draw(rt, "units")}
		fee := anyAmount(rt, "fee", new(big.Int).Rsh(chain.MaxAmount().Big(), 1)) // twice of it nobody could pay
		s := &state{params: p}
		s.global.BaseFee = fee
		if err := s.updateBaseFee(used); err != nil {
			rt.Fatal(err)
		}
		target, full := u64(bytes/2), u64(used.bytes)
		if unitTarget := u64(units / 2); new(big.Int).Mul(u64(used.units), target).Cmp(new(big.Int).Mul(full, unitTarget)) > 0 {
			target, full = unitTarget, u64(used.units)
		}
		num, den := new(big.Int).Mul(fee.Big(), new(big.Int).Sub(full, target)), new(big.Int).Mul(target, u64(baseFeeSteps))
		if num.Sign() > 0 { // up: never by nothing
			num.Add(num, new(big.Int).Sub(den, big.NewInt(1)))
		}
		want := new(big.Int).Add(fee.Big(), new(big.Int).Quo(num, den))
		if floor := p.BaseFeeFloor.Big(); full.Cmp(target) <= 0 && want.Cmp(floor) < 0 {
			want = floor
		}
		if s.global.BaseFee.Big().Cmp(want) != 0 {
			rt.Fatalf("%s after %+v of %d and %d is %s, want %s", fee, used, bytes, units, s.global.BaseFee, want)
		}
	})
}

// TestFeesAgainstBig: what a message costs is base fee x (bytes + units) + tip,
// or it is malformed where an Amount does not hold that. Units are linear in what
// the parameters say of each kind of work, at their most as well: none overflows.
func TestFeesAgainstBig(t *testing.T) {
	n := newNetwork(t, testParams(), fakeVerifier{}, []named{{"alice", chain.PDR(100)}})
	top := chain.MaxAmount().Big()
	unit := func(p *Params, worth uint64) *Params {
		q := *p
		q.UnitSignature, q.UnitHash, q.UnitPoseidon, q.UnitWrite = worth, worth, worth, worth
		return &q
	}
	var bodies []chain.Body
	var views []*mapView // that each of them meets
	tell(t, func(s *script, _ chapter, _ string, body chain.Body) {
		bodies, views = append(bodies, body), append(views, s.view)
	})
	rapid.Check(t, func(rt *rapid.T) {
		at := rapid.IntRange(0, len(bodies)-1).Draw(rt, "message")
		body := bodies[at]
		price, tip := anyAmount(rt, "price", top), anyAmount(rt, "tip", top)
		raw := n.sign("alice", chain.Message{From: addressOf(t, "alice"), Tip: tip}, body)
		const most = 1 << 24 // of a unit: bounds.go
		var units [2]uint64
		for i, worth := range []uint64{1, most} {
			p := unit(n.params, worth)
			p.ProofFee = price
			s, err := newState(p, views[at], n.verify)
			must(shrinking{t, rt}, err)
			s.global.BaseFee = price
			units[i] = p.UnitSignature + p.UnitWrite + rules[body.Kind()].units(s, body)
			a, err := s.decode(raw, chain.HashBytes(raw))
			want := new(big.Int).Mul(price.Big(), u64(uint64(len(raw))+units[i]))
			want.Add(want, tip.Big())
			switch {
			case want.Cmp(top) > 0 && err == nil:
				rt.Fatalf("%s costs %s, an Amount holds no more than %s", body.Kind(), want, top)
			case want.Cmp(top) <= 0 && (err != nil || a.fee.Big().Cmp(want) != 0 || a.units != units[i]):
				rt.Fatalf("%s costs %+v, want %s for %d units: %v", body.Kind(), a, want, units[i], err)
			}
		}
		if units[1] != units[0]*most || units[0] > 1<<39 {
			rt.Fatalf("%s takes %d units of 1, %d of %d", body.Kind(), units[0], units[1], most)
		}
	})
}

// TestAccrualAgainstBig books what proven power earns of a block in exact numbers:
// each byte the same, floor(rest x 2^32 / max(power, full)), and no more in all
// than the block issues.
func TestAccrualAgainstBig(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := &state{params: testParams()}
		s.params.IssuanceFullPower = rapid.Uint64Range(1, 1<<63).Draw(rt, "full power")
		s.global.Power = rapid.Uint64Range(0, 1<<62).Draw(rt, "power")
		i := &s.global.Issuance
		i.Unissued = anyAmount(rt, "unissued", maxIssuance.Big())
		rest := anyAmount(rt, "rest", i.Unissued.Big())
		unissued := i.Unissued.Big()
		if err := s.accrue(rest); err != nil {
			rt.Fatal(err)
		}
		perByte := new(big.Int).Lsh(rest.Big(), 32)
		perByte.Div(perByte, u64(max(s.global.Power, s.params.IssuanceFullPower)))
		if i.Index.Big().Cmp(perByte) != 0 {
			rt.Fatalf("a byte earns %s, want %s", i.Index, perByte)
		}
		due := new(big.Int).Sub(unissued, i.Unissued.Big())
		want := new(big.Int).Mul(perByte, u64(s.global.Power))
		want.Add(want, u64(indexUnit-1)).Rsh(want, 32)
		if due.Cmp(want) != 0 || due.Cmp(rest.Big()) > 0 {
			rt.Fatalf("%s is taken of %s, want %s", due, rest, want)
		}
	})
}

// TestVotesAgainstBig caps the votes of as many and as large owners as there can
// be, in exact numbers: c is the greatest with c x a <= (all, so lowered) x b + d.
func TestVotesAgainstBig(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		total, sizes := map[chain.Address]uint64{}, []uint64{}
		for i := range rapid.SampledFrom([]int{0, 1, 3, 4, 5, 20, 256}).Draw(rt, "owners") {
			n := rapid.OneOf(rapid.Uint64Range(1, 100), rapid.Uint64Range(maxMemberVotes-9, maxMemberVotes), rapid.Uint64Range(1, maxMemberVotes)).Draw(rt, "votes")
			total[addressOf(t, "owner"+strconv.Itoa(i))] = n
			sizes = append(sizes, n)
		}
		a, b, d := uint64(ownerShare), uint64(1), rapid.Uint64Range(0, maxMemberVotes).Draw(rt, "beside")
		if share := rapid.Uint64Range(0, 50).Draw(rt, "share"); share != 0 {
			a, b, d = ownerShare*(100-share), 100, 0
		}
		fits := func(c uint64) bool {
			all := new(big.Int)
			for _, n := range sizes {
				all.Add(all, u64(min(n, c)))
			}
			all.Mul(all, u64(b)).Add(all, u64(d))
			return new(big.Int).Mul(u64(c), u64(a)).Cmp(all) <= 0
		}
		c, most := ownerCap(total, a, b, d), uint64(0)
		for _, n := range sizes {
			most = max(most, n)
		}
		if c < most && (!fits(c) || fits(c+1)) || c >= most && !fits(most) {
			rt.Fatalf("cap %d of %v, a %d, b %d, d %d", c, sizes, a, b, d)
		}
		x, y := rapid.Uint64Range(0, maxMemberVotes).Draw(rt, "x"), rapid.Uint64Range(0, 256*maxMemberVotes).Draw(rt, "y")
		z := rapid.Uint64Range(max(1, x), 1<<63).Draw(rt, "z")
		want := new(big.Int).Mul(u64(x), u64(y))
		if got := mulDiv(x, y, z); want.Div(want, u64(z)).Cmp(u64(got)) != 0 {
			rt.Fatalf("%d x %d / %d is %d, want %s", x, y, z, got, want)
		}
	})
}
