package seal

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
)

// trio is three sectors to be sealed together, and their tickets.
func trio(t *testing.T) (sectors []*Sector, tickets [][32]byte) {
	for i := range 3 {
		cfg := compound(t)
		cfg.Number = abi.SectorNumber(i + 1)
		sectors = append(sectors, open(t, cfg))
		tickets = append(tickets, filled(byte(i+1)))
	}
	return sectors, tickets
}

// TestTogether: each of some sectors has the files that it has when it is sealed alone.
func TestTogether(t *testing.T) {
	sectors, tickets := trio(t)
	// They need not be equally far.
	if _, err := sectors[1].Seal(t.Context(), tickets[1]); err != nil {
		t.Fatal(err)
	}
	if err := sectors[2].WriteData(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	results, errs := Together(t.Context(), sectors, tickets)
	for i, s := range sectors {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		cfg := compound(t)
		cfg.Number = s.cfg.Number
		_, want := sealed(t, cfg, tickets[i])
		if results[i] != want {
			t.Errorf("sector %d: result differs", i)
		}
		equalFiles(t, snapshot(t, s.cfg.Dir), snapshot(t, cfg.Dir))
	}
}

// TestTogetherFailAlone: a sector with another ticket, of other parameters, or whose layer cannot be
// written leaves the others going on.
func TestTogetherFailAlone(t *testing.T) {
	sectors, tickets := trio(t)
	if err := sectors[0].SetTicket(filled(9)); err != nil {
		t.Fatal(err)
	}
	blocked := sectors[1].path(layerFile(2) + ".part")
	if err := os.MkdirAll(filepath.Join(blocked, "in the way"), 0o755); err != nil {
		t.Fatal(err)
	}
	other := open(t, small(t))
	results, errs := Together(t.Context(), append(sectors, other), append(tickets, filled(4)))
	if !errors.Is(errs[0], ErrTicket) || errs[1] == nil || errs[2] != nil || results[2] == (Result{}) {
		t.Errorf("errors: %v", errs)
	}
	if !errors.Is(errs[3], ErrTogether) {
		t.Errorf("of other parameters: %v", errs[3])
	}
	var path *os.PathError
	if !errors.As(errs[1], &path) || path.Path != blocked || sectors[1].Next() != StepLabels {
		t.Errorf("the error does not name the file: %v", errs[1])
	}
	if err := os.RemoveAll(blocked); err != nil {
		t.Fatal(err)
	}
	if _, err := sectors[1].Seal(context.Background(), tickets[1]); err != nil {
		t.Error(err)
	}
}

// TestLimits: sealing within other limits gives the same sector, and limits that do not suffice say so.
func TestLimits(t *testing.T) {
	_, want := sealed(t, compound(t), filled(3))
	for name, change := range map[string]func(*Config){
		"layers in memory": func(cfg *Config) { cfg.LayersInMemory = 2 },
		"table of parents": func(cfg *Config) { cfg.Parents = filepath.Join(t.TempDir(), "parents") },
		"one core":         func(cfg *Config) { cfg.Workers = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := compound(t)
			change(&cfg)
			if _, got := sealed(t, cfg, filled(3)); got != want {
				t.Error("the sector is another")
			}
		})
	}
	cfg := compound(t)
	cfg.Memory = 1 << 20
	s := open(t, cfg)
	if _, err := s.Seal(t.Context(), filled(3)); !errors.Is(err, ErrMemory) {
		t.Errorf("within a MiB: %v", err)
	}
}

// TestPartOfDamagedLayer: what has grown of a layer while the one before it was damaged is not used.
func TestPartOfDamagedLayer(t *testing.T) {
	s, _ := sealed(t, compound(t), filled(3))
	part := s.path(layerFile(2) + ".part")
	if err := os.WriteFile(part, []byte("of the damaged layer"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.strike([]string{layerFile(1)}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(part); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}
