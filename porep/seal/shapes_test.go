package seal

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/porep/poseidon"
	"github.com/perdure/perdure/post"
)

// shape returns the parameters of a test shape: the compound trees of large
// sectors at a small size.
func shape(size uint64, layers int, base, sub, top int) porep.Params {
	return porep.Params{
		ID: porep.ID(proof2KiB), Nodes: size / porep.NodeSize, Layers: layers,
		Shape: merkle.Shape{Base: base, Sub: sub, Top: top},
	}
}

// TestShapes takes sectors of every compound shape, with few and with all layers,
// through their life: data in, sealed, proven, held, data out again.
func TestShapes(t *testing.T) {
	for _, params := range []porep.Params{
		shape(4<<10, 2, 8, 2, 0), shape(16<<10, 2, 8, 8, 0), shape(32<<10, 2, 8, 8, 2),
		shape(2<<10, 11, 8, 0, 0), shape(16<<10, 11, 8, 8, 0), shape(32<<10, 11, 8, 8, 2),
	} {
		t.Run(fmt.Sprintf("%d bytes %d layers %v", params.SectorSize(), params.Layers, params.Shape), func(t *testing.T) {
			cfg := small(t)
			cfg.Params = &params
			data := bytes.Repeat([]byte("what the sector holds, "), 50)
			s, result := sealed(t, cfg, filled(5), Piece{Data: bytes.NewReader(data), PaddedSize: 2048})
			if taken := sizeOf(t, s); taken != must(Scratch(params)) {
				t.Errorf("the files take %d bytes, Scratch says %d", taken, must(Scratch(params)))
			}
			s.Close()

			found, err := Find(cfg.Dir)
			if err != nil {
				t.Fatal(err)
			}
			if found.Params() != params {
				t.Errorf("found with %v", found.Params())
			}
			proveAndVerify(t, found)
			checkHeld(t, found, result)

			want := make([]byte, piece.MaxPayload(params.SectorSize()))
			copy(want, data)
			s = open(t, cfg)
			for _, keep := range []Keep{{LastLayer: true}, {}} {
				if err := s.Finalize(keep); err != nil {
					t.Fatal(err)
				}
				checkUnsealed(t, s, want)
			}
			checkHeld(t, s, result)
		})
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// sizeOf adds up the files of a sector.
func sizeOf(t *testing.T, s *Sector) (sum uint64) {
	t.Helper()
	for _, name := range s.noted() {
		info, err := os.Stat(s.path(name))
		if err != nil {
			t.Fatal(err)
		}
		sum += uint64(info.Size())
	}
	return sum
}

// checkHeld opens what a window asks for from the replica alone.
func checkHeld(t *testing.T, s *Sector, result Result) {
	t.Helper()
	replica, err := OpenReplica(s.cfg.Dir, s.params)
	if err != nil {
		t.Fatal(err)
	}
	defer replica.Close()
	if err := porep.CheckCommR(result.CommR, replica.CommC, replica.CommRLast); err != nil {
		t.Error(err)
	}
	for _, leaf := range post.Leaves(filled(9), abi.SectorNumber(1), s.params.Nodes, post.DefaultChallenges) {
		node, path, err := merkle.Open(s.params.Shape, s.params.Nodes, leaf, replica.TreeRLast)
		if err != nil {
			t.Fatal(err)
		}
		root, err := merkle.Root(poseidon.Tree{}, s.params.Shape, s.params.Nodes, leaf, node, path)
		if err != nil || root != result.CommRLast {
			t.Errorf("leaf %d hashes up to %x (%v), want %x", leaf, root, err, result.CommRLast)
		}
	}
}

// TestScratchOfRegistered: the factors that the documentation names.
func TestScratchOfRegistered(t *testing.T) {
	for _, c := range []struct {
		proof       abi.RegisteredSealProof
		least, most uint64 // hundredths of the sector
	}{
		{abi.RegisteredSealProof_StackedDrg512MiBV1_1, 714, 720},
		{abi.RegisteredSealProof_StackedDrg32GiBV1_1, 1614, 1620},
		{abi.RegisteredSealProof_StackedDrg64GiBV1_1, 1614, 1620},
	} {
		params, err := porep.ParamsOf(c.proof)
		if err != nil {
			t.Fatal(err)
		}
		got := must(Scratch(params))
		if got < params.SectorSize()/100*c.least || got > params.SectorSize()/100*c.most {
			t.Errorf("seal proof %d: %d bytes, %.3f times the sector", c.proof, got, float64(got)/float64(params.SectorSize()))
		}
	}
}
