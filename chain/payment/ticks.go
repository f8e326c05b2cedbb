package payment

import (
	"errors"
	"fmt"

	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/chain"
)

// ErrTick says that a tick does not belong to the hash chain.
var ErrTick = errors.New("tick does not hash to the chain")

// domainTicks keeps a seed from being an element of any hash chain.
const domainTicks = "perdure/ticks/1"

// stride is the distance of a chain's checkpoints: about the square root of MaxTicks.
const stride = 256

// Step hashes a tick hops times.
func Step(tick [32]byte, hops uint64) [32]byte {
	for range hops {
		tick = sha256.Sum256(tick[:])
	}
	return tick
}

// CheckTick checks that tick is hops links beyond from: SHA-256^hops(tick) =
// from. It refuses more than chain.MaxTicks hops without hashing.
func CheckTick(from [32]byte, hops uint64, tick [32]byte) error {
	if hops > chain.MaxTicks {
		return fmt.Errorf("%w: %d hops exceed %d", ErrTick, hops, chain.MaxTicks)
	}
	if Step(tick, hops) != from {
		return ErrTick
	}
	return nil
}

// Ticks is a payer's hash chain. It keeps a checkpoint every 256 links (at
// most 8 KiB) and the segment in use, so that ticks revealed in order cost one
// hash each. It is not safe for concurrent use.
type Ticks struct {
	length      uint64
	checkpoints [][32]byte       // x_(stride*i); the last one is x_length
	segment     [stride][32]byte // x_(stride*index) ...
	index       uint64           // 1 + index of the segment; 0: none
}

// NewTicks computes the chain of length ticks that a seed gives:
// x_length = SHA-256("perdure/ticks/1" || seed). The seed must be secret and
// serve one voucher only. length is 1 to chain.MaxTicks.
func NewTicks(seed [32]byte, length uint64) (*Ticks, error) {
	if length == 0 || length > chain.MaxTicks {
		return nil, fmt.Errorf("hash chain of %d ticks, want 1 to %d", length, chain.MaxTicks)
	}
	t := &Ticks{length: length, checkpoints: make([][32]byte, (length+stride-1)/stride+1)}
	x := sha256.Sum256(append([]byte(domainTicks), seed[:]...))
	t.checkpoints[len(t.checkpoints)-1] = x
	for k := length; k > 0; {
		k--
		x = sha256.Sum256(x[:])
		if k%stride == 0 {
			t.checkpoints[k/stride] = x
		}
	}
	return t, nil
}

// Anchor is x_0, which the voucher names.
func (t *Ticks) Anchor() [32]byte { return t.checkpoints[0] }

// Tick is x_k, which pays chunk k (from 1).
func (t *Ticks) Tick(k uint64) ([32]byte, error) {
	switch {
	case k > t.length:
		return [32]byte{}, fmt.Errorf("tick %d of a chain of %d", k, t.length)
	case k == t.length:
		return t.checkpoints[len(t.checkpoints)-1], nil
	}
	if i := k / stride; t.index != i+1 {
		t.fill(i)
	}
	return t.segment[k%stride], nil
}

// fill computes segment i from the checkpoint above it.
func (t *Ticks) fill(i uint64) {
	top := min((i+1)*stride, t.length)
	x := t.checkpoints[i+1]
	for k := top; k > i*stride; {
		k--
		x = sha256.Sum256(x[:])
		t.segment[k%stride] = x
	}
	t.index = i + 1
}
