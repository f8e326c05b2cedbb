package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"

	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/internal/sha256lanes"
)

// labelMessage is how many bytes a label hashes.
const labelMessage = 1248

// SHA256 measures every kernel that this processor has, on one core, and the bare rounds in
// registers that no hash on the same unit can outrun.
func SHA256(ctx context.Context, cfg Config) ([]Row, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var rows []Row
	for _, part := range []func(context.Context, Config) ([]Row, error){limits, pairKernels, labelKernels} {
		more, err := part(ctx, cfg)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// limits measures the SHA instructions alone.
func limits(ctx context.Context, cfg Config) ([]Row, error) {
	var rows []Row
	for _, chains := range []int{1, 2, 4} {
		if !sha256lanes.Rounds(chains, 1) {
			continue
		}
		cfg.Log("rounds alone, %d in step", chains)
		times, err := alone(ctx, cfg.Rounds, func(n int) (int, error) {
			sha256lanes.Rounds(chains, n)
			return n, nil
		})
		if err != nil {
			return nil, err
		}
		rows = append(rows, Row{
			Name: fmt.Sprintf("rounds alone, %d in step", chains), Unit: "ns/block",
			Figure: figure(scaled(times, func(ns float64) float64 { return ns / float64(chains) })),
		})
	}
	return rows, nil
}

// pairKernels measures nodes of trees over data: 64 bytes each.
func pairKernels(ctx context.Context, cfg Config) ([]Row, error) {
	const pairs = 1 << 9
	nodes := randomNodes(2 * pairs)
	message := sha256lanes.Bytes(nodes[:2])
	reference := each(func() error {
		sha256.Sum256(message)
		return nil
	})
	parents := make([][sha256lanes.NodeSize]byte, pairs)
	var rows []Row
	for _, k := range sha256lanes.PairKernels() {
		cfg.Log("pairs of nodes, %s", k.Name)
		times, err := together(ctx, cfg.Rounds, batches(pairs, func() error {
			k.Hash(parents, nodes)
			return nil
		}), reference)
		if err != nil {
			return nil, err
		}
		rows = append(rows, versus("pairs, "+k.Name, "ns/node", "sha256-simd Sum256, 64 bytes", [2][]float64(times), nanoseconds))
	}
	return rows, nil
}

// labelKernels measures labels of layers 2 and up, of as many sectors as the kernel takes.
func labelKernels(ctx context.Context, cfg Config) ([]Row, error) {
	var rows []Row
	for _, k := range sha256lanes.LabelKernels() {
		cfg.Log("labels, %s", k.Name)
		times, err := together(ctx, cfg.Rounds, labelTask(2, k.Lanes, k.Label), labelReference())
		if err != nil {
			return nil, err
		}
		rows = append(rows, versus("labels, "+k.Name, "nodes/s", "sha256-simd Sum256, 1,248 bytes", [2][]float64(times), perSecond))
	}
	return rows, nil
}

// labelReference hashes messages of a label's length.
func labelReference() task {
	var message [labelMessage]byte
	return each(func() error {
		sha256.Sum256(message[:])
		return nil
	})
}

// labelTask labels runs of nodes in the middle of a layer of 8 MiB whose parents lie anywhere
// before them; a unit is one label of one sector.
func labelTask(layer uint32, lanes int, label func(*sha256lanes.Run, []sha256lanes.Lane)) task {
	const nodes, length = 1 << 18, 1 << 9
	random := rand.New(rand.NewPCG(1, 2))
	run := sha256lanes.Run{Layer: layer, First: nodes / 2, Parents: make([][sha256lanes.Parents]uint32, length)}
	for i := range run.Parents {
		node := run.First + uint32(i)
		for j := range run.Parents[i] {
			// Distances of base parents are spread over powers of two, as in the graph.
			run.Parents[i][j] = node - 1 - random.Uint32N(node)>>random.UintN(17)
		}
		run.Parents[i][0] = node - 1
	}
	sectors := make([]sha256lanes.Lane, lanes)
	for i := range sectors {
		sectors[i] = sha256lanes.Lane{
			ReplicaID: [32]byte{byte(i)}, Current: randomNodes(nodes),
			Expander: randomNodes(length * sha256lanes.ExpanderParents),
		}
	}
	return batches(length*lanes, func() error {
		label(&run, sectors)
		return nil
	})
}
