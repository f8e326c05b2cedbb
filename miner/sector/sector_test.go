package sector

import (
	"slices"
	"testing"
)

func TestLife(t *testing.T) {
	for _, c := range []struct {
		name   string
		events []Event
		want   State
	}{
		{"to the end of its term", []Event{SealDone, PreCommitted, Activated, Over}, Ended},
		{"fault and recovery", []Event{SealDone, PreCommitted, Activated, Failed, Recovered}, Active},
		{"lost", []Event{SealDone, PreCommitted, Activated, Failed, Over}, Ended},
		{"never proven", []Event{SealDone, PreCommitted, Dropped}, Ended},
		{"sealed too slowly", []Event{SealDone, TicketStale, SealDone, PreCommitted}, Committed},
		{"killed after the pre-commit was sent", []Event{PreCommitted}, Committed},
		{"an update read twice", []Event{SealDone, PreCommitted, PreCommitted, Activated, Activated}, Active},
	} {
		s := Packed
		for _, e := range c.events {
			next, err := Next(s, e)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			s = next
		}
		if s != c.want {
			t.Errorf("%s ends %s, want %s", c.name, s, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		state  State
		events []Event
	}{
		{Packed, []Event{Activated, Failed, Over, Recovered, TicketStale}},
		{Active, []Event{SealDone, PreCommitted, Dropped, TicketStale}},
		{Ended, []Event{SealDone, PreCommitted, Activated, Failed, Recovered, Over, Dropped, TicketStale}},
	} {
		for _, e := range c.events {
			if next, err := Next(c.state, e); err == nil || next != c.state {
				t.Errorf("Next(%s, %s) = %s, %v; want refusal", c.state, e, next, err)
			}
		}
	}
	states := []State{Packed, Sealed, Committed, Active, Faulty, Ended}
	for from, row := range table {
		for e, to := range row {
			if !slices.Contains(states, to) || !slices.Contains(states, from) {
				t.Errorf("%s --%s--> %s leaves the table", from, e, to)
			}
		}
	}
}
