package seal

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// ErrTogether says that sectors cannot be sealed together.
var ErrTogether = errors.New("sectors of different parameters")

// Together does for some sectors what [Sector.Seal] does for one, each with its
// ticket, and labels them in step: several sectors take little longer than one.
// The limits of labelling are those of the first sector's [Config] and hold for
// all together. The sectors must have the same parameters: one that has not those
// of the first fails with [ErrTogether]. A sector that fails drops out alone; its
// error stands at its index, and its result is empty. The Progress of different
// sectors is called by different goroutines at once.
func Together(ctx context.Context, sectors []*Sector, tickets [][32]byte) ([]Result, []error) {
	results, errs := make([]Result, len(sectors)), make([]error, len(sectors))
	TogetherEach(ctx, sectors, tickets, func(i int, result Result, err error) {
		results[i], errs[i] = result, err
	})
	return results, errs
}

// TogetherEach is [Together] for whoever goes on with each sector by itself: done
// is called, one call at a time, with the index of a sector that is sealed or has
// failed, before the next one is worked on.
func TogetherEach(ctx context.Context, sectors []*Sector, tickets [][32]byte, done func(i int, result Result, err error)) {
	errs := make([]error, len(sectors))
	var ready []int
	for i, s := range sectors {
		errs[i] = s.sealBeforeLabels(ctx, sectors[0], tickets[i])
		switch {
		case errs[i] != nil:
			done(i, Result{}, errs[i])
		case s.Next() == StepLabels:
			ready = append(ready, i)
		}
	}
	early := slices.Clone(errs)
	labelReady(ctx, sectors, ready, errs)
	for i, s := range sectors {
		switch {
		case early[i] != nil: // told already
		case errs[i] != nil:
			done(i, Result{}, errs[i])
		default:
			result, err := s.Seal(ctx, tickets[i])
			done(i, result, err)
		}
	}
}

func (s *Sector) sealBeforeLabels(ctx context.Context, first *Sector, ticket [32]byte) error {
	if s.params != first.params {
		return fmt.Errorf("seal sector %d together with sector %d: %w", s.cfg.Number, first.cfg.Number, ErrTogether)
	}
	return s.advance(ctx, ticket, StepLabels)
}

// labelReady labels the sectors of some indices in step. One whose files turn out
// to be damaged is left to be labelled alone.
func labelReady(ctx context.Context, all []*Sector, ready []int, errs []error) {
	var sectors []*Sector
	var indices []int
	for _, i := range ready {
		switch _, err := all[i].begin(ctx, StepLabels); {
		case err == nil:
			sectors, indices = append(sectors, all[i]), append(indices, i)
		case !all[i].again(err):
			errs[i] = all[i].stepError(StepLabels, err)
		}
	}
	if len(sectors) == 0 {
		return
	}
	for j, err := range labelTogether(ctx, sectors) {
		if err != nil {
			errs[indices[j]] = sectors[j].stepError(StepLabels, err)
		}
	}
}
