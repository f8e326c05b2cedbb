package node

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
)

// BenchmarkRestart starts a node that has kept all of PERDURE_BENCH_BLOCKS
// blocks (500), their states and their history: how long it takes to open, and
// to commit its next block.
func BenchmarkRestart(b *testing.B) {
	blocks := uint64(500)
	if text := os.Getenv("PERDURE_BENCH_BLOCKS"); text != "" {
		var err error
		if blocks, err = strconv.ParseUint(text, 10, 32); err != nil {
			b.Fatalf("PERDURE_BENCH_BLOCKS: %v", err)
		}
	}
	home, c := newHome(b)
	c.Retention.Blocks, c.Retention.State, c.Snapshots.Keep = 1<<32, 1<<32, 0
	o := Options{Home: home, Config: c, Pace: Pace{Commit: time.Microsecond, Hasty: true}}
	reach(b, o, chain.Height(blocks))
	b.ResetTimer()
	var open, next time.Duration
	for range b.N {
		begun := time.Now()
		n, stop := run(b, o)
		open += time.Since(begun)
		tip := n.Store().View().Height()
		if n.Store().Oldest() != 0 || n.keptBlocks() < blocks {
			b.Fatalf("kept are states from %d and %d blocks", n.Store().Oldest(), n.keptBlocks())
		}
		awaitHeight(n, tip+1)
		next += time.Since(begun)
		if err := stop(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(blocks), "blocks")
	b.ReportMetric(open.Seconds()/float64(b.N), "open-s")
	b.ReportMetric(next.Seconds()/float64(b.N), "next-block-s")
}
