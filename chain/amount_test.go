package chain

import (
	"encoding/json"
	"errors"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// amounts draws values of every magnitude, the borders often.
func amounts() *rapid.Generator[Amount] {
	word := rapid.OneOf(rapid.Uint64(), rapid.SampledFrom([]uint64{0, 1, ^uint64(0), 1 << 63, AttoPerPDR}))
	return rapid.Custom(func(t *rapid.T) Amount {
		a := Amount{lo: word.Draw(t, "lo")}
		if rapid.Bool().Draw(t, "large") {
			a.hi = word.Draw(t, "hi")
		}
		return a
	})
}

var limit = new(big.Int).Lsh(big.NewInt(1), 128)

// agrees checks a result against the same computation on big integers.
func agrees(t *rapid.T, name string, got Amount, err error, want *big.Int) {
	t.Helper()
	switch {
	case want.Sign() < 0:
		if !errors.Is(err, ErrAmountUnderflow) {
			t.Fatalf("%s: %v, %s; want underflow", name, got, err)
		}
	case want.Cmp(limit) >= 0:
		if !errors.Is(err, ErrAmountOverflow) {
			t.Fatalf("%s: %v, %v; want overflow", name, got, err)
		}
	case err != nil || got.Big().Cmp(want) != 0:
		t.Fatalf("%s: %s, %v; want %s", name, got, err, want)
	}
}

// TestAmountAgainstBig compares all arithmetic with math/big.
func TestAmountAgainstBig(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := amounts().Draw(t, "a"), amounts().Draw(t, "b")
		n := rapid.OneOf(rapid.Uint64(), rapid.SampledFrom([]uint64{0, 1, ^uint64(0)})).Draw(t, "n")
		d := rapid.OneOf(rapid.Uint64Min(1), rapid.SampledFrom([]uint64{1, 1 << 30, ^uint64(0)})).Draw(t, "d")
		x, y := a.Big(), b.Big()
		bn, bd := new(big.Int).SetUint64(n), new(big.Int).SetUint64(d)
		got, err := a.Add(b)
		agrees(t, "add", got, err, new(big.Int).Add(x, y))
		got, err = a.Sub(b)
		agrees(t, "sub", got, err, new(big.Int).Sub(x, y))
		product := new(big.Int).Mul(x, bn)
		got, err = a.Mul(n)
		agrees(t, "mul", got, err, product)
		floor, rest := new(big.Int).QuoRem(product, bd, new(big.Int))
		got, err = a.MulDiv(n, d)
		agrees(t, "muldiv", got, err, floor)
		if rest.Sign() > 0 {
			floor.Add(floor, big.NewInt(1))
		}
		got, err = a.MulDivCeil(n, d)
		agrees(t, "muldivceil", got, err, floor)
		got, err = Sum(a, b, a)
		agrees(t, "sum", got, err, new(big.Int).Add(new(big.Int).Add(x, y), x))
		if a.String() != x.String() {
			t.Fatalf("%s is written %s", x, a)
		}
		if a.Cmp(b) != x.Cmp(y) || a.Less(b) != (x.Cmp(y) < 0) || a.IsZero() != (x.Sign() == 0) {
			t.Fatalf("order of %s and %s", a, b)
		}
		if m := a.Min(b); m.Cmp(a) > 0 || m.Cmp(b) > 0 || m != a && m != b {
			t.Fatalf("the smaller of %s and %s is %s", a, b, m)
		}
		roundTrips(t, a)
	})
}

func roundTrips(t *rapid.T, a Amount) {
	t.Helper()
	for _, text := range []string{a.String(), a.Human(), a.String() + " attoPDR"} {
		if back, err := ParseAmount(text); err != nil || back != a {
			t.Fatalf("%q reads as %s, %v", text, back, err)
		}
	}
	raw, err := Encode(&a)
	var back Amount
	if err != nil || Decode(raw, &back) != nil || back != a {
		t.Fatalf("%s encodes as %x and reads back as %s", a, raw, back)
	}
	text, err := json.Marshal(a)
	if err != nil || string(text) != `"`+a.String()+`"` || json.Unmarshal(text, &back) != nil || back != a {
		t.Fatalf("%s is %s in JSON and reads back as %s", a, text, back)
	}
}

func TestParseAmount(t *testing.T) {
	for text, want := range map[string]Amount{
		"0": {}, "12": Atto(12), "12attoPDR": Atto(12), " 1 PDR ": PDR(1), "1.5PDR": Atto(1_500_000_000_000_000_000),
		"0.000000000000000001 PDR": Atto(1), "00007": Atto(7),
		"340282366920938463463374607431768211455": {^uint64(0), ^uint64(0)},
	} {
		if got, err := ParseAmount(text); err != nil || got != want {
			t.Errorf("%q: %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "PDR", "-1", "+1", "1e5", "1.5", "1.PDR", ".5PDR", "1.5attoPDR", "0x10", "1,5PDR", "1 2",
		"0.0000000000000000001PDR", "340282366920938463463374607431768211456", "1pdr", "1 EUR", "１"} {
		if got, err := ParseAmount(text); err == nil {
			t.Errorf("%q reads as %s", text, got)
		}
	}
	if _, err := Atto(1).MulDiv(1, 0); err == nil {
		t.Error("division by zero passes")
	}
}

func FuzzParseAmount(f *testing.F) {
	for _, s := range []string{"1", "1.5PDR", "12 attoPDR", "-1", "1e9", "340282366920938463463374607431768211455"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAmount(s)
		if err != nil {
			return
		}
		if back, err := ParseAmount(a.String()); err != nil || back != a {
			t.Fatalf("%q reads as %s, which reads as %s (%v)", s, a, back, err)
		}
		if back, err := ParseAmount(a.Human()); err != nil || back != a {
			t.Fatalf("%q reads as %s, which reads as %s (%v)", s, a.Human(), back, err)
		}
	})
}

// TestCoarse: coarse numbers order like the amounts, and tell close ones apart
// up to 2^56.
func TestCoarse(t *testing.T) {
	amounts := []Amount{{}, Atto(1), Atto(2)}
	for shift := range 128 {
		one := Amount{lo: 1 << shift}
		if shift >= 64 {
			one = Amount{hi: 1 << (shift - 64)}
		}
		below, err := one.Sub(Atto(1))
		if err != nil {
			t.Fatal(err)
		}
		above, err := one.Add(Atto(1))
		if err != nil {
			t.Fatal(err)
		}
		amounts = append(amounts, below, one, above)
	}
	amounts = append(amounts, MaxAmount())
	for _, a := range amounts {
		for _, b := range amounts {
			if a.Less(b) && a.Coarse() > b.Coarse() || a.Coarse() == b.Coarse() && a != b && a.Less(Atto(1<<56)) {
				t.Errorf("%s and %s: coarse %x and %x", a, b, a.Coarse(), b.Coarse())
			}
		}
	}
}
