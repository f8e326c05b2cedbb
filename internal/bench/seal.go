package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/porep/seal"
)

// steps are those of sealing, in order.
var steps = []seal.Step{
	seal.StepData, seal.StepTreeD, seal.StepLabels, seal.StepTreeC, seal.StepReplica, seal.StepTreeRLast, seal.StepCommit, seal.StepCheck,
}

// Seal seals an empty sector of cfg.Size bytes, cfg.Rounds times, and states the time of each step
// beside what its hashes alone take by the figures of the same run.
func Seal(ctx context.Context, cfg Config) ([]Row, error) {
	proof, err := porep.ProofOfSize(cfg.Size)
	if err != nil {
		return nil, err
	}
	params, err := porep.ParamsOf(proof)
	if err != nil {
		return nil, err
	}
	spent := make(map[seal.Step][]float64)
	needed := make(map[seal.Step][]float64)
	for round := range cfg.Rounds {
		cfg.Log("round %d of %d", round+1, cfg.Rounds)
		costs, err := measureHashes(ctx, params.Layers)
		if err != nil {
			return nil, err
		}
		dir := filepath.Join(cfg.Dir, fmt.Sprint(round))
		if err := timeSteps(ctx, cfg, proof, dir, spent); err != nil {
			return nil, err
		}
		for step, ns := range costs.steps(params) {
			needed[step] = append(needed[step], ns/1e9)
		}
	}
	var rows []Row
	for _, step := range steps {
		if len(spent[step]) == 0 {
			continue
		}
		row := Row{Name: string(step), Unit: "s", Figure: figure(spent[step])}
		if need := needed[step]; need != nil {
			compared, ratio := figure(need), figure(quotients(need, spent[step]))
			row.Reference, row.Compared, row.Ratio = "its hashes alone, on all cores where it can use them", &compared, &ratio
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// timeSteps seals a sector and adds the seconds of each step.
func timeSteps(ctx context.Context, cfg Config, proof abi.RegisteredSealProof, dir string, spent map[seal.Step][]float64) error {
	s, err := seal.Open(seal.Config{ProofType: proof, MinerID: 1000, Number: 1, Dir: dir})
	if err != nil {
		return err
	}
	defer s.Close()
	defer os.RemoveAll(dir)
	start := time.Now()
	if err := s.WriteData(ctx, nil); err != nil {
		return err
	}
	spent[seal.StepData] = append(spent[seal.StepData], time.Since(start).Seconds())
	if err := s.SetTicket([32]byte{1}); err != nil {
		return err
	}
	for step := s.Next(); step != seal.Done; step = s.Next() {
		cfg.Log("  %s", step)
		start := time.Now()
		if err := s.Do(ctx, step); err != nil {
			return err
		}
		spent[step] = append(spent[step], time.Since(start).Seconds())
	}
	return nil
}

// hashCosts are nanoseconds a hash on one core.
type hashCosts struct{ label, pair, column, node float64 }

// measureHashes measures the hashes that sealing is made of, each in its fastest form; labels as
// sha256-simd hashes their messages one by one.
func measureHashes(ctx context.Context, layers int) (hashCosts, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	pairs := randomNodes(1 << 10)
	out := make([][32]byte, len(pairs)/2)
	times, err := together(ctx, 3, labelReference(),
		batches(len(out), func() error { return piece.Tree{}.HashRow(2, pairs, out) }),
		rowTask(layers), rowTask(8))
	if err != nil {
		return hashCosts{}, err
	}
	median := func(i int) float64 { return figure(times[i]).Median }
	return hashCosts{median(0), median(1), median(2), median(3)}, nil
}

// steps returns the nanoseconds that the hashes of each step take.
func (c hashCosts) steps(p porep.Params) map[seal.Step]float64 {
	n, cores := float64(p.Nodes), float64(runtime.GOMAXPROCS(0))
	octree := n / 7 * c.node / cores
	return map[seal.Step]float64{
		seal.StepTreeD:     n * c.pair / cores,
		seal.StepLabels:    n * float64(p.Layers) * c.label,
		seal.StepTreeC:     n*c.column/cores + octree,
		seal.StepTreeRLast: octree,
	}
}
