package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/perdure/perdure/chain"
)

// AllEvents lists the events of the history, of all kinds.
func (s *Snapshot) AllEvents(p Page, each func(*Event) (bool, error)) (next []byte, err error) {
	if err := p.check(12); err != nil {
		return nil, err
	}
	var from Page // the chunk that holds the place, too
	from.Upward, from.Limit = p.Upward, maxVisits
	if p.After != nil {
		from.After = chunkBeside(p.After, p.Upward)
	}
	taken := 0
	_, err = s.list([]byte{'e'}, 12, from, func(row, value []byte) (bool, error) {
		events, err := decodeEvents(row, value, p.Upward)
		if err != nil {
			return false, err
		}
		for _, e := range events {
			at := in(nil, e.Height, e.Index)
			if p.After != nil && (p.Upward && string(at) <= string(p.After) || !p.Upward && string(at) >= string(p.After)) {
				continue
			}
			if taken == max(p.Limit, 1) {
				return false, errEnough
			}
			take, err := each(e)
			if err != nil {
				return false, err
			}
			next = at
			if take {
				taken++
			}
		}
		return true, nil
	})
	if errors.Is(err, errEnough) {
		return next, nil
	}
	return nil, err
}

// chunkBeside is the place before that of the chunk that holds an event, in the
// direction of reading.
func chunkBeside(at []byte, upward bool) []byte {
	h, chunk := height(at), be32(at[8:])/eventChunk
	switch {
	case !upward:
		return in(nil, h, chunk+1)
	case chunk > 0:
		return in(nil, h, chunk-1)
	case h > 0:
		return in(nil, h-1, 1<<32-1)
	}
	return nil
}

// decodeEvents reads a row of events, the last one first unless upward.
func decodeEvents(row, value []byte, upward bool) ([]*Event, error) {
	h, first := height(row), binary.BigEndian.Uint32(row[8:])*eventChunk
	var out []*Event
	err := eachEvent(value, func(raw []byte) (bool, error) {
		e := &Event{Height: h, Index: first + uint32(len(out))}
		out = append(out, e)
		return true, parse(raw, &e.Event)
	})
	if err != nil {
		return nil, fmt.Errorf("events of block %d: %w", h, err)
	}
	if !upward {
		slices.Reverse(out)
	}
	return out, nil
}

// MessageAt returns a message by its place, nil if there is none.
func (s *Snapshot) MessageAt(h chain.Height, index uint32) (*Message, error) {
	m := new(Message)
	if ok, err := s.noun(in([]byte{'m'}, h, index), m); !ok {
		return nil, err
	}
	return m, nil
}
