package sealing

import (
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/sector"
	"github.com/perdure/perdure/porep/piece"
)

// TestCapacity: sectors without deals are packed up to the number asked for,
// once, with those that ended replaced; one with a piece does not count.
func TestCapacity(t *testing.T) {
	r := newRig(t, nil)
	r.sealing.cfg.Capacity = 2
	withPiece := &miner.Sector{State: sector.Active, Pieces: []chain.SectorPiece{{PieceCID: piece.UnsealedCID([32]byte{1}), PaddedSize: 128}}}
	if err := r.records.NewSector(withPiece, nil); err != nil {
		t.Fatal(err)
	}
	empty := func() (live []uint64) {
		t.Helper()
		all, err := r.records.Sectors()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.sealing.packCapacity(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		if all, err = r.records.Sectors(); err != nil {
			t.Fatal(err)
		}
		for _, rec := range all {
			if len(rec.Pieces) == 0 && rec.State == sector.Packed {
				live = append(live, rec.Number)
			}
		}
		return live
	}
	first := empty()
	if again := empty(); len(first) != 2 || len(again) != 2 {
		t.Fatalf("packed %v, then %v, want 2", first, again)
	}
	err := r.records.UpdateSector(first[0], func(rec *miner.Sector) error { rec.State = sector.Ended; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if next := empty(); len(next) != 2 || next[1] != first[1]+1 {
		t.Fatalf("after the end of %d packed are %v", first[0], next)
	}
}
