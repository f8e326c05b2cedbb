package index

import (
	"errors"
	"fmt"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// Event is an event and its place.
type Event struct {
	Height chain.Height
	Index  uint32 // among the events of its block
	consensus.Event
}

// AllEvents lists the events of the history, of all kinds.
func (s *Snapshot) AllEvents(p Page, each func(*Event) (bool, error)) (next []byte, err error) {
	return s.eventsUnder([]byte{eventTable}, p, each)
}

// BlockEvents lists the events of a block as they happened, and after them
// those that the index derived from it.
func (s *Snapshot) BlockEvents(h chain.Height, p Page, each func(*Event) (bool, error)) (next []byte, err error) {
	p.Upward = true
	return s.eventsUnder(number([]byte{eventTable}, uint64(h)), p, each)
}

func (s *Snapshot) eventsUnder(prefix []byte, p Page, each func(*Event) (bool, error)) ([]byte, error) {
	return s.entries(prefix, p, func(at Place, raw []byte) (bool, error) {
		e := &Event{Height: at.Height, Index: at.Index}
		if err := parse(raw, &e.Event); err != nil {
			return false, fmt.Errorf("decode event %d of block %d: %w", at.Index, at.Height, err)
		}
		return each(e)
	})
}

// MessageEvents goes through the events that a message caused, at most so many.
func (s *Snapshot) MessageEvents(m *Message, most int, each func(*Event)) error {
	if m.Events == 0 {
		return nil
	}
	p := Page{Limit: most}
	if m.First > 0 {
		p.After = index32(m.First - 1)
	}
	_, err := s.BlockEvents(m.Height, p, func(e *Event) (bool, error) {
		if uint64(e.Index) >= m.First+m.Events {
			return false, errEnough
		}
		if e.Message != m.Index+1 {
			return false, nil
		}
		each(e)
		return true, nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}
