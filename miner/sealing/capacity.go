package sealing

import (
	"context"
	"fmt"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/sector"
)

// packCapacity packs empty sectors until Config.Capacity of them are on the
// chain or on their way: they earn power, and with it votes, without a deal. It
// reports whether it packed any. One that has ended is replaced.
func (s *Sealing) packCapacity(ctx context.Context, all []*miner.Sector) (bool, error) {
	missing := s.cfg.Capacity
	for _, rec := range all {
		if len(rec.Pieces) == 0 && rec.State != sector.Ended {
			missing--
		}
	}
	if missing <= 0 {
		return false, nil
	}
	g, err := s.chain.Global(ctx)
	if err != nil {
		return false, fmt.Errorf("pack capacity: %w", err)
	}
	p, err := s.chain.Params(ctx)
	if err != nil {
		return false, fmt.Errorf("pack capacity: %w", err)
	}
	for range missing {
		rec := &miner.Sector{State: sector.Packed, Expiration: g.Height + chain.Height(p.MaxSectorLife)}
		if err := s.records.NewSector(rec, nil); err != nil {
			return false, fmt.Errorf("pack capacity: %w", err)
		}
		s.cfg.Log.Info("sector packed", "sector", rec.Number, "deals", 0)
	}
	return true, nil
}
