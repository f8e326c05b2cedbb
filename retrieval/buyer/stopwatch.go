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

// stop returns how long it ran.
func (s *stopwatch) stop() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	ran := time.Since(s.since)
	s.total += ran
	s.since = time.Time{}
	return ran
}

// forgive takes a wait off the time so far.
func (s *stopwatch) forgive(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total -= min(d, s.total)
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
