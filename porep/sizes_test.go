package porep_test

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
)

// TestSizes compares the sizes that SPEC.md gives with proofs of many seeds; what is in the sector
// does not matter to them.
func TestSizes(t *testing.T) {
	blank := func(int, uint64, []merkle.Node) error { return nil }
	source := porep.Source{TreeD: blank, TreeC: blank, TreeRLast: blank, Column: func(uint64, []merkle.Node) error { return nil }}
	const trials = 40
	for i, size := range []struct{ most, mean [3]int }{
		{[3]int{8_354, 16_642, 149_250}, [3]int{3_060, 4_300, 9_320}},
		{[3]int{23_074, 46_082, 414_210}, [3]int{14_700, 27_400, 194_000}},
		{[3]int{30_434, 60_802, 546_690}, [3]int{20_600, 39_200, 301_400}},
		{[3]int{41_826, 83_586, 751_746}, [3]int{30_300, 58_800, 478_400}},
		{[3]int{42_370, 84_674, 761_538}, [3]int{31_200, 60_700, 496_400}},
	} {
		p, err := porep.ParamsOf(proof2KiB + abi.RegisteredSealProof(i))
		if err != nil {
			t.Fatal(err)
		}
		for j, count := range []int{1, 2, porep.MaxPartChallenges} {
			if most, err := p.MaxProofSize(count); err != nil || most != size.most[j] {
				t.Errorf("size %d, %d challenges: at most %d bytes, want %d (%v)", i, count, most, size.most[j], err)
			}
			total := 0
			for trial := range uint64(trials) {
				in := porep.SealInput{MinerID: 1000, Number: 1, Count: count}
				binary.LittleEndian.PutUint64(in.Seed[:], trial)
				proof, err := p.Prove(in, source)
				if err != nil {
					t.Fatal(err)
				}
				if len(proof) > size.most[j] {
					t.Errorf("size %d, %d challenges: %d bytes", i, count, len(proof))
				}
				total += len(proof)
			}
			if mean := float64(total) / trials; math.Abs(mean-float64(size.mean[j])) > 0.04*mean {
				t.Errorf("size %d, %d challenges: %.0f bytes on average, want about %d", i, count, mean, size.mean[j])
			}
		}
	}
}
