package seal

import (
	"context"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/porep"
)

// BenchmarkSeal8MiB seals an empty 8 MiB sector and reports each step by itself.
func BenchmarkSeal8MiB(b *testing.B) {
	ctx := context.Background()
	spent := make(map[Step]time.Duration)
	for b.Loop() {
		cfg := Config{ProofType: abi.RegisteredSealProof_StackedDrg8MiBV1_1, MinerID: 1000, Number: 1, Dir: b.TempDir()}
		s := open(b, cfg)
		start := time.Now()
		if err := s.WriteData(ctx, nil); err != nil {
			b.Fatal(err)
		}
		spent[StepData] += time.Since(start)
		if err := s.SetTicket(filled(1)); err != nil {
			b.Fatal(err)
		}
		for step := s.Next(); step != Done; step = s.Next() {
			start := time.Now()
			if err := s.Do(ctx, step); err != nil {
				b.Fatal(err)
			}
			spent[step] += time.Since(start)
		}
	}
	for step, d := range spent {
		b.ReportMetric(d.Seconds()/float64(b.N), "s-"+string(step))
	}
}

func BenchmarkProve(b *testing.B) {
	s, _ := sealed(b, small(b), filled(1))
	for b.Loop() {
		if _, err := s.Prove(context.Background(), filled(1), 0, porep.MaxPartChallenges); err != nil {
			b.Fatal(err)
		}
	}
}
