package sha256lanes

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// randomRun returns a run of some nodes from first on, and lanes with room for just these nodes.
// Everything in them is random, base parents are anywhere before their node.
func randomRun(random *rand.Rand, layer, first uint32, nodes, lanes int) (Run, []Lane) {
	run := Run{Layer: layer, First: first, Parents: make([][Parents]uint32, nodes)}
	for i := range run.Parents {
		for j := range run.Parents[i] {
			run.Parents[i][j] = random.Uint32() // expander parents are not read
			if j < BaseParents {
				run.Parents[i][j] %= max(first+uint32(i), 1)
			}
		}
	}
	sectors := make([]Lane, lanes)
	for i := range sectors {
		sectors[i].Current = randomNodes(random, int(first)+nodes)
		sectors[i].ReplicaID = randomNodes(random, 1)[0]
		if layer > 1 {
			sectors[i].Expander = randomNodes(random, nodes*ExpanderParents)
		}
	}
	return run, sectors
}

func randomNodes(random *rand.Rand, n int) [][NodeSize]byte {
	nodes := make([][NodeSize]byte, n)
	b := Bytes(nodes)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return nodes
}

// TestLabelKernels compares every kernel of the processor with the definition: runs from node 0 and
// later ones, shorter and longer than parents are fetched ahead and than one call of machine code.
func TestLabelKernels(t *testing.T) {
	for _, k := range LabelKernels() {
		t.Run(k.Name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, uint64(k.Lanes)))
			for _, layer := range []uint32{1, 2, 11, 1 << 31} {
				for _, first := range []uint32{0, 1, 2, 77} {
					for _, nodes := range []int{0, 1, 2, 15, 16, 17, 40, 1300} {
						run, lanes := randomRun(random, layer, first, nodes, k.Lanes)
						checkKernel(t, k, &run, lanes)
					}
				}
			}
		})
	}
}

// checkKernel checks the labels of a run, and that nothing else changed.
func checkKernel(t *testing.T, k LabelKernel, run *Run, lanes []Lane) {
	t.Helper()
	before := make([][]byte, len(lanes))
	for i := range lanes {
		before[i] = bytes.Clone(Bytes(lanes[i].Current[:run.First]))
	}
	k.Label(run, lanes)
	for i := range lanes {
		if !bytes.Equal(before[i], Bytes(lanes[i].Current[:run.First])) {
			t.Fatalf("lane %d: nodes before the run changed", i)
		}
		checkRun(t, run, &lanes[i])
	}
}

// FuzzLabels compares every kernel of the processor with crypto/sha256.
func FuzzLabels(f *testing.F) {
	f.Add(uint64(1), uint32(1), uint16(0), uint16(3))
	f.Add(uint64(2), uint32(2), uint16(5), uint16(40))
	f.Fuzz(func(t *testing.T, seed uint64, layer uint32, first, nodes uint16) {
		random := rand.New(rand.NewPCG(seed, 0))
		for _, k := range LabelKernels() {
			run, lanes := randomRun(random, max(layer, 1), uint32(first%512), int(nodes%64), k.Lanes)
			checkKernel(t, k, &run, lanes)
		}
	})
}

// TestLabelsRefuses gives what would make machine code read or write out of bounds.
func TestLabelsRefuses(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 0))
	for name, spoil := range map[string]func(run *Run, lanes []Lane){
		"layer too short":      func(run *Run, lanes []Lane) { lanes[1].Current = lanes[1].Current[:19] },
		"no expander labels":   func(run *Run, lanes []Lane) { lanes[1].Expander = nil },
		"few expander labels":  func(run *Run, lanes []Lane) { lanes[0].Expander = lanes[0].Expander[:79] },
		"parent is the node":   func(run *Run, lanes []Lane) { run.Parents[3][5] = run.First + 3 },
		"parent out of layer":  func(run *Run, lanes []Lane) { run.Parents[9][0] = 1 << 31 },
		"nodes beyond 32 bits": func(run *Run, lanes []Lane) { run.First = 1<<32 - 1 },
	} {
		t.Run(name, func(t *testing.T) {
			run, lanes := randomRun(random, 2, 10, 10, 2)
			spoil(&run, lanes)
			defer func() {
				if recover() == nil {
					t.Error("accepted")
				}
			}()
			Labels(&run, lanes)
		})
	}
}

// TestRounds says which chains the measuring loop knows.
func TestRounds(t *testing.T) {
	if Rounds(3, 1) {
		t.Error("ran three chains")
	}
	fast := len(LabelKernels()) > 1
	for _, chains := range []int{1, 2, 4} {
		if Rounds(chains, 2000) != fast {
			t.Errorf("%d chains: want %v", chains, fast)
		}
	}
}

// BenchmarkRounds measures the instruction for two rounds: with one chain its latency, with four its
// throughput. A node has twenty blocks.
func BenchmarkRounds(b *testing.B) {
	for name, chains := range map[string]int{"chains=1": 1, "chains=2": 2, "chains=4": 4} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if !Rounds(chains, 1000) {
					b.Skip("no instruction for rounds")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(1000*chains)*20, "ns/node")
		})
	}
}
