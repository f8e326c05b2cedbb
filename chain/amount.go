package chain

import (
	"errors"
	"fmt"
	"io"
	"math/big"
	"math/bits"
	"strconv"
	"strings"

	cbg "github.com/whyrusleeping/cbor-gen"
)

// Errors of money arithmetic. They are values, never panics: whatever a
// stranger writes into a message ends as a refused message.
var (
	ErrAmountOverflow  = errors.New("amount exceeds 128 bits")
	ErrAmountUnderflow = errors.New("amount would be negative")
)

// AttoPerPDR is the number of attoPDR in one PDR.
const AttoPerPDR = 1_000_000_000_000_000_000

// amountDecimals is log10 of AttoPerPDR.
const amountDecimals = 18

// Amount is a non-negative quantity of attoPDR, at most 2^128-1. The zero
// value is no money. Amounts are comparable with ==; their order is Cmp's.
type Amount struct{ hi, lo uint64 }

// Atto returns v attoPDR.
func Atto(v uint64) Amount { return Amount{lo: v} }

// PDR returns v whole coins.
func PDR(v uint64) Amount {
	hi, lo := bits.Mul64(v, AttoPerPDR)
	return Amount{hi: hi, lo: lo}
}

// MaxAmount returns the highest amount, 2^128 - 1 attoPDR.
func MaxAmount() Amount { return Amount{^uint64(0), ^uint64(0)} }

// IsZero reports whether a is no money.
func (a Amount) IsZero() bool { return a.hi|a.lo == 0 }

// Cmp returns -1, 0 or 1 as a is less than, equal to or greater than b.
func (a Amount) Cmp(b Amount) int {
	switch {
	case a == b:
		return 0
	case a.hi < b.hi || a.hi == b.hi && a.lo < b.lo:
		return -1
	}
	return 1
}

// Less reports whether a < b.
func (a Amount) Less(b Amount) bool { return a.Cmp(b) < 0 }

// BitLen returns the length of a in bits: 0 for nothing, 128 for the highest.
func (a Amount) BitLen() int {
	if a.hi != 0 {
		return 64 + bits.Len64(a.hi)
	}
	return bits.Len64(a.lo)
}

// mantissaBits is how many leading bits of an amount Coarse keeps.
const mantissaBits = 56

// Coarse returns a number that orders like the amount, roughly: if a < b then
// a.Coarse() <= b.Coarse(). Amounts below 2^56 stand for themselves, of others
// it is the length and the leading 56 bits.
func (a Amount) Coarse() uint64 {
	length := a.BitLen()
	if length <= mantissaBits {
		return a.lo
	}
	cut := length - mantissaBits // 1 to 72
	leading := a.lo>>cut | a.hi<<max(64-cut, 0)
	if cut > 64 {
		leading = a.hi >> (cut - 64)
	}
	return uint64(cut)<<mantissaBits | leading
}

// Min returns the smaller of a and b.
func (a Amount) Min(b Amount) Amount {
	if b.Less(a) {
		return b
	}
	return a
}

// Add returns a+b, or ErrAmountOverflow.
func (a Amount) Add(b Amount) (Amount, error) {
	lo, c := bits.Add64(a.lo, b.lo, 0)
	hi, c := bits.Add64(a.hi, b.hi, c)
	if c != 0 {
		return Amount{}, ErrAmountOverflow
	}
	return Amount{hi: hi, lo: lo}, nil
}

// Sub returns a-b, or ErrAmountUnderflow.
func (a Amount) Sub(b Amount) (Amount, error) {
	lo, c := bits.Sub64(a.lo, b.lo, 0)
	hi, c := bits.Sub64(a.hi, b.hi, c)
	if c != 0 {
		return Amount{}, ErrAmountUnderflow
	}
	return Amount{hi: hi, lo: lo}, nil
}

// Mul returns a*n, or ErrAmountOverflow.
func (a Amount) Mul(n uint64) (Amount, error) {
	carry, lo := bits.Mul64(a.lo, n)
	over, hi := bits.Mul64(a.hi, n)
	hi, c := bits.Add64(hi, carry, 0)
	if over != 0 || c != 0 {
		return Amount{}, ErrAmountOverflow
	}
	return Amount{hi: hi, lo: lo}, nil
}

// MulDiv returns a*n/d rounded down, with a 192-bit intermediate.
func (a Amount) MulDiv(n, d uint64) (Amount, error) { return a.ratio(n, d, false) }

// MulDivCeil returns a*n/d rounded up, with a 192-bit intermediate.
func (a Amount) MulDivCeil(n, d uint64) (Amount, error) { return a.ratio(n, d, true) }

// ratio multiplies and divides word by word, the highest first.
func (a Amount) ratio(n, d uint64, up bool) (Amount, error) {
	if d == 0 {
		return Amount{}, errors.New("divide amount by 0")
	}
	over, w0 := bits.Mul64(a.lo, n)
	w2, w1 := bits.Mul64(a.hi, n)
	w1, carry := bits.Add64(w1, over, 0)
	w2 += carry // the product is below 2^192
	if w2 >= d {
		return Amount{}, ErrAmountOverflow
	}
	var q Amount
	var r uint64
	q.hi, r = bits.Div64(w2, w1, d)
	q.lo, r = bits.Div64(r, w0, d)
	if up && r > 0 {
		return q.Add(Amount{lo: 1})
	}
	return q, nil
}

// Big returns a as a new big integer of attoPDR.
func (a Amount) Big() *big.Int {
	v := new(big.Int).SetUint64(a.hi)
	return v.Lsh(v, 64).Or(v, new(big.Int).SetUint64(a.lo))
}

// AmountFromBig returns v attoPDR; v must be in [0, 2^128).
func AmountFromBig(v *big.Int) (Amount, error) {
	if v.Sign() < 0 {
		return Amount{}, ErrAmountUnderflow
	}
	if v.BitLen() > 128 {
		return Amount{}, ErrAmountOverflow
	}
	lo := new(big.Int).And(v, new(big.Int).SetUint64(^uint64(0))).Uint64()
	return Amount{hi: new(big.Int).Rsh(v, 64).Uint64(), lo: lo}, nil
}

// Sum adds amounts, or returns ErrAmountOverflow.
func Sum(amounts ...Amount) (Amount, error) {
	var total Amount
	for _, a := range amounts {
		var err error
		if total, err = total.Add(a); err != nil {
			return Amount{}, err
		}
	}
	return total, nil
}

// String returns the decimal number of attoPDR, as every JSON surface shows it.
func (a Amount) String() string {
	var text [maxDigits]byte
	return string(a.appendDecimal(text[:0]))
}

// maxDigits is how many digits the highest amount has.
const maxDigits = 39

// appendDecimal writes 19 digits at a time, which is what a word holds.
func (a Amount) appendDecimal(b []byte) []byte {
	if a.hi == 0 {
		return strconv.AppendUint(b, a.lo, 10)
	}
	const unit uint64 = 1e19
	lo, rest := bits.Div64(a.hi%unit, a.lo, unit)
	b = Amount{hi: a.hi / unit, lo: lo}.appendDecimal(b)
	for zeros := unit / 10; zeros > rest && zeros > 1; zeros /= 10 {
		b = append(b, '0')
	}
	return strconv.AppendUint(b, rest, 10)
}

// Human returns the amount in PDR with its unit, exact: "1.5 PDR".
func (a Amount) Human() string {
	whole, rest := new(big.Int).QuoRem(a.Big(), new(big.Int).SetUint64(AttoPerPDR), new(big.Int))
	if rest.Sign() == 0 {
		return whole.String() + " PDR"
	}
	frac := strings.TrimRight(fmt.Sprintf("%0*d", amountDecimals, rest), "0")
	return whole.String() + "." + frac + " PDR"
}

// ParseAmount reads "12" and "12attoPDR" as attoPDR, "1.5PDR" and "1.5 PDR"
// as coins. Signs, exponents and more than 18 decimals are refused.
func ParseAmount(s string) (Amount, error) {
	text := strings.TrimSpace(s)
	if t, ok := strings.CutSuffix(text, "attoPDR"); ok {
		return parseDecimal(s, strings.TrimSpace(t), 0)
	}
	if t, ok := strings.CutSuffix(text, "PDR"); ok {
		return parseDecimal(s, strings.TrimSpace(t), amountDecimals)
	}
	return parseDecimal(s, text, 0)
}

func parseDecimal(given, digits string, decimals int) (Amount, error) {
	whole, frac, dotted := strings.Cut(digits, ".")
	if whole == "" || dotted && frac == "" || len(frac) > decimals || len(digits) > 60 {
		return Amount{}, fmt.Errorf("amount %q: want a number of attoPDR or, with the unit, of PDR", given)
	}
	all := whole + frac + strings.Repeat("0", decimals-len(frac))
	for _, c := range all {
		if c < '0' || c > '9' {
			return Amount{}, fmt.Errorf("amount %q: unexpected %q", given, c)
		}
	}
	v, _ := new(big.Int).SetString(all, 10)
	a, err := AmountFromBig(v)
	if err != nil {
		return Amount{}, fmt.Errorf("amount %q: %w", given, err)
	}
	return a, nil
}

// MarshalText writes the decimal number of attoPDR.
func (a Amount) MarshalText() ([]byte, error) {
	return a.appendDecimal(make([]byte, 0, maxDigits)), nil
}

// UnmarshalText reads what ParseAmount reads.
func (a *Amount) UnmarshalText(b []byte) error {
	v, err := ParseAmount(string(b))
	if err != nil {
		return err
	}
	*a = v
	return nil
}

// MarshalCBOR writes a byte string: big-endian, without leading zeros, at
// most 16 bytes; zero is the empty string. An absent amount (nil) is null.
func (a *Amount) MarshalCBOR(w io.Writer) error {
	if a == nil {
		_, err := w.Write(cbg.CborNull)
		return err
	}
	var buf [16]byte
	for i := range 8 {
		buf[7-i] = byte(a.hi >> (8 * i))
		buf[15-i] = byte(a.lo >> (8 * i))
	}
	b := buf[:]
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	return cbg.WriteByteArray(w, b)
}

// UnmarshalCBOR reads MarshalCBOR's form and refuses any other.
func (a *Amount) UnmarshalCBOR(r io.Reader) error {
	b, err := cbg.ReadByteArray(r, 16)
	if err != nil {
		return fmt.Errorf("amount: %w", err)
	}
	if len(b) > 0 && b[0] == 0 {
		return errors.New("amount: leading zero byte")
	}
	*a = Amount{}
	for _, c := range b {
		a.hi = a.hi<<8 | a.lo>>56
		a.lo = a.lo<<8 | uint64(c)
	}
	return nil
}
