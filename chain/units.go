package chain

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// Height is a block height, the only clock the rules know. The first block
// has height 1; 0 is genesis.
type Height uint64

// GiB is 2^30 bytes, the size that prices and collateral are quoted for.
const GiB = 1 << 30

// DealPrice returns what storing paddedSize bytes for duration blocks costs at
// price attoPDR per GiB per block: ceil(price * paddedSize * duration / 2^30).
func DealPrice(price Amount, paddedSize, duration uint64) (Amount, error) {
	hi, lo := bits.Mul64(paddedSize, duration)
	if hi != 0 {
		return Amount{}, ErrAmountOverflow
	}
	return price.MulDivCeil(lo, GiB)
}

// PerGiB returns ceil(rate * size / 2^30): an amount quoted per GiB, for size bytes.
func PerGiB(rate Amount, size uint64) (Amount, error) { return rate.MulDivCeil(size, GiB) }

var sizeUnits = []struct {
	suffix string
	bytes  uint64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"B", 1}}

// ParseSize reads a number of bytes with a binary unit: "8MiB", "2KiB", "512".
func ParseSize(s string) (uint64, error) {
	text, unit := strings.TrimSpace(s), uint64(1)
	for _, u := range sizeUnits {
		if t, ok := strings.CutSuffix(text, u.suffix); ok {
			text, unit = strings.TrimSpace(t), u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("size %q: want a whole number with B, KiB, MiB, GiB or TiB", s)
	}
	hi, lo := bits.Mul64(n, unit)
	if hi != 0 {
		return 0, fmt.Errorf("size %q: more than 2^64 bytes", s)
	}
	return lo, nil
}

// FormatSize writes a number of bytes with the largest binary unit that
// divides it: "8MiB".
func FormatSize(n uint64) string {
	for i := len(sizeUnits) - 2; i >= 0; i-- {
		if u := sizeUnits[i]; n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatUint(n/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatUint(n, 10) + "B"
}
