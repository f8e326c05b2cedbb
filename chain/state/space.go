package state

import (
	"context"
	"errors"
	"fmt"
)

// Keep changes how many heights stay behind the tip. What is too old goes with
// the next commits, some heights at a time.
func (s *Store) Keep(heights uint64) { s.keep.Store(heights) }

// Size is the space that the database takes on the disk, in bytes.
func (s *Store) Size() uint64 {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.db == nil {
		return 0
	}
	return s.db.Metrics().DiskSpaceUsage()
}

// Compact gives back the space of what was deleted. It reads and writes all
// that is stored, beside everything else.
func (s *Store) Compact(ctx context.Context) error {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.db == nil {
		return ErrClosed
	}
	err := s.fatal.guard(func() error { return s.db.Compact(ctx, []byte{0}, []byte{0xff}, true) })
	if err != nil && !errors.Is(err, ctx.Err()) {
		return fmt.Errorf("compact state: %w", err)
	}
	return err
}
