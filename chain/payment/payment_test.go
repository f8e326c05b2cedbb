package payment

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/perdure/perdure/chain"
)

const testChain = "perdure-test"

func channel(balance uint64) *chain.Channel {
	return &chain.Channel{ID: 7, Balance: chain.Atto(balance)}
}

func voucher(nonce, amount, price, ticks uint64, seed byte) (chain.Voucher, *Ticks) {
	t, err := NewTicks([32]byte{seed}, ticks)
	if err != nil {
		panic(err)
	}
	return chain.Voucher{Version: chain.MessageVersion, ChainID: testChain, Channel: 7, Nonce: nonce, Amount: chain.Atto(amount),
		Anchor: t.Anchor(), TickPrice: chain.Atto(price), MaxTicks: ticks, ExpiresAt: 100}, t
}

func claim(v chain.Voucher, t *Ticks, k uint64) *Claim {
	x, err := t.Tick(k)
	if err != nil {
		panic(err)
	}
	return &Claim{Voucher: v, Ticks: k, Tick: x}
}

// TestTicksAgainstHashing compares a chain in any order of access with plain hashing.
func TestTicksAgainstHashing(t *testing.T) {
	for _, length := range []uint64{1, 2, 255, 256, 257, 512, 1000} {
		seed := [32]byte{byte(length)}
		ticks, err := NewTicks(seed, length)
		if err != nil {
			t.Fatal(err)
		}
		want := make([][32]byte, length+1)
		want[length] = sha256.Sum256(append([]byte("perdure/ticks/1"), seed[:]...))
		for k := length; k > 0; k-- {
			want[k-1] = sha256.Sum256(want[k][:])
		}
		if ticks.Anchor() != want[0] {
			t.Fatalf("length %d: anchor differs", length)
		}
		for step := range length + 1 {
			for _, k := range []uint64{step, length - step, step * 7 % (length + 1)} {
				got, err := ticks.Tick(k)
				if err != nil || got != want[k] {
					t.Fatalf("length %d: tick %d differs (%v)", length, k, err)
				}
			}
		}
		if _, err := ticks.Tick(length + 1); err == nil {
			t.Errorf("length %d: tick beyond the chain", length)
		}
	}
	for _, length := range []uint64{0, chain.MaxTicks + 1} {
		if _, err := NewTicks([32]byte{}, length); err == nil {
			t.Errorf("chain of %d ticks was made", length)
		}
	}
	if err := CheckTick([32]byte{}, 1<<60, [32]byte{}); !errors.Is(err, ErrTick) {
		t.Errorf("too many hops: %v", err)
	}
}

// TestRedeemSteps redeems one lane step by step and tries everything wrong in between.
func TestRedeemSteps(t *testing.T) {
	v, ticks := voucher(3, 10, 2, 300, 1)
	other := v
	other.TickPrice = chain.Atto(3)
	newer, newerTicks := voucher(4, 610, 1, 5, 2)
	late := v
	late.ExpiresAt = 49
	older, olderTicks := voucher(2, 5000, 0, 1, 3)
	elsewhere := v
	elsewhere.ChainID = "another"
	c := channel(700)
	for i, step := range []struct {
		claim *Claim
		pay   uint64
		err   error
	}{
		{claim(elsewhere, ticks, 1), 0, ErrElse},
		{claim(late, ticks, 1), 0, ErrExpired},
		{&Claim{Voucher: v, Ticks: 301}, 0, ErrTicks},
		{&Claim{Voucher: v, Ticks: 2, Tick: claim(v, ticks, 1).Tick}, 0, ErrTick},
		{claim(v, ticks, 0), 10, nil},
		{claim(v, ticks, 0), 0, ErrNothing},
		{claim(v, ticks, 20), 40, nil},
		{claim(v, ticks, 20), 0, ErrNothing},
		{claim(v, ticks, 19), 0, ErrNothing},
		{claim(other, ticks, 30), 0, ErrConflict},
		{claim(older, olderTicks, 1), 0, ErrStale},
		{claim(v, ticks, 300), 560, nil},
		{claim(newer, newerTicks, 0), 0, ErrNothing},
		{claim(newer, newerTicks, 5), 5, nil},
		{claim(v, ticks, 300), 0, ErrStale},
	} {
		next, pay, err := Redeem(c, testChain, 50, step.claim)
		if !errors.Is(err, step.err) || pay != chain.Atto(step.pay) {
			t.Fatalf("step %d: paid %s, error %v; want %d, %v", i, pay, err, step.pay, step.err)
		}
		if err == nil {
			c = next
		}
	}
	if c.Balance != chain.Atto(85) || c.Redeemed != chain.Atto(615) {
		t.Errorf("channel has %s left and redeemed %s", c.Balance, c.Redeemed)
	}
	big, bigTicks := voucher(1, 86, 0, 1, 4)
	big.Lane = 1
	if _, _, err := Redeem(c, testChain, 50, claim(big, bigTicks, 0)); !errors.Is(err, ErrOverdraw) {
		t.Errorf("overdraw: %v", err)
	}
}

func TestLanesAreBounded(t *testing.T) {
	c := channel(1000)
	for lane := range uint64(chain.MaxLanes + 1) {
		v, ticks := voucher(1, 1, 0, 1, 1)
		v.Lane = lane
		next, _, err := Redeem(c, testChain, 1, claim(v, ticks, 0))
		if lane == chain.MaxLanes {
			if !errors.Is(err, ErrLanes) {
				t.Errorf("lane %d: %v", lane, err)
			}
			if _, err := Accept(c, nil, &v, testChain, 1, 1); !errors.Is(err, ErrLanes) {
				t.Errorf("accept lane %d: %v", lane, err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		c = next
	}
}

// TestAcceptedIsPaid: whatever sequence of vouchers on whatever lanes a payee
// accepts, and whenever it redeems, everything that it delivered against is
// paid in full in the end.
func TestAcceptedIsPaid(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := channel(rapid.Uint64Range(0, 3000).Draw(rt, "balance"))
		start := c.Balance
		held := map[uint64]*Claim{}
		list := func() (out []Claim) {
			for lane := range uint64(3) {
				if held[lane] != nil {
					out = append(out, *held[lane])
				}
			}
			return out
		}
		var earned uint64
		redeem := func(lane uint64) {
			if held[lane] == nil {
				return
			}
			next, _, err := Redeem(c, testChain, 5, held[lane])
			if err != nil && !errors.Is(err, ErrNothing) {
				rt.Fatalf("redeem lane %d: %v", lane, err)
			}
			if err == nil {
				c = next
			}
		}
		for i := range rapid.IntRange(1, 30).Draw(rt, "steps") {
			lane := rapid.Uint64Range(0, 2).Draw(rt, "lane")
			if rapid.Bool().Draw(rt, "redeem") {
				redeem(lane)
				continue
			}
			amount := uint64(0)
			if held[lane] != nil {
				total, err := held[lane].Worth()
				if err != nil {
					rt.Fatal(err)
				}
				amount = total.Big().Uint64()
			}
			v, ticks := voucher(uint64(i+1), amount, rapid.Uint64Range(0, 50).Draw(rt, "price"), 20, byte(i))
			v.Lane = lane
			n, err := Accept(c, list(), &v, testChain, 5, 10)
			if err != nil {
				if !errors.Is(err, ErrOverdraw) {
					rt.Fatalf("accept: %v", err)
				}
				continue
			}
			k := rapid.Uint64Range(0, n).Draw(rt, "chunks")
			held[lane] = claim(v, ticks, k)
			earned += k * v.TickPrice.Big().Uint64()
		}
		for lane := range uint64(3) {
			redeem(lane)
		}
		if c.Redeemed != chain.Atto(earned) {
			rt.Fatalf("earned %d, paid %s", earned, c.Redeemed)
		}
		if sum, err := c.Redeemed.Add(c.Balance); err != nil || sum != start {
			rt.Fatalf("channel held %s, now %s and paid %s", start, c.Balance, c.Redeemed)
		}
	})
}

func TestAcceptRefuses(t *testing.T) {
	v, ticks := voucher(5, 100, 10, 10, 1)
	held := []Claim{*claim(v, ticks, 4)}
	change := func(f func(*chain.Voucher)) *chain.Voucher { w := v; f(&w); return &w }
	settling := channel(1000)
	settling.SettleAt = 9
	for name, c := range map[string]struct {
		channel *chain.Channel
		v       *chain.Voucher
		want    error
	}{
		"the same again":    {channel(1000), &v, nil},
		"settling":          {settling, &v, ErrSettling},
		"short life":        {channel(1000), change(func(v *chain.Voucher) { v.ExpiresAt = 59 }), ErrShortLife},
		"stale":             {channel(1000), change(func(v *chain.Voucher) { v.Nonce = 4 }), ErrStale},
		"same nonce":        {channel(1000), change(func(v *chain.Voucher) { v.TickPrice = chain.Atto(9) }), ErrConflict},
		"starts below":      {channel(1000), change(func(v *chain.Voucher) { v.Nonce, v.Amount = 6, chain.Atto(139) }), ErrBehind},
		"starts from there": {channel(1000), change(func(v *chain.Voucher) { v.Nonce, v.Amount = 6, chain.Atto(140) }), nil},
		"not covered":       {channel(99), &v, ErrOverdraw},
		"version":           {channel(1000), change(func(v *chain.Voucher) { v.Version = 2 }), ErrForm},
		"too many ticks":    {channel(1000), change(func(v *chain.Voucher) { v.MaxTicks = chain.MaxTicks + 1 }), ErrForm},
		"other channel":     {channel(1000), change(func(v *chain.Voucher) { v.Channel = 8 }), ErrElse},
	} {
		if _, err := Accept(c.channel, held, c.v, testChain, 50, 10); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if n, err := Accept(channel(155), held, &v, testChain, 50, 10); n != 5 || err != nil {
		t.Errorf("155 attoPDR cover %d ticks (%v), want 5", n, err)
	}
}

// FuzzVoucher redeems whatever decodes: no panic, and money is conserved.
func FuzzVoucher(f *testing.F) {
	v, ticks := voucher(1, 10, 2, 5, 1)
	good, err := chain.Encode(&chain.RedeemVoucher{Voucher: chain.SignedVoucher{Voucher: v,
		Signature: chain.Signature{Type: 1, Data: bytes.Repeat([]byte{1}, 65)}}, Ticks: 5, Tick: claim(v, ticks, 5).Tick})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		r := new(chain.RedeemVoucher)
		if chain.Decode(b, r) != nil {
			return
		}
		c := channel(1000)
		next, pay, err := Redeem(c, testChain, 50, &Claim{Voucher: r.Voucher.Voucher, Ticks: r.Ticks, Tick: r.Tick})
		if err != nil {
			return
		}
		if sum, err := next.Balance.Add(pay); err != nil || sum != c.Balance || pay.IsZero() {
			t.Fatalf("balance %s, paid %s, left %s", c.Balance, pay, next.Balance)
		}
	})
}

func BenchmarkNewTicks(b *testing.B) {
	for b.Loop() {
		if _, err := NewTicks([32]byte{}, chain.MaxTicks); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTickInOrder(b *testing.B) {
	ticks, err := NewTicks([32]byte{}, chain.MaxTicks)
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		if _, err := ticks.Tick(uint64(i % chain.MaxTicks)); err != nil {
			b.Fatal(err)
		}
	}
}
