package prove

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/porep/seal"
	"github.com/perdure/perdure/post"
)

// noise is n bytes that differ all along.
func noise(n int) []byte {
	out := make([]byte, 0, n+sha256.Size)
	for i := uint64(0); len(out) < n; i++ {
		sum := sha256.Sum256(binary.LittleEndian.AppendUint64(nil, i))
		out = append(out, sum[:]...)
	}
	return out[:n]
}

// Test8MiB takes a sector of 8 MiB through its life: two pieces are written,
// sealed, proven, stripped, held, and read back.
func Test8MiB(t *testing.T) {
	ctx := context.Background()
	const rawPiece = 4 << 20 / 128 * 127
	pieces := [][]byte{noise(1_000_000), noise(rawPiece)}
	var given []seal.Piece
	var sizes []piece.Piece
	for _, raw := range pieces {
		info, err := piece.Commit(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		p, err := info.Piece()
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, p)
		given = append(given, seal.Piece{Data: bytes.NewReader(raw), PaddedSize: p.PaddedSize, CommP: p.CommP})
	}
	s, err := seal.Open(seal.Config{
		ProofType: abi.RegisteredSealProof_StackedDrg8MiBV1_1, MinerID: 1001, Number: 3, Dir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.WriteData(ctx, given); err != nil {
		t.Fatal(err)
	}
	result, err := s.Seal(ctx, [32]byte{5})
	if err != nil {
		t.Fatal(err)
	}
	if commD, err := piece.CommD(sizes, 8<<20); err != nil || commD != result.CommD {
		t.Errorf("CommD is %x, the pieces give %x (%v)", result.CommD, commD, err)
	}
	verifySeal(t, s)
	if err := s.Finalize(seal.Keep{LastLayer: true}); err != nil {
		t.Fatal(err)
	}
	verifyWindow(t, s, result)

	// The second piece starts at padded offset 4 MiB, so at raw offset rawPiece.
	var whole, part bytes.Buffer
	if err := s.Unseal(ctx, &whole); err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 2*rawPiece)
	copy(want, pieces[0])
	copy(want[rawPiece:], pieces[1])
	if !bytes.Equal(whole.Bytes(), want) {
		t.Error("unsealed data differ")
	}
	if err := s.Finalize(seal.Keep{}); err != nil {
		t.Fatal(err)
	}
	if err := s.UnsealRange(ctx, &part, rawPiece+12345, 100_000); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(part.Bytes(), want[rawPiece+12345:][:100_000]) {
		t.Error("unsealed range differs")
	}
}

func verifySeal(t *testing.T, s *seal.Sector) {
	t.Helper()
	for _, part := range [][2]int{{0, 2}, {162, porep.MaxPartChallenges}} {
		proof, err := s.Prove(context.Background(), [32]byte{6}, part[0], part[1])
		if err != nil {
			t.Fatal(err)
		}
		in, err := s.Statement([32]byte{6}, part[0], part[1])
		if err != nil {
			t.Fatal(err)
		}
		if err := porep.Verify(in, proof); err != nil {
			t.Error(err)
		}
		proof[len(proof)/2] ^= 1
		if err := porep.Verify(in, proof); err == nil {
			t.Error("a flipped bit passed")
		}
	}
}

func verifyWindow(t *testing.T, s *seal.Sector, result seal.Result) {
	t.Helper()
	dir := s.Config().Dir
	in := post.WindowInput{
		ProofType:  abi.RegisteredPoStProof_StackedDrgWindow8MiBV1_1,
		Randomness: [32]byte{7},
		Sectors:    []post.Sector{{Number: s.Config().Number, CommR: result.CommR}},
	}
	if err := Check(context.Background(), in.ProofType, in.Sectors[0], dir, 3); err != nil {
		t.Error(err)
	}
	proof, err := Window(context.Background(), in, []string{dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := post.Verify(in, proof); err != nil {
		t.Error(err)
	}
	if most, err := post.MaxProofSize(in.ProofType, 1, 0); err != nil || len(proof) > most {
		t.Errorf("a proof of one sector takes %d bytes, at most %d (%v)", len(proof), most, err)
	}
}
