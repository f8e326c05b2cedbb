package sealing

import (
	"fmt"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/seal"
)

// limits say how many sectors may be on their way at once. Bytes of 0 are no
// bound.
type limits struct {
	parallel        int    // sectors that are being sealed
	memory, scratch uint64 // bytes, of all of them together
	share           uint64 // of memory, of one sector
	each            need
}

// need is what one sector takes at least while it is sealed, in bytes.
type need struct{ memory, scratch uint64 }

func newLimits(cfg Config) (limits, error) {
	params, err := porep.ParamsOf(cfg.SealProof)
	if err != nil {
		return limits{}, err
	}
	scratch, err := seal.Scratch(params)
	if err != nil {
		return limits{}, err
	}
	l := limits{
		parallel: max(cfg.Parallel, 1), memory: cfg.Memory, scratch: cfg.Scratch,
		each: need{memory: seal.LeastMemory(params, 1, cfg.LayersInMemory), scratch: scratch},
	}
	l.share = l.memory / max(1, min(uint64(l.parallel), l.memory/l.each.memory))
	return l, nil
}

// wait says why a sector must wait while active others are being sealed and
// holding sectors, itself included, take scratch space; it is empty if it need not.
func (l limits) wait(active, holding int) string {
	if active >= l.parallel {
		return fmt.Sprintf("%d sectors are being sealed, sealing.parallel is %d", active, l.parallel)
	}
	if need := uint64(active+1) * l.each.memory; l.memory > 0 && need > l.memory {
		return fmt.Sprintf("%d sectors being sealed take at least %s of memory, sealing.memory is %s",
			active+1, chain.FormatSize(need), chain.FormatSize(l.memory))
	}
	if need := uint64(holding) * l.each.scratch; l.scratch > 0 && need > l.scratch {
		return fmt.Sprintf("%d sectors on their way to the chain take %s of disk, sealing.scratch is %s",
			holding, chain.FormatSize(need), chain.FormatSize(l.scratch))
	}
	return ""
}

// begun reports whether a sector may have files that it keeps only until it is
// on the chain: its ticket is noted before the first of them is written.
func begun(rec *miner.Sector) bool { return rec.State.Sealing() && rec.TicketHeight != 0 }

// room fails with disk.ErrFull unless all that the sectors being sealed have
// still to write fits on the disk.
func (s *Sealing) room() error {
	var ahead uint64
	for _, number := range s.beingSealed() {
		written, err := s.disk.SectorBytes(number)
		if err != nil {
			return err
		}
		ahead += s.limits.each.scratch - min(written, s.limits.each.scratch)
	}
	return s.disk.Room(ahead)
}
