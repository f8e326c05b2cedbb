package prove

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"go.uber.org/goleak"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/seal"
	"github.com/perdure/perdure/post"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const window2KiB = abi.RegisteredPoStProof_StackedDrgWindow2KiBV1_1

// sealed makes finished sectors of 2 KiB, stripped of all that proofs of
// spacetime do not need.
func sealed(t testing.TB, count int) (post.WindowInput, []string) {
	t.Helper()
	in := post.WindowInput{ProofType: window2KiB, Randomness: [32]byte(bytes.Repeat([]byte{0xee}, 32))}
	var dirs []string
	for i := range count {
		cfg := seal.Config{
			ProofType: abi.RegisteredSealProof_StackedDrg2KiBV1_1, MinerID: 1000,
			Number: abi.SectorNumber(10 + i), Dir: filepath.Join(t.TempDir(), "sector"),
		}
		s, err := seal.Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		result, err := s.Seal(context.Background(), [32]byte{1})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Finalize(seal.Keep{}); err != nil {
			t.Fatal(err)
		}
		in.Sectors = append(in.Sectors, post.Sector{Number: cfg.Number, CommR: result.CommR})
		dirs = append(dirs, cfg.Dir)
	}
	return in, dirs
}

func TestWindow(t *testing.T) {
	ctx := context.Background()
	in, dirs := sealed(t, 3)
	for _, challenges := range []int{0, 1, post.MaxChallenges} {
		in.Challenges = challenges
		proof, err := Window(ctx, in, dirs)
		if err != nil {
			t.Fatal(err)
		}
		if err := post.Verify(in, proof); err != nil {
			t.Errorf("%d challenges: %v", challenges, err)
		}
		in.Randomness[0]++
		if err := post.Verify(in, proof); err == nil {
			t.Errorf("%d challenges: passed under other randomness", challenges)
		}
	}
}

// TestPlainOpenings opens a sector as plain paths, which is what
// post.VerifySector takes.
func TestPlainOpenings(t *testing.T) {
	in, dirs := sealed(t, 1)
	params, err := porep.ParamsOf(abi.RegisteredSealProof_StackedDrg2KiBV1_1)
	if err != nil {
		t.Fatal(err)
	}
	replica, err := seal.OpenReplica(dirs[0], params)
	if err != nil {
		t.Fatal(err)
	}
	defer replica.Close()
	var openings []post.Opening
	for _, leaf := range post.Leaves(in.Randomness, in.Sectors[0].Number, params.Nodes, post.DefaultChallenges) {
		node, path, err := merkle.Open(params.Shape, params.Nodes, leaf, replica.TreeRLast)
		if err != nil {
			t.Fatal(err)
		}
		openings = append(openings, post.Opening{Leaf: node, Path: path})
	}
	if err := post.VerifySector(post.SectorInput{
		ProofType: window2KiB, SectorNumber: in.Sectors[0].Number, CommR: in.Sectors[0].CommR,
		Randomness: in.Randomness, CommC: replica.CommC, CommRLast: replica.CommRLast,
	}, openings); err != nil {
		t.Error(err)
	}
}

// TestCheck damages each file of a sector: the check names sector and place, and
// the others are still proven.
func TestCheck(t *testing.T) {
	ctx := context.Background()
	in, dirs := sealed(t, 2)
	for i, dir := range dirs {
		if err := Check(ctx, window2KiB, in.Sectors[i], dir, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"sealed", "p_aux", "sc-02-data-tree-r-last.dat"} {
		path := filepath.Join(dirs[1], name)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		flipped := bytes.Clone(content)
		flipped[len(flipped)/3] ^= 1
		for how, harm := range map[string]func() error{
			"missing": func() error { return os.Remove(path) },
			"short":   func() error { return os.WriteFile(path, content[1:], 0o600) },
			"flipped": func() error { return os.WriteFile(path, flipped, 0o600) },
		} {
			if err := harm(); err != nil {
				t.Fatal(err)
			}
			err := Check(ctx, window2KiB, in.Sectors[1], dirs[1], 0)
			var bad *SectorError
			if !errors.As(err, &bad) || bad.Sector != in.Sectors[1].Number || bad.Dir != dirs[1] {
				t.Errorf("%s %s: %v", name, how, err)
			}
			if how != "flipped" {
				if !strings.Contains(err.Error(), name) {
					t.Errorf("%s %s: the error does not name the file: %v", name, how, err)
				}
				if _, err := Window(ctx, in, dirs); !errors.As(err, &bad) || bad.Sector != in.Sectors[1].Number {
					t.Errorf("%s %s: window: %v", name, how, err)
				}
			}
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	skipped := in
	skipped.Sectors = in.Sectors[:1]
	proof, err := Window(ctx, skipped, dirs[:1])
	if err != nil {
		t.Fatal(err)
	}
	if err := post.Verify(skipped, proof); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	in, dirs := sealed(t, 1)
	if _, err := Window(context.Background(), in, nil); err == nil {
		t.Error("no directories accepted")
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Window(cancelled, in, dirs); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	in.ProofType = abi.RegisteredPoStProof_StackedDrgWindow2KiBV1
	if _, err := Window(context.Background(), in, dirs); !errors.Is(err, post.ErrProofType) {
		t.Errorf("legacy proof: %v", err)
	}
}

// TestSectorsInParallel proves many sectors, of which two cannot be read: the
// first of them is named, every time.
func TestSectorsInParallel(t *testing.T) {
	in, dirs := sealed(t, 6)
	for _, bad := range []int{4, 2} {
		if err := os.Remove(filepath.Join(dirs[bad], "sealed")); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		var bad *SectorError
		if _, err := Window(context.Background(), in, dirs); !errors.As(err, &bad) || bad.Sector != in.Sectors[2].Number {
			t.Fatalf("sectors 2 and 4 are gone: %v", err)
		}
	}
}
