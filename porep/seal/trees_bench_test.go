package seal

import (
	"context"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/internal/sha256lanes"
	"github.com/perdure/perdure/porep/poseidon"
)

// BenchmarkTrees builds TreeC and TreeR of a sector of random labels, of 8 MiB, or of 512 MiB if
// PERDURE_BENCH_SIZE says so. Efficiency is the time that the hashes would take on all cores, at the
// speed of one core that does nothing else, measured before and after, in the time that the step
// took: reading, writing to the disk and the digests of files are what is missing.
func BenchmarkTrees(b *testing.B) {
	cfg := Config{ProofType: abi.RegisteredSealProof_StackedDrg8MiBV1_1, MinerID: 1000, Number: 1, Dir: b.TempDir()}
	switch size := os.Getenv("PERDURE_BENCH_SIZE"); size {
	case "", "8MiB":
	case "512MiB":
		cfg.ProofType = abi.RegisteredSealProof_StackedDrg512MiBV1_1
	default:
		b.Fatalf("PERDURE_BENCH_SIZE is %q, want 8MiB or 512MiB", size)
	}
	s := open(b, cfg)
	random := rand.NewChaCha8([32]byte{1})
	for layer := range s.params.Layers {
		randomNodes(b, random, s.path(layerFile(layer+1)), s.params.Nodes)
	}
	randomNodes(b, random, s.path(sealedFile), s.params.Nodes)
	columns, inner := s.params.Nodes, (s.params.Nodes-1)/7*2 // leaves of TreeC; octree nodes of both

	var spent, hashing time.Duration
	for b.Loop() {
		hashing += time.Duration(columns)*hashTime(b, s.params.Layers) + time.Duration(inner)*hashTime(b, 8)
		start := time.Now()
		if err := s.buildTreeC(b.Context()); err != nil {
			b.Fatal(err)
		}
		if err := s.buildTreeRLast(b.Context()); err != nil {
			b.Fatal(err)
		}
		spent += time.Since(start)
		drop := append(baseFiles(treeCFile, s.params.Shape), baseFiles(treeRLastFile, s.params.Shape)...)
		if err := s.remove(drop); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(spent.Seconds()/float64(b.N), "s/trees")
	b.ReportMetric(float64(columns+inner)*float64(b.N)/spent.Seconds(), "hashes/s")
	b.ReportMetric(100*hashing.Seconds()/float64(runtime.GOMAXPROCS(0))/spent.Seconds(), "%efficiency")
}

// hashTime is the time of a hash in a long row on one core: the best of some short runs.
func hashTime(b *testing.B, arity int) time.Duration {
	h, err := poseidon.New(arity)
	if err != nil {
		b.Fatal(err)
	}
	const hashes = 1 << 9
	children, parents := make([]merkle.Node, hashes*arity), make([]merkle.Node, hashes)
	best := time.Hour
	for range 50 {
		start := time.Now()
		if err := h.HashRow(children, parents); err != nil {
			b.Fatal(err)
		}
		best = min(best, time.Since(start))
	}
	return best / hashes
}

// randomNodes makes a file of nodes.
func randomNodes(b *testing.B, random *rand.ChaCha8, path string, nodes uint64) {
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	part := make([]merkle.Node, 1<<12)
	for range nodes / uint64(len(part)) {
		random.Read(sha256lanes.Bytes(part))
		for i := range part {
			part[i][31] &= 0x3f
		}
		if _, err := file.Write(sha256lanes.Bytes(part)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBuild is the part of BenchmarkTrees that is not the files: TreeR of 8 MiB from memory.
func BenchmarkBuild(b *testing.B) {
	leaves := make([]merkle.Node, 1<<18)
	run := parallel(context.Background(), runtime.GOMAXPROCS(0))
	for b.Loop() {
		if _, err := merkle.Build(poseidon.Tree{}, merkle.Octree, uint64(len(leaves)), merkle.LeavesOf(leaves), nil, run); err != nil {
			b.Fatal(err)
		}
	}
}
