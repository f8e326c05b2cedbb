package consensus

import (
	"math/big"
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
