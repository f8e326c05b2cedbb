//go:build unix

package consensus

import (
	"bytes"
	"syscall"
	"testing"
	"time"

	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/porep/poseidon"
)

// unitNanoseconds is what a unit stands for: about an eighth of a microsecond
// of one core.
const unitNanoseconds = 125

// BenchmarkUnits measures what Params put a number of units on, and reports
// the units that it took: of processor time, so that other programs on the
// machine do not count.
func BenchmarkUnits(b *testing.B) {
	b.Run("signature", func(b *testing.B) {
		message := bytes.Repeat([]byte{1}, 200)
		sig, err := chain.Sign(keyOf("a"), message)
		must(b, err)
		signer := addressOf(b, "a")
		measure(b, func() { must(b, Direct{}.Signature(&sig, signer, message)) })
	})
	b.Run("hash", func(b *testing.B) {
		var nodes [64]byte
		measure(b, func() {
			sum := sha256.Sum256(nodes[:])
			copy(nodes[:], sum[:])
		})
	})
	for _, kernel := range poseidon.Kernels() {
		b.Run("poseidon/rows/"+kernel.Name, func(b *testing.B) {
			h, err := poseidon.New(8)
			must(b, err)
			nodes, parents := make([][32]byte, 8*rowHashes), make([][32]byte, rowHashes)
			measureMany(b, rowHashes, func() { must(b, kernel.HashRow(h, nodes, parents)) })
		})
	}
	b.Run("poseidon/alone", func(b *testing.B) {
		nodes := make([][32]byte, 8)
		measure(b, func() {
			sum, err := poseidon.Hash(nodes)
			must(b, err)
			nodes[0] = sum
		})
	})
}

// rowHashes is how many hashes of a row are measured at once: as many as one
// sector's challenges have on a level, about.
const rowHashes = 8

func measure(b *testing.B, f func()) { measureMany(b, 1, f) }

// measureMany measures something that is done many times by each call.
func measureMany(b *testing.B, many int, f func()) {
	start := processorTime(b)
	for b.Loop() {
		f()
	}
	spent := float64((processorTime(b) - start).Nanoseconds()) / float64(b.N*many)
	b.ReportMetric(spent, "cpu-ns/op")
	b.ReportMetric(spent/unitNanoseconds, "units")
}

// processorTime is what this process has used of all cores.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
