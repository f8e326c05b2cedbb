package layers

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/minio/sha256-simd"
)

// BenchmarkLayer labels layer 2 of some sectors of 32 MiB in step, all that belongs to it included:
// parents, files, digests. Reported are the nodes a second of all sectors, on all cores that -cpu
// gives, and their ratio to the reference on one core in the same run: hashes a second of messages
// as long as a label's, by sha256-simd.
func BenchmarkLayer(b *testing.B) {
	const nodes = 32 * mib / nodeSize
	for _, n := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("sectors=%d", n), func(b *testing.B) {
			e := newEngine(b, Config{Graph: newGraph(b, nodes)})
			s := newSectors(b, n)
			s.label(b, e, 1)
			var labelled, hashed float64 // seconds a node
			for b.Loop() {
				hashed += reference()
				start := time.Now()
				s.label(b, e, 2)
				labelled += time.Since(start).Seconds() / float64(n*nodes)
				hashed += reference()
				for i := range s {
					if err := os.Remove(s.path(i, 2)); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.N)/labelled, "nodes/s")
			b.ReportMetric(hashed/2/labelled, "x-reference")
		})
	}
}

// reference returns the seconds of a hash of 1,248 bytes.
func reference() float64 {
	const hashes = 100_000
	var message [1248]byte
	start := time.Now()
	for range hashes {
		digest := sha256.Sum256(message[:])
		copy(message[64:], digest[:])
	}
	return time.Since(start).Seconds() / hashes
}
