package sealing

import (
	"context"

	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/sector"
	"github.com/perdure/perdure/porep/seal"
)

// startRound starts sealing as many packed sectors together as the limits let
// in, and notes why the others wait. Sectors that were begun come first: they
// take their scratch space already.
func (s *Sealing) startRound(ctx context.Context, all []*miner.Sector) {
	if round := s.claimRound(all); len(round) > 0 {
		s.wg.Go(func() { s.round(ctx, round) })
	}
}

func (s *Sealing) claimRound(all []*miner.Sector) (round []uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	holding := map[uint64]bool{}
	for _, rec := range all {
		if begun(rec) || s.sealing[rec.Number] {
			holding[rec.Number] = true
		}
	}
	s.waiting = map[uint64]string{}
	for _, first := range []bool{true, false} {
		for _, rec := range all {
			if rec.State != sector.Packed || begun(rec) != first || !s.free(rec.Number) {
				continue
			}
			holds := len(holding)
			if !holding[rec.Number] {
				holds++
			}
			if reason := s.limits.wait(len(s.sealing), holds); reason != "" {
				s.waiting[rec.Number] = reason
				continue
			}
			holding[rec.Number], s.sealing[rec.Number], s.busy[rec.Number] = true, true, true
			round = append(round, rec.Number)
		}
	}
	return round
}

// job is a sector of a round, its directory locked and its data written.
type job struct {
	rec *miner.Sector
	dir *seal.Sector
}

// round seals sectors together. Each of them goes on by itself as soon as it is
// sealed, and so do the others if one of them fails.
func (s *Sealing) round(ctx context.Context, numbers []uint64) {
	var jobs []job
	for _, number := range numbers {
		if j, err := s.prepare(ctx, number, len(numbers)); err == nil && j != nil {
			jobs = append(jobs, *j)
		} else {
			s.wg.Go(func() { s.goOn(ctx, number, err) })
		}
	}
	dirs, tickets := make([]*seal.Sector, len(jobs)), make([][32]byte, len(jobs))
	for i, j := range jobs {
		dirs[i], tickets[i] = j.dir, j.rec.Ticket
	}
	seal.TogetherEach(ctx, dirs, tickets, func(i int, result seal.Result, err error) {
		j := jobs[i]
		if closeErr := j.dir.Close(); err == nil {
			err = closeErr
		}
		if err == nil {
			j.rec.CommD, j.rec.CommR = result.CommD, result.CommR
			err = s.apply(j.rec, sector.SealDone)
		}
		s.wg.Go(func() { s.goOn(ctx, j.rec.Number, err) })
	})
}

// prepare opens the directory of a sector that is sealed with others, looks whether there is room,
// draws its ticket and writes its data. There is no job if the sector is not
// packed any more.
func (s *Sealing) prepare(ctx context.Context, number uint64, together int) (*job, error) {
	rec, err := s.records.Sector(number)
	if err != nil {
		return nil, err
	}
	if _, err := s.reconcile(ctx, rec); err != nil || rec.State != sector.Packed {
		return nil, err
	}
	dir, err := seal.Open(s.sealConfig(number, together))
	if err != nil {
		return nil, err
	}
	if err := s.begin(ctx, rec, dir); err != nil {
		dir.Close() // what went wrong is err
		return nil, err
	}
	return &job{rec, dir}, nil
}

func (s *Sealing) begin(ctx context.Context, rec *miner.Sector, dir *seal.Sector) error {
	if dir.Next() != seal.Done {
		if err := s.room(); err != nil {
			return err
		}
	}
	if err := s.drawTicket(ctx, rec, dir); err != nil {
		return err
	}
	if dir.Next() == seal.StepData {
		return s.writeData(ctx, rec, dir)
	}
	return nil
}

// goOn frees the place of a sector among those being sealed and takes it as far
// as it goes, unless something went wrong.
func (s *Sealing) goOn(ctx context.Context, number uint64, err error) {
	s.mu.Lock()
	delete(s.sealing, number)
	s.mu.Unlock()
	s.Wake() // another may take the place
	if err == nil {
		err = s.work(ctx, number)
	}
	s.release(ctx, number, err)
}

func (s *Sealing) beingSealed() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	numbers := make([]uint64, 0, len(s.sealing))
	for number := range s.sealing {
		numbers = append(numbers, number)
	}
	return numbers
}
