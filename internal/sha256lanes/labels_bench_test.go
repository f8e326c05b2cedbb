package sha256lanes

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/porep/graph"
)

// BenchmarkLabels measures every kernel over layers of real graphs, the labels of expander parents
// gathered before. An operation is a run of nodes in all lanes of the kernel; beside each stands the
// reference, as many hashes of messages as long as a label's, in turns because the machine is
// seldom quiet. Reported are the medians of the time a node and of the reference's time over it.
func BenchmarkLabels(b *testing.B) {
	for _, log := range []int{18, 21} {
		for layer := uint32(1); layer <= 2; layer++ {
			runs := benchRuns(b, 1<<log, layer)
			for _, k := range LabelKernels() {
				b.Run(fmt.Sprintf("%dMiB/layer=%d/%s", NodeSize<<log>>20, layer, k.Name), func(b *testing.B) {
					benchLabels(b, k, runs, 1<<log)
				})
			}
		}
	}
}

const benchNodes = 256 // nodes in a run

func benchLabels(b *testing.B, k LabelKernel, runs []Run, nodes int) {
	random := rand.NewChaCha8([32]byte{3})
	lanes := make([]Lane, k.Lanes)
	for i := range lanes {
		lanes[i].Current = make([][NodeSize]byte, nodes)
		lanes[i].Expander = make([][NodeSize]byte, benchNodes*ExpanderParents)
		random.Read(lanes[i].ReplicaID[:])
		random.Read(Bytes(lanes[i].Current))
		random.Read(Bytes(lanes[i].Expander))
	}
	var message [labelBytes]byte
	var perNode, ratio []float64
	i := 0
	for b.Loop() {
		start := time.Now()
		k.Label(&runs[i%len(runs)], lanes)
		took := float64(time.Since(start)) / float64(benchNodes*k.Lanes)
		start = time.Now()
		for range benchNodes {
			digest := sha256.Sum256(message[:])
			copy(message[labelPrefix:], digest[:])
		}
		perNode = append(perNode, took)
		ratio = append(ratio, float64(time.Since(start))/benchNodes/took)
		i++
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(perNode), "ns/node")
	b.ReportMetric(median(ratio), "x-reference")
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// benchRuns returns runs of consecutive nodes spread over the later half of a layer.
func benchRuns(b *testing.B, nodes int, layer uint32) []Run {
	g, err := graph.New([32]byte{5}, uint64(nodes))
	if err != nil {
		b.Fatal(err)
	}
	runs := make([]Run, 64)
	for i := range runs {
		first := nodes/2 + i*(nodes/2/len(runs))
		runs[i] = Run{Layer: layer, First: uint32(first), Parents: make([][Parents]uint32, benchNodes)}
		for j := range runs[i].Parents {
			g.Parents(uint32(first+j), &runs[i].Parents[j])
		}
	}
	return runs
}
