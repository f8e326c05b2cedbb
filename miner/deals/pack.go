package deals

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/sector"
)

// pack puts accepted pieces into a new sector once it is full or the oldest
// has waited long enough.
func (d *Deals) pack(ctx context.Context, accepted []*miner.Deal) error {
	if len(accepted) == 0 {
		return nil
	}
	params, err := d.chain.Params(ctx)
	if err != nil {
		return err
	}
	g, err := d.chain.Global(ctx)
	if err != nil {
		return err
	}
	chosen, full := choose(accepted, d.cfg.SectorSize)
	oldest := slices.MinFunc(chosen, func(a, b *miner.Deal) int { return int(int64(a.Deal.Accepted) - int64(b.Deal.Accepted)) })
	if !full && uint64(g.Height) < uint64(oldest.Deal.Accepted)+d.cfg.PackDelay {
		return nil
	}
	s := &miner.Sector{State: sector.Packed, Expiration: expiration(chosen, g.Height, params)}
	for _, rec := range chosen {
		s.Pieces = append(s.Pieces, chain.SectorPiece{
			PieceCID: rec.Deal.PieceCID, PaddedSize: rec.Deal.PaddedSize, Deal: rec.ID})
	}
	d.writing.Lock()
	err = d.records.NewSector(s, chosen)
	d.writing.Unlock()
	if err != nil {
		return fmt.Errorf("pack sector: %w", err)
	}
	d.cfg.Log.Info("sector packed", "sector", s.Number, "deals", len(chosen))
	if d.cfg.Packed != nil {
		d.cfg.Packed()
	}
	return nil
}

// maxPieces is the most pieces of a sector, as the chain bounds them.
const maxPieces = 256

// choose takes the largest pieces first, so that no alignment gaps arise, and
// reports whether the sector is full or something did not fit.
func choose(accepted []*miner.Deal, sectorSize uint64) (chosen []*miner.Deal, full bool) {
	sorted := slices.Clone(accepted)
	slices.SortStableFunc(sorted, func(a, b *miner.Deal) int {
		switch {
		case a.Deal.PaddedSize > b.Deal.PaddedSize:
			return -1
		case a.Deal.PaddedSize < b.Deal.PaddedSize:
			return 1
		}
		return 0
	})
	left := sectorSize
	for _, rec := range sorted {
		if rec.Deal.PaddedSize > left || len(chosen) == maxPieces {
			full = true
			continue
		}
		chosen = append(chosen, rec)
		left -= rec.Deal.PaddedSize
	}
	return chosen, full || left == 0
}

// expiration is late enough for every deal, whenever it becomes active, and
// for the least life of a sector.
func expiration(chosen []*miner.Deal, now chain.Height, p *consensus.Params) chain.Height {
	end := uint64(now) + p.ProveDue + p.SeedDelay + p.MinSectorLife
	for _, rec := range chosen {
		end = max(end, uint64(rec.Deal.ActivateBy)+rec.Deal.Duration)
	}
	return chain.Height(end + p.Period())
}

// sweep removes the files of pieces that no deal needs any more.
func (d *Deals) sweep() error {
	for _, state := range []miner.DealState{miner.DealEnded, miner.DealDiscarded} {
		over, err := d.records.DealsIn(state)
		if err != nil {
			return err
		}
		for _, rec := range over {
			if err := d.sweepOne(rec.ID); err != nil {
				return fmt.Errorf("remove piece of deal %d: %w", rec.ID, err)
			}
		}
	}
	return nil
}

// sweepOne lets go of the piece of a deal that is over.
func (d *Deals) sweepOne(id uint64) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	rec, err := d.find(id)
	if err != nil || rec.State != miner.DealEnded && rec.State != miner.DealDiscarded {
		return err
	}
	return d.letGo(rec)
}

// letGo removes the piece of a deal that is over, unless another deal needs it. The
// caller holds writing.
func (d *Deals) letGo(rec *miner.Deal) error {
	if rec.Swept {
		return nil
	}
	piece := rec.Deal.PieceCID
	all, err := d.records.DealsOfPiece(piece)
	if err != nil {
		return err
	}
	needed := slices.ContainsFunc(all, func(o *miner.Deal) bool { return o.State != miner.DealEnded && o.State != miner.DealDiscarded })
	if !needed {
		if err := errors.Join(d.disk.RemovePiece(piece), d.records.SetContents(piece, nil)); err != nil {
			return err
		}
	}
	rec.Swept = true
	return d.records.PutDeal(rec)
}
