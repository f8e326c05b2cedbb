package buyer

import (
	"sync"
	"time"
)

// stopwatch adds up how long a session waited for its seller. Others may look
// at it meanwhile.
type stopwatch struct {
	mu    sync.Mutex
	total time.Duration
	since time.Time // zero: it stands
}

func (s *stopwatch) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = time.Now()
}

func (s *stopwatch) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total += time.Since(s.since)
	s.since = time.Time{}
}

// elapsed is the time so far, that of a wait under way included.
func (s *stopwatch) elapsed() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() {
		return s.total
	}
	return s.total + time.Since(s.since)
}
