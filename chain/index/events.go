package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// eventChunk is how many events of a block stand in one row, each behind its length.
const eventChunk = 16

func eventKey(h chain.Height, chunk uint32) []byte { return in([]byte{'e'}, h, chunk) }

// writeEvents writes the block's events, the chain's and the derived ones.
func (b *block) writeEvents(batch *pebble.Batch) error {
	for from := 0; from < len(b.events); from += eventChunk {
		var row []byte
		for i := from; i < min(from+eventChunk, len(b.events)); i++ {
			raw, err := chain.Encode(&b.events[i])
			if err != nil {
				return fmt.Errorf("encode event %d: %w", i, err)
			}
			row = append(binary.AppendUvarint(row, uint64(len(raw))), raw...)
		}
		set(batch, eventKey(b.u.Height, uint32(from/eventChunk)), row)
	}
	return nil
}

var (
	errEvents = errors.New("row of events is cut off")
	errWindow = errors.New("row of a window is cut off")
)

// eachEvent goes through a row of events until f says false.
func eachEvent(row []byte, f func(raw []byte) (bool, error)) error {
	for len(row) > 0 {
		n, head := binary.Uvarint(row)
		if head <= 0 || n > uint64(len(row)-head) {
			return errEvents
		}
		more, err := f(row[head : head+int(n)])
		if !more || err != nil {
			return err
		}
		row = row[head+int(n):]
	}
	return nil
}

// Event is an event and its place.
type Event struct {
	Height chain.Height
	Index  uint32 // among the events of its block
	consensus.Event
}

// events reads events by their places, of which many that follow each other stand
// in one row.
type events struct {
	view *view
	it   *pebble.Iterator
	at   []byte // key of the row that it stands at
}

func (s *Snapshot) events() (*events, error) {
	it, err := s.iterator(bounds([]byte{'e'}, true, nil))
	return &events{view: s.view, it: it}, err
}

func (e *events) close() error { return e.view.give(e.it) }

// each gives f an event that a list names.
func (e *events) each(h chain.Height, index uint32, f func(*Event) (bool, error)) (bool, error) {
	if key := eventKey(h, index/eventChunk); !bytes.Equal(e.at, key) {
		e.at = nil
		if !e.it.SeekPrefixGE(key) {
			return false, errors.Join(fmt.Errorf("a list names event %d of block %d, which is not in the index", index, h), e.it.Error())
		}
		e.at = key
	}
	var found *Event
	at := index - index%eventChunk
	err := eachEvent(e.it.Value(), func(raw []byte) (bool, error) {
		if at++; at <= index {
			return true, nil
		}
		found = &Event{Height: h, Index: index}
		return false, parse(raw, &found.Event)
	})
	switch {
	case err != nil:
		return false, fmt.Errorf("events of block %d: %w", h, err)
	case found == nil:
		return false, fmt.Errorf("a list names event %d of block %d, which has not so many", index, h)
	}
	return f(found)
}

// BlockEvents lists the events of a block as they happened, and after them
// those that the index derived from it.
func (s *Snapshot) BlockEvents(h chain.Height, p Page, each func(*Event) (bool, error)) (next []byte, err error) {
	if err := p.check(4); err != nil {
		return nil, err
	}
	from := uint32(0)
	if p.After != nil {
		from = binary.BigEndian.Uint32(p.After) + 1
	}
	taken, visits, at := 0, 0, from
	for chunk := from / eventChunk; ; chunk++ {
		row, err := s.get(eventKey(h, chunk))
		if err != nil || row == nil {
			return nil, err
		}
		n, full := chunk*eventChunk, false
		err = eachEvent(row, func(raw []byte) (bool, error) {
			if n++; n <= at {
				return true, nil
			}
			if full = taken >= max(p.Limit, 1) || visits == maxVisits; full {
				return false, nil
			}
			e := &Event{Height: h, Index: n - 1}
			if err := parse(raw, &e.Event); err != nil {
				return false, err
			}
			take, err := each(e)
			if take {
				taken++
			}
			visits, at = visits+1, n
			return true, err
		})
		if err != nil {
			return nil, fmt.Errorf("events of block %d: %w", h, err)
		}
		if full {
			return index32(uint64(at - 1)), nil
		}
	}
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
