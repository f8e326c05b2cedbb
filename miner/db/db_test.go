package db

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/sector"
	"github.com/perdure/perdure/porep/piece"
)

func address(t *testing.T) chain.Address {
	a, err := chain.AddressOfKey([]byte("01234567890123456789012345678901"))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestCrash keeps every record whose write returned, through a loss of all
// that was not synced.
func TestCrash(t *testing.T) {
	fs := vfs.NewCrashableMem()
	d, err := OpenFS("records", fs)
	if err != nil {
		t.Fatal(err)
	}
	commP, err := piece.ZeroCommitment(2048)
	if err != nil {
		t.Fatal(err)
	}
	p := piece.UnsealedCID(commP)
	deal := &miner.Deal{ID: 9, State: miner.DealAccepted, Deal: chain.Deal{ID: 9, Client: address(t), PieceCID: p, PayloadRoot: p, PaddedSize: 2048}}
	for i := range 3 {
		s := &miner.Sector{State: sector.Packed, Pieces: []chain.SectorPiece{{PieceCID: p, PaddedSize: 2048, Deal: 9}}}
		if err := d.NewSector(s, []*miner.Deal{deal}); err != nil {
			t.Fatal(err)
		}
		if s.Number != uint64(i+1) {
			t.Fatalf("sector number %d, want %d", s.Number, i+1)
		}
	}
	for _, err := range []error{d.SetTip(77), d.SetAsk(5)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	after, err := OpenFS("records", fs.CrashClone(vfs.CrashCloneCfg{}))
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	defer d.Close()
	tip, err := after.Tip()
	ask, askErr := after.Ask()
	if err != nil || tip != 77 || askErr != nil || ask != 5 {
		t.Errorf("tip %d (%v), ask %d (%v)", tip, err, ask, askErr)
	}
	all, err := after.Sectors()
	if err != nil || len(all) != 3 || all[2].Number != 3 || all[2].Pieces[0].PieceCID != p {
		t.Fatalf("sectors %+v, %v", all, err)
	}
	deals, err := after.Deals()
	if err != nil || len(deals) != 1 || deals[0].State != miner.DealPacked || deals[0].Sector != 3 || deals[0].Deal.PieceCID != p {
		t.Fatalf("deals %+v, %v", deals, err)
	}
	next := &miner.Sector{State: sector.Packed}
	if err := after.NewSector(next, nil); err != nil || next.Number != 4 {
		t.Errorf("next sector is %d, %v; numbers must never be used twice", next.Number, err)
	}
	if _, err := after.Sector(5); !errors.Is(err, miner.ErrNoRecord) {
		t.Errorf("sector 5: %v", err)
	}
}

func TestVersion(t *testing.T) {
	fs := vfs.NewMem()
	d, err := OpenFS("records", fs)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.setNumber(keyVersion, version+1), d.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFS("records", fs); err == nil {
		t.Error("records of a later version open")
	}
}

var _ miner.Records = (*DB)(nil)
