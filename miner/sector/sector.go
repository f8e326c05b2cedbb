// Package sector is the life of a sector as its miner sees it: a pure table
// from a state and what happened to the next state.
package sector

import "fmt"

// State is a sector's place in its life.
type State string

// The states.
const (
	Packed    State = "packed"    // its pieces are chosen; data and seal are made
	Sealed    State = "sealed"    // CommR is known; to be pre-committed
	Committed State = "committed" // pre-committed on chain; openings are due
	Active    State = "active"    // proven each period
	Faulty    State = "faulty"    // on chain, without power
	Ended     State = "ended"     // expired, dropped or lost: nothing is left to do
)

// Event is something that happened to a sector.
type Event string

// The events.
const (
	SealDone     Event = "sealDone"     // the files are complete
	TicketStale  Event = "ticketStale"  // the ticket is too old to pre-commit: seal again
	PreCommitted Event = "preCommitted" // seen on chain
	Dropped      Event = "dropped"      // the pre-commit ran out unproven
	Activated    Event = "activated"    // seen on chain
	Failed       Event = "failed"       // faulty on chain
	Recovered    Event = "recovered"    // proven again
	Over         Event = "over"         // expired or lost
)

var table = map[State]map[Event]State{
	Packed:    {SealDone: Sealed, PreCommitted: Committed},
	Sealed:    {PreCommitted: Committed, TicketStale: Packed},
	Committed: {Activated: Active, Dropped: Ended, PreCommitted: Committed},
	Active:    {Failed: Faulty, Over: Ended, Activated: Active, Recovered: Active},
	Faulty:    {Recovered: Active, Over: Ended, Failed: Faulty, Activated: Active},
	Ended:     {},
}

// Next returns the state that follows, or an error if the event makes no sense
// in the state.
func Next(s State, e Event) (State, error) {
	if next, ok := table[s][e]; ok {
		return next, nil
	}
	return s, fmt.Errorf("sector is %s: %s does not follow", s, e)
}

// Sealing reports whether the sector is still on its way to the chain.
func (s State) Sealing() bool { return s == Packed || s == Sealed || s == Committed }
