package sealing

import (
	"maps"
	"time"

	"github.com/perdure/perdure/porep/seal"
)

// Progress is how far the sealing of a sector is.
type Progress struct {
	Step        seal.Step
	Done, Total uint64        // nodes of the step
	Rate        float64       // nodes a second, over the last minute; 0 if not known yet
	Left        time.Duration // of the step at that rate; 0 if not known
}

// Percent is how much of the step is done.
func (p Progress) Percent() float64 {
	if p.Total == 0 {
		return 0
	}
	return 100 * float64(p.Done) / float64(p.Total)
}

// Stats count what sealing has done since the process started.
type Stats struct {
	Seconds map[seal.Step]float64 // spent in a step, added over sectors
	Nodes   map[seal.Step]uint64  // of which a step is done; not those that it found done
	Sectors map[seal.Step]int     // in a step now
	Waiting int                   // packed sectors that the limits do not let in yet
}

// rateSpan is the time over which the rate is taken: between one and two of it.
const rateSpan = 30 * time.Second

// track follows a sector through its steps.
type track struct {
	step          seal.Step
	done, total   uint64
	told          time.Time // of the last report
	mark, earlier sample
}

// sample is how much was done at a time.
type sample struct {
	at   time.Time
	done uint64
}

// newTrack starts at the first report of a step: what that finds done already
// says nothing of the rate.
func newTrack(step seal.Step, done, total uint64, now time.Time) *track {
	first := sample{now, done}
	return &track{step: step, done: done, total: total, told: now, mark: first, earlier: first}
}

func (t *track) tell(done, total uint64, now time.Time) {
	t.done, t.total, t.told = done, total, now
	if now.Sub(t.mark.at) >= rateSpan {
		t.earlier, t.mark = t.mark, sample{now, done}
	}
}

func (t *track) progress(now time.Time) Progress {
	p := Progress{Step: t.step, Done: t.done, Total: t.total}
	spent := now.Sub(t.earlier.at)
	if t.done <= t.earlier.done || spent <= 0 {
		return p
	}
	p.Rate = float64(t.done-t.earlier.done) / spent.Seconds()
	p.Left = time.Duration(float64(t.total-min(t.done, t.total)) / p.Rate * float64(time.Second))
	return p
}

// report takes in what sealing a sector says of itself. The time since its last
// report counts for the step of that one, whose file was synced meanwhile.
func (s *Sealing) report(number uint64, step seal.Step, done, total uint64) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tracks[number]
	if t != nil {
		s.seconds[t.step] += now.Sub(t.told).Seconds()
	}
	if t == nil || t.step != step || done < t.done {
		s.tracks[number] = newTrack(step, done, total, now)
		return
	}
	s.nodes[step] += done - t.done
	t.tell(done, total, now)
}

// forget ends the track of a sector. The caller holds the mutex.
func (s *Sealing) forget(number uint64) {
	if t := s.tracks[number]; t != nil {
		s.seconds[t.step] += time.Since(t.told).Seconds()
		delete(s.tracks, number)
	}
}

// Progress returns how far a sector that is being sealed is.
func (s *Sealing) Progress(number uint64) (Progress, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tracks[number]
	if !ok {
		return Progress{}, false
	}
	return t.progress(time.Now()), true
}

// Waiting returns why a packed sector is not being sealed yet; it is empty if
// nothing keeps it.
func (s *Sealing) Waiting(number uint64) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting[number]
}

// Stats returns the counters.
func (s *Sealing) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := Stats{
		Seconds: maps.Clone(s.seconds), Nodes: maps.Clone(s.nodes),
		Sectors: map[seal.Step]int{}, Waiting: len(s.waiting),
	}
	for _, t := range s.tracks {
		stats.Sectors[t.step]++
	}
	return stats
}
