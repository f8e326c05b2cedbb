package sealing

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/sector"
	"github.com/perdure/perdure/porep/seal"
)

// tidyAll removes what an earlier process left of sectors that have reached the
// chain.
func (s *Sealing) tidyAll(ctx context.Context) error {
	all, err := s.records.Sectors()
	if err != nil {
		return fmt.Errorf("look for sectors to tidy: %w", err)
	}
	for _, rec := range all {
		if ctx.Err() != nil {
			return nil
		}
		s.tidy(rec)
	}
	return nil
}

// tidy removes the files that a sector on the chain was sealed and proven with
// and that the miner does not keep. If that fails it is tried again at the next
// start: the sector is none the worse for it.
func (s *Sealing) tidy(rec *miner.Sector) {
	if rec.State != sector.Active && rec.State != sector.Faulty {
		return
	}
	if err := s.finalize(rec.Number); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.cfg.Log.Warn("remove files that sealing needed", "sector", rec.Number, "err", err)
	}
}

func (s *Sealing) finalize(number uint64) error {
	if _, err := seal.Find(s.disk.Sector(number)); err != nil {
		return err // nothing is made where there is no sector
	}
	dir, err := seal.Open(s.sealConfig(number, 1))
	if err != nil {
		return err
	}
	return errors.Join(dir.Finalize(s.cfg.Keep), dir.Close())
}
