package prove

import (
	"context"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/porep/seal"
	"github.com/perdure/perdure/post"
)

// BenchmarkWindow builds and checks the proof of one sector.
func BenchmarkWindow(b *testing.B) {
	for _, size := range []struct {
		name string
		seal abi.RegisteredSealProof
	}{
		{"2KiB", abi.RegisteredSealProof_StackedDrg2KiBV1_1},
		{"8MiB", abi.RegisteredSealProof_StackedDrg8MiBV1_1},
	} {
		b.Run(size.name, func(b *testing.B) {
			in, dir := oneSector(b, size.seal)
			var proof []byte
			b.Run("prove", func(b *testing.B) {
				var err error
				for b.Loop() {
					if proof, err = Window(context.Background(), in, []string{dir}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(len(proof)), "proof-bytes")
			})
			b.Run("verify", func(b *testing.B) {
				proof, err := Window(context.Background(), in, []string{dir})
				if err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					if err := post.Verify(in, proof); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// oneSector seals an empty sector and states that it is held.
func oneSector(b *testing.B, proof abi.RegisteredSealProof) (post.WindowInput, string) {
	b.Helper()
	s, err := seal.Open(seal.Config{ProofType: proof, MinerID: 1000, Number: 1, Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	result, err := s.Seal(context.Background(), [32]byte{1})
	if err != nil {
		b.Fatal(err)
	}
	window, err := post.WindowProof(proof)
	if err != nil {
		b.Fatal(err)
	}
	return post.WindowInput{
		ProofType: window, Randomness: [32]byte{9}, Sectors: []post.Sector{{Number: 1, CommR: result.CommR}},
	}, s.Config().Dir
}
