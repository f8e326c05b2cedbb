package index

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// TestBits holds the bounds of what begins with some bits against looking at
// every bit.
func TestBits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0x7f, 0x80, 0xfe, 0xff}), 3, 3).Draw(t, "name")
		count := rapid.IntRange(0, 24).Draw(t, "count")
		b := Bits{Bytes: bytes.Clone(name[:(count+7)/8]), Count: count}
		if part := count % 8; part != 0 {
			b.Bytes[count/8] &= 0xff << (8 - part)
		}
		other := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0x7f, 0x80, 0xfe, 0xff}), 3, 3).Draw(t, "other")
		begins := true
		for i := range count {
			begins = begins && (name[i/8]^other[i/8])&(128>>(i%8)) == 0
		}
		end := b.end()
		within := bytes.Compare(other, b.Bytes) >= 0 && (end == nil || bytes.Compare(other, end) < 0)
		if within != begins {
			t.Fatalf("%x is in [%x, %x): %t; begins with %d bits of %x: %t", other, b.Bytes, end, within, count, name, begins)
		}
	})
}
