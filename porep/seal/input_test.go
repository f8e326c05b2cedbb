package seal

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
)

var (
	tooLarge = filled(0xff) // no field element
	errBadIO = errors.New("unreadable input")
)

// TestBadPieces: what is wrong with the data is said with the piece, the sector
// and the step, and the sector takes the right data afterwards.
func TestBadPieces(t *testing.T) {
	commP := filled(0x11)
	for _, c := range []struct {
		name  string
		piece Piece
		want  error
		says  string
	}{
		{"truncated", Piece{Data: bytes.NewReader(make([]byte, 5)), PaddedSize: 256, CommP: commP}, ErrPiece, "CommP"},
		{"oversize", Piece{Data: bytes.NewReader(make([]byte, 255)), PaddedSize: 256}, nil, "254"},
		{"endless", Piece{Data: zeros{}, PaddedSize: 256}, nil, "254"},
		{"unreadable", Piece{Data: iotest.ErrReader(errBadIO), PaddedSize: 256}, errBadIO, "piece 1"},
		{"unreadable at its end", Piece{Data: io.MultiReader(bytes.NewReader(make([]byte, 254)), iotest.ErrReader(errBadIO)), PaddedSize: 256}, errBadIO, "piece 1"},
		{"size no power of two", Piece{PaddedSize: 384}, nil, "384"},
		{"larger than the sector", Piece{PaddedSize: 4096}, nil, "2048"},
		{"commitment >= the field", Piece{PaddedSize: 256, CommP: tooLarge}, porep.ErrElement, "piece 1: CommP ffff"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, small(t))
			good := Piece{Data: strings.NewReader("first"), PaddedSize: 128}
			err := s.WriteData(t.Context(), []Piece{good, c.piece})
			if err == nil {
				err = s.Do(t.Context(), StepTreeD)
			}
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			for _, part := range []string{"sector 1: ", c.says} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error does not say %q: %v", part, err)
				}
			}
			if s.Next() == StepTreeD { // the data are kept: their commitment is in dispute
				return
			}
			if _, err := s.Seal(t.Context(), filled(1)); err != nil {
				t.Errorf("sealed empty afterwards: %v", err)
			}
		})
	}
}

// TestSparseInput: a file with holes is its bytes.
func TestSparseInput(t *testing.T) {
	sparse, err := os.Create(filepath.Join(t.TempDir(), "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer sparse.Close()
	if err := sparse.Truncate(2032); err != nil {
		t.Fatal(err)
	}
	_, empty := sealed(t, small(t), filled(1))
	if _, got := sealed(t, small(t), filled(1), Piece{Data: sparse, PaddedSize: 2048}); got != empty {
		t.Error("a hole is not zeros")
	}
}

// rewrite changes the record of a directory.
func rewrite(t *testing.T, dir string, change func(record map[string]any)) {
	t.Helper()
	path := filepath.Join(dir, recordFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var r map[string]any
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	change(r)
	if raw, err = json.Marshal(r); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestForeignDirectories opens directories that are not the sector's: the error
// says what was expected and what was found, and nothing changes.
func TestForeignDirectories(t *testing.T) {
	for _, c := range []struct {
		name string
		harm func(t *testing.T, cfg *Config)
		want error
		says []string
	}{
		{"another sector", func(_ *testing.T, cfg *Config) { cfg.Number = 77 }, ErrIdentity, []string{"holds sector 1 of", "want sector 77 of"}},
		{"another miner", func(_ *testing.T, cfg *Config) { cfg.MinerID = 2000 }, ErrIdentity, []string{"of miner 1000", "of miner 2000"}},
		{"another size", func(_ *testing.T, cfg *Config) { cfg.ProofType = abi.RegisteredSealProof_StackedDrg8MiBV1_1 }, ErrIdentity, []string{"2048 bytes", "8388608 bytes"}},
		{"other layers", func(_ *testing.T, cfg *Config) { p := shape(2048, 3, 8, 0, 0); cfg.Params = &p }, ErrIdentity, []string{"2 layers", "want", "3 layers"}},
		{"another version", func(t *testing.T, cfg *Config) {
			rewrite(t, cfg.Dir, func(r map[string]any) { r["version"] = 1; r["unheard"] = "of" })
		}, ErrVersion, []string{recordFile, "version 1, want 2"}},
		{"an unknown field", func(t *testing.T, cfg *Config) { rewrite(t, cfg.Dir, func(r map[string]any) { r["unheard"] = "of" }) }, nil, []string{recordFile, "unheard"}},
		{"an unknown proof", func(t *testing.T, cfg *Config) { rewrite(t, cfg.Dir, func(r map[string]any) { r["proofType"] = 2 }) }, porep.ErrProofType, []string{recordFile}},
		{"a short ticket", func(t *testing.T, cfg *Config) { rewrite(t, cfg.Dir, func(r map[string]any) { r["ticket"] = "0101" }) }, nil, []string{recordFile, "2 bytes of hex, want 32"}},
		{"a torn record", func(t *testing.T, cfg *Config) {
			if err := os.Truncate(filepath.Join(cfg.Dir, recordFile), 100); err != nil {
				t.Fatal(err)
			}
		}, nil, []string{recordFile}},
		{"no record", func(t *testing.T, cfg *Config) {
			if err := os.Remove(filepath.Join(cfg.Dir, recordFile)); err != nil {
				t.Fatal(err)
			}
		}, ErrIdentity, []string{recordFile, unsealedFile}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := small(t)
			s, _ := sealed(t, cfg, filled(1))
			s.Close()
			c.harm(t, &cfg)
			before := snapshot(t, cfg.Dir)
			_, err := Open(cfg)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("opened: %v, want %v", err, c.want)
			}
			for _, part := range append(c.says, cfg.Dir) {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error does not say %q: %v", part, err)
				}
			}
			equalFiles(t, snapshot(t, cfg.Dir), before)
		})
	}
}

// TestBadFiles harms a finished sector: proofs that need the file say which it is
// and what was expected of it.
func TestBadFiles(t *testing.T) {
	cfg := compound(t)
	s, result := sealed(t, cfg, filled(1))
	s.Close()
	whole := snapshot(t, cfg.Dir)
	held := func() error {
		r, err := OpenReplica(cfg.Dir, *cfg.Params)
		if err != nil {
			return err
		}
		defer r.Close()
		return porep.CheckCommR(result.CommR, r.CommC, r.CommRLast)
	}
	proven := func() error {
		s, err := Find(cfg.Dir)
		if err != nil {
			return err
		}
		_, err = s.Prove(t.Context(), filled(1), 0, 1)
		return err
	}
	truncated := func(raw []byte) []byte { return raw[:len(raw)-32] }
	oversize := func(raw []byte) []byte { return append(bytes.Clone(raw), 0) }
	for _, c := range []struct {
		file string
		harm func([]byte) []byte
		do   func() error
		says string
	}{
		{sealedFile, truncated, held, "4064 bytes, want 4096"},
		{sealedFile, oversize, held, "4097 bytes, want 4096"},
		{treeRLastFile + "-1.dat", truncated, held, "0 bytes, want 32"},
		{treeRLastFile + "-0.dat", func(raw []byte) []byte { return make([]byte, len(raw)) }, held, "CommRLast"},
		{auxFile, truncated, held, "32 bytes, want 64"},
		{auxFile, func([]byte) []byte { return bytes.Repeat([]byte{0xff}, 64) }, held, "CommC ffff"},
		{auxFile, func(raw []byte) []byte { return append(bytes.Clone(raw[:32]), tooLarge[:]...) }, held, "CommRLast ffff"},
		{treeDFile, oversize, proven, "8161 bytes, want 8160"},
		{layerFile(1), truncated, proven, "4064 bytes, want 4096"},
		{treeCFile + "-1.dat", truncated, proven, "bytes, want"},
	} {
		path := filepath.Join(cfg.Dir, c.file)
		if err := os.WriteFile(path, c.harm(whole[c.file]), 0o644); err != nil {
			t.Fatal(err)
		}
		err := c.do()
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), strings.TrimSuffix(c.file, "-0.dat")) {
			t.Errorf("%s: %v, want %q", c.file, err, c.says)
		}
		if err := os.WriteFile(path, whole[c.file], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(held(), proven()); err != nil {
		t.Errorf("whole again: %v", err)
	}
}

// TestWrongParameters opens a replica with parameters that it was not sealed with.
func TestWrongParameters(t *testing.T) {
	params := shape(4096, 2, 8, 2, 0)
	cfg := small(t)
	cfg.Params = &params
	sealed(t, cfg, filled(1))
	for name, wrong := range map[string]func(*porep.Params){
		"nodes":    func(p *porep.Params) { p.Nodes *= 2 },
		"layers":   func(p *porep.Params) { p.Layers = 11 },
		"porep id": func(p *porep.Params) { p.ID[0]++ },
		"shape":    func(p *porep.Params) { p.Shape = merkle.Shape{Base: 8, Sub: 2, Top: 2}; p.Nodes = 256 },
	} {
		other := params
		wrong(&other)
		if _, err := OpenReplica(cfg.Dir, other); !errors.Is(err, ErrIdentity) || !strings.Contains(err.Error(), "want parameters of") {
			t.Errorf("other %s: %v", name, err)
		}
	}
	for name, bad := range map[string]porep.Params{
		"no layers":     shape(2048, 0, 8, 0, 0),
		"twelve layers": shape(2048, 12, 8, 0, 0),
		"odd nodes":     shape(2048+32, 2, 8, 0, 0),
		"shape":         shape(2048, 2, 8, 8, 2),
		"nothing":       {},
	} {
		dir := filepath.Join(t.TempDir(), "sector")
		if _, err := Open(Config{Params: &bad, Dir: dir}); err == nil {
			t.Errorf("%s: opened", name)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the directory was made: %v", name, err)
		}
	}
}
