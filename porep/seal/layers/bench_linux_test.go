package layers

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/minio/sha256-simd"
	"golang.org/x/sys/unix"
)

// BenchmarkLayer labels layer 2 of some sectors of 32 MiB in step, all that belongs to it included:
// parents, files, digests. Reported are the nodes a second of all sectors, the processor time of a
// node in user mode, and how many times that the reference takes: a hash of a message as long as a
// label's by sha256-simd, in the same run. Processor time is what others on the machine disturb least.
func BenchmarkLayer(b *testing.B) {
	const nodes = 32 * mib / nodeSize
	for _, n := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("sectors=%d", n), func(b *testing.B) {
			e := newEngine(b, Config{Graph: newGraph(b, nodes)})
			s := newSectors(b, n)
			s.label(b, e, 1)
			var wall, busy, hashing time.Duration
			for b.Loop() {
				hashing += reference(b, nodes)
				start, used := time.Now(), userTime(b)
				s.label(b, e, 2)
				wall, busy = wall+time.Since(start), busy+userTime(b)-used
				for i := range s {
					if err := os.Remove(s.path(i, 2)); err != nil {
						b.Fatal(err)
					}
				}
			}
			all := float64(b.N * n * nodes)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(all/wall.Seconds(), "nodes/s")
			b.ReportMetric(float64(busy.Nanoseconds())/all, "cpu-ns/node")
			b.ReportMetric(float64(hashing)*float64(n)/float64(busy), "x-reference")
		})
	}
}

// reference returns the processor time of hashes of 1,248 bytes.
func reference(b *testing.B, hashes int) time.Duration {
	var message [1248]byte
	start := userTime(b)
	for range hashes {
		digest := sha256.Sum256(message[:])
		copy(message[64:], digest[:])
	}
	return userTime(b) - start
}

func userTime(b *testing.B) time.Duration {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano())
}
