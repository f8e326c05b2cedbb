package page

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// group writes a number with its digits in groups of three: 12,345.
func group(n uint64) string { return grouped(strconv.FormatUint(n, 10)) }

func grouped(digits string) string {
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// coins are the units that amounts are shown in: the first whose least amount
// is reached.
var coins = []struct {
	from, unit int // powers of ten, in attoPDR
	decimals   int
	name       string
}{
	{24, 24, 3, "M PDR"}, {20, 18, 2, "PDR"}, {15, 18, 4, "PDR"}, {12, 12, 3, "µPDR"}, {9, 9, 3, "nPDR"}, {3, 6, 3, "pPDR"}, {0, 0, 0, "attoPDR"},
}

// pdr writes an amount for people, rounded to the nearest of what is shown.
func pdr(v *big.Int) string {
	for _, c := range coins {
		if v.Cmp(power(c.from)) >= 0 {
			return decimal(v, c.unit, c.decimals) + " " + c.name
		}
	}
	return "0 PDR"
}

func power(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// decimal writes v / 10^exponent with at most so many decimals.
func decimal(v *big.Int, exponent, decimals int) string {
	decimals = min(decimals, exponent)
	unit := power(exponent - decimals)
	v = new(big.Int).Add(v, new(big.Int).Rsh(unit, 1))
	v.Quo(v, unit)
	digits := v.String()
	if len(digits) <= decimals {
		digits = strings.Repeat("0", decimals-len(digits)+1) + digits
	}
	whole, rest := digits[:len(digits)-decimals], strings.TrimRight(digits[len(digits)-decimals:], "0")
	if rest == "" {
		return grouped(whole)
	}
	return grouped(whole) + "." + rest
}

var sizeNames = []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}

// size writes bytes in the largest binary unit of which there is at least one.
func size(n uint64) string {
	i := 0
	for i < len(sizeNames)-1 && n>>(10*(i+1)) > 0 {
		i++
	}
	milli := new(big.Int).Mul(new(big.Int).SetUint64(n), big.NewInt(1000))
	milli.Rsh(milli, uint(10*i))
	return decimal(milli, 3, 2) + " " + sizeNames[i]
}

// span writes a duration in its two largest units.
func span(d time.Duration) string {
	d = d.Round(time.Second)
	parts := []struct {
		n    int64
		name string
	}{{int64(d / (24 * time.Hour)), "d"}, {int64(d/time.Hour) % 24, "h"}, {int64(d/time.Minute) % 60, "min"}, {int64(d/time.Second) % 60, "s"}}
	for i, p := range parts {
		if p.n == 0 {
			continue
		}
		s := grouped(strconv.FormatInt(p.n, 10)) + " " + p.name
		if i+1 < len(parts) && parts[i+1].n != 0 {
			s += fmt.Sprintf(" %d %s", parts[i+1].n, parts[i+1].name)
		}
		return s
	}
	return "0 s"
}

// maxMillis keeps arithmetic of durations in range; it is 292 years.
const maxMillis = uint64(1<<63-1) / 1e6

// lasting is how long blocks take, about.
func (v *visit) lasting(blocks uint64) time.Duration {
	if v.millis == 0 || blocks > maxMillis/v.millis {
		return time.Duration(maxMillis) * time.Millisecond
	}
	return time.Duration(blocks*v.millis) * time.Millisecond
}

// percent writes part of whole.
func percent(part, whole *big.Int) string {
	if whole.Sign() == 0 {
		return "0 %"
	}
	p := new(big.Int).Mul(part, big.NewInt(10_000))
	p.Quo(p, whole)
	if p.Sign() == 0 && part.Sign() != 0 {
		return "< 0.01 %"
	}
	return decimal(p, 2, 2) + " %"
}

// short leaves of a long name its beginning and its end.
func short(s string) string {
	if len(s) <= 19 {
		return s
	}
	return s[:9] + "…" + s[len(s)-6:]
}

// sentence begins with a capital letter and ends with a full stop.
func sentence(s string) string {
	if s == "" {
		return s
	}
	if s[0] >= 'a' && s[0] <= 'z' {
		s = strings.ToUpper(s[:1]) + s[1:]
	}
	if strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}

// words writes a name like preCommitted as words: pre committed.
func words(name string) string {
	var b strings.Builder
	for i, r := range name {
		if r >= 'A' && r <= 'Z' && i > 0 && name[i-1] >= 'a' && name[i-1] <= 'z' {
			b.WriteByte(' ')
		}
		b.WriteString(strings.ToLower(string(r)))
	}
	return b.String()
}

// title is words with a capital letter.
func title(name string) string {
	w := words(name)
	if w == "" {
		return w
	}
	return strings.ToUpper(w[:1]) + w[1:]
}
