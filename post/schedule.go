package post

// Schedule says when sectors are proven, in block heights. A proving period is
// cut into deadlines, each open for a window; a miner's periods follow one
// another from the height at which its first one starts.
type Schedule struct {
	Deadlines uint64 // in a period, at least 1
	Window    uint64 // blocks that a deadline is open, at least 1
	Lookback  uint64 // blocks from the height whose beacon gives the challenges to the opening
	Cutoff    uint64 // blocks before the opening from which on faults are declared too late
}

// Deadline is one opening of a deadline: it takes proofs in blocks of the
// heights Open to Close-1.
type Deadline struct {
	Period uint64 // number of the miner's period, from 0
	Index  uint64 // 0 to Deadlines-1
	Open   uint64
	Close  uint64
	// Challenge is the height whose beacon gives the challenges, and Cutoff the
	// first height at which a fault counts as declared late; 0 if they would lie
	// before the chain.
	Challenge uint64
	Cutoff    uint64
}

// Valid reports whether the schedule has deadlines and windows, and no period
// longer than a height can hold.
func (s Schedule) Valid() bool {
	return s.Deadlines > 0 && s.Window > 0 && s.Deadlines <= ^uint64(0)/s.Window
}

// Period returns the length of a proving period in blocks.
func (s Schedule) Period() uint64 { return s.Deadlines * s.Window }

// At returns the deadline that is open at a height for a miner whose first period
// starts at start. It reports false before that, and for a schedule that is not
// valid.
func (s Schedule) At(start, height uint64) (Deadline, bool) {
	if !s.Valid() || height < start {
		return Deadline{}, false
	}
	period := (height - start) / s.Period()
	index := (height - start) % s.Period() / s.Window
	return s.opening(start, period, index), true
}

// Next returns the first opening of deadline index at a height or later, for a
// miner whose first period starts at start. It reports false for an index out of
// range and for a schedule that is not valid.
func (s Schedule) Next(start, index, height uint64) (Deadline, bool) {
	if !s.Valid() || index >= s.Deadlines {
		return Deadline{}, false
	}
	first := start + index*s.Window
	period := uint64(0)
	if height > first {
		period = (height - first + s.Period() - 1) / s.Period()
	}
	return s.opening(start, period, index), true
}

func (s Schedule) opening(start, period, index uint64) Deadline {
	open := start + period*s.Period() + index*s.Window
	return Deadline{
		Period:    period,
		Index:     index,
		Open:      open,
		Close:     open + s.Window,
		Challenge: open - min(open, s.Lookback),
		Cutoff:    open - min(open, s.Cutoff),
	}
}

// Partitions returns the number of partitions that hold that many sectors.
func Partitions(sectors uint64) uint64 {
	return sectors/MaxSectors + min(1, sectors%MaxSectors)
}
