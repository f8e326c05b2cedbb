package seal

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
)

// compound is a small sector of several base trees, so that steps leave more than
// one file.
func compound(t *testing.T) Config {
	cfg := small(t)
	cfg.Params = &porep.Params{ID: porep.ID(proof2KiB), Nodes: 128, Layers: 2, Shape: merkle.Shape{Base: 8, Sub: 2}}
	return cfg
}

// snapshot is every file of a directory, without the times that are noted.
func snapshot(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if e.Name() == recordFile {
			raw = regexp.MustCompile(`"modified": \d+`).ReplaceAll(raw, nil)
		}
		files[e.Name()] = raw
	}
	return files
}

func equalFiles(t *testing.T, got, want map[string][]byte) {
	t.Helper()
	for name, content := range want {
		if !bytes.Equal(got[name], content) {
			t.Errorf("%s differs", name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s should not be there", name)
		}
	}
}

// TestResume takes every state that a seal passes through, opens the directory
// anew, as after a kill, and goes on: the end is always the same.
func TestResume(t *testing.T) {
	ctx := context.Background()
	whole := compound(t)
	sealed(t, whole, filled(3))
	want := snapshot(t, whole.Dir)

	cfg := compound(t)
	if err := open(t, cfg).WriteData(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if err := open(t, cfg).SetTicket(filled(3)); err != nil {
		t.Fatal(err)
	}
	var seen []Step
	for {
		s := open(t, cfg)
		step := s.Next()
		if step == Done {
			break
		}
		seen = append(seen, step)
		// What a killed write leaves beside the files does not matter.
		if err := os.WriteFile(s.path(sealedFile+tempSuffix), []byte("torn"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Do(ctx, step); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 7 {
		t.Errorf("steps: %v", seen)
	}
	equalFiles(t, snapshot(t, cfg.Dir), want)
}

// TestCancel cancels in the middle of each step; what was done before is kept.
func TestCancel(t *testing.T) {
	whole := compound(t)
	sealed(t, whole, filled(3))
	want := snapshot(t, whole.Dir)
	for _, at := range []Step{StepData, StepTreeD, StepLabels, StepTreeC, StepReplica, StepTreeRLast, StepCheck} {
		t.Run(string(at), func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			cfg := compound(t)
			cfg.Progress = func(step Step, done, total uint64) {
				if done > total {
					t.Errorf("%s: %d of %d", step, done, total)
				}
				if step == at {
					cancel()
				}
			}
			_, err := open(t, cfg).Seal(ctx, filled(3))
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			cfg.Progress = nil
			if _, err := open(t, cfg).Seal(context.Background(), filled(3)); err != nil {
				t.Fatal(err)
			}
			equalFiles(t, snapshot(t, cfg.Dir), want)
		})
	}
}

// TestTornFiles damages each file of an unfinished sector in three ways: the
// next run finds it and makes it again.
func TestTornFiles(t *testing.T) {
	whole := compound(t)
	sealed(t, whole, filled(3))
	want := snapshot(t, whole.Dir)
	damage := map[string]func(path string, content []byte) error{
		"missing": func(path string, _ []byte) error { return os.Remove(path) },
		"short":   func(path string, content []byte) error { return os.WriteFile(path, content[:len(content)-1], 0o644) },
		"flipped": func(path string, content []byte) error {
			bad := bytes.Clone(content)
			bad[len(bad)/2] ^= 4
			return os.WriteFile(path, bad, 0o644)
		},
	}
	for _, name := range []string{unsealedFile, treeDFile, layerFile(1), layerFile(2), treeCFile + "-1.dat", sealedFile, treeRLastFile + "-1.dat"} {
		for how, harm := range damage {
			t.Run(name+" "+how, func(t *testing.T) {
				cfg := compound(t)
				s := open(t, cfg)
				if _, err := s.Seal(context.Background(), filled(3)); err != nil {
					t.Fatal(err)
				}
				// Not finished: the last step is still to do.
				s.record.Result, s.record.Checked = nil, false
				if err := s.remove([]string{auxFile}); err != nil {
					t.Fatal(err)
				}
				if err := harm(s.path(name), want[name]); err != nil {
					t.Fatal(err)
				}
				if torn, err := s.Check(context.Background()); err != nil || len(torn) != 1 || torn[0] != name {
					t.Errorf("check names %v: %v", torn, err)
				}
				if _, err := open(t, cfg).Seal(context.Background(), filled(3)); err != nil {
					t.Fatal(err)
				}
				equalFiles(t, snapshot(t, cfg.Dir), want)
			})
		}
	}
}

// TestLostData: data that was written cannot be made up.
func TestLostData(t *testing.T) {
	cfg := small(t)
	s := open(t, cfg)
	write := func(s *Sector) error {
		return s.WriteData(context.Background(), []Piece{{Data: bytes.NewReader([]byte("data")), PaddedSize: 256}})
	}
	if err := write(s); err != nil {
		t.Fatal(err)
	}
	if err := write(s); !errors.Is(err, ErrData) {
		t.Errorf("data written twice: %v", err)
	}
	if err := s.Do(context.Background(), StepTreeD); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(s.path(unsealedFile), 5); err != nil {
		t.Fatal(err)
	}
	s = open(t, cfg)
	if _, err := s.Seal(context.Background(), filled(1)); err == nil {
		t.Fatal("sealed without the data")
	}
	// Other data now: nothing of what was made of the old may be left.
	other := []Piece{{Data: bytes.NewReader([]byte("other data")), PaddedSize: 256}}
	if err := s.WriteData(context.Background(), other); err != nil {
		t.Fatal(err)
	}
	got, err := s.Seal(context.Background(), filled(1))
	if err != nil {
		t.Fatal(err)
	}
	other[0].Data = bytes.NewReader([]byte("other data"))
	if _, want := sealed(t, small(t), filled(1), other...); got != want {
		t.Error("the sector is not that of the new data")
	}
}

func TestRefusals(t *testing.T) {
	ctx := context.Background()
	cfg := small(t)
	s := open(t, cfg)
	if err := s.Do(ctx, StepLabels); !errors.Is(err, ErrOrder) {
		t.Errorf("labels without data: %v", err)
	}
	if err := s.Do(ctx, StepData); !errors.Is(err, ErrOrder) {
		t.Errorf("data without data: %v", err)
	}
	if err := s.Do(ctx, "polish"); err == nil {
		t.Error("unknown step done")
	}
	if _, err := s.Result(); !errors.Is(err, ErrOrder) {
		t.Errorf("result of an empty directory: %v", err)
	}
	if _, err := s.Prove(ctx, filled(1), 0, 1); !errors.Is(err, ErrOrder) {
		t.Errorf("proof of an empty directory: %v", err)
	}
	if err := s.Finalize(Keep{}); !errors.Is(err, ErrOrder) {
		t.Errorf("finalize an empty directory: %v", err)
	}
	long := bytes.NewReader(make([]byte, 128))
	if err := s.WriteData(ctx, []Piece{{Data: long, PaddedSize: 128}}); err == nil {
		t.Error("piece longer than its size written")
	}
	if err := s.WriteData(ctx, []Piece{{PaddedSize: 2048}, {PaddedSize: 128}}); err == nil {
		t.Error("more pieces than fit written")
	}
	if err := s.WriteData(ctx, []Piece{{PaddedSize: 128, CommP: filled(9)}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Do(ctx, StepTreeD); !errors.Is(err, ErrPiece) {
		t.Errorf("wrong piece: %v", err)
	}
	s.Close()
	other := cfg
	other.Number = 2
	if _, err := Open(other); !errors.Is(err, ErrIdentity) {
		t.Errorf("another sector's directory: %v", err)
	}
	other.ProofType = 0
	if _, err := Open(other); !errors.Is(err, porep.ErrProofType) {
		t.Errorf("legacy proof: %v", err)
	}
}

// TestTicket seals with one ticket, is refused another, and takes it after Reset.
func TestTicket(t *testing.T) {
	ctx := context.Background()
	cfg := small(t)
	s, first := sealed(t, cfg, filled(1))
	if _, err := s.Seal(ctx, filled(2)); !errors.Is(err, ErrTicket) {
		t.Errorf("other ticket: %v", err)
	}
	if again, err := s.Seal(ctx, filled(1)); err != nil || again != first {
		t.Errorf("sealed again: %v", err)
	}
	if err := s.Reset(); err != nil {
		t.Fatal(err)
	}
	second, err := s.Seal(ctx, filled(2))
	if err != nil {
		t.Fatal(err)
	}
	_, want := sealed(t, small(t), filled(2))
	if second != want || second == first {
		t.Error("the second ticket gives another sector than a fresh seal")
	}
	if err := s.Finalize(Keep{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Reset(); !errors.Is(err, ErrOrder) {
		t.Errorf("reset without data: %v", err)
	}
}

// TestReadErrorsNameTheFile: whoever looks for the broken disk needs the path.
func TestReadErrorsNameTheFile(t *testing.T) {
	cfg := compound(t)
	s, _ := sealed(t, cfg, filled(1))
	for _, name := range []string{sealedFile, auxFile, layerFile(2), treeDFile, treeCFile + "-1.dat", treeRLastFile + "-0.dat"} {
		kept := filepath.Join(t.TempDir(), "kept")
		if err := os.Rename(s.path(name), kept); err != nil {
			t.Fatal(err)
		}
		_, err := s.Prove(context.Background(), filled(1), 0, 1)
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte(name)) {
			t.Errorf("%s missing: %v", name, err)
		}
		if err := os.Rename(kept, s.path(name)); err != nil {
			t.Fatal(err)
		}
	}
}
