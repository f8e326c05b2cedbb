package retrieval

import (
	"fmt"

	"github.com/perdure/perdure/chain"
)

// Kind is the first byte of a frame: which message it carries. Numbers are on
// the wire: never reuse one.
type Kind byte

// The kinds of frames.
const (
	KindAsk      Kind = 1
	KindOffer    Kind = 2
	KindPay      Kind = 3
	KindStanding Kind = 4
	KindWant     Kind = 5
	KindChunk    Kind = 6
	KindEnd      Kind = 7
	KindTick     Kind = 8
	KindCancel   Kind = 9
	KindBye      Kind = 10
	KindError    Kind = 11
	KindWait     Kind = 12
)

// Limit is the most bytes that a frame of the kind may have, the kind itself
// included; 0 for an unknown kind.
func (k Kind) Limit() int {
	switch {
	case k == KindChunk:
		return MaxFrame
	case k >= KindAsk && k <= KindWait:
		return MaxControl
	}
	return 0
}

// Message is what a frame carries.
type Message interface {
	// Kind is the first byte of the frame.
	Kind() Kind
	// Validate checks the form; Decode calls it.
	Validate() error
}

// Kind implements Message.
func (*Ask) Kind() Kind { return KindAsk }

// Kind implements Message.
func (*Offer) Kind() Kind { return KindOffer }

// Kind implements Message.
func (*Pay) Kind() Kind { return KindPay }

// Kind implements Message.
func (*Standing) Kind() Kind { return KindStanding }

// Kind implements Message.
func (*Want) Kind() Kind { return KindWant }

// Kind implements Message.
func (*Chunk) Kind() Kind { return KindChunk }

// Kind implements Message.
func (*End) Kind() Kind { return KindEnd }

// Kind implements Message.
func (*Tick) Kind() Kind { return KindTick }

// Kind implements Message.
func (*Cancel) Kind() Kind { return KindCancel }

// Kind implements Message.
func (*Bye) Kind() Kind { return KindBye }

// Kind implements Message.
func (*Error) Kind() Kind { return KindError }

// Kind implements Message.
func (*Wait) Kind() Kind { return KindWait }

// newMessage returns an empty message of a kind that is coded as CBOR.
func newMessage(k Kind) Message {
	switch k {
	case KindAsk:
		return new(Ask)
	case KindOffer:
		return new(Offer)
	case KindPay:
		return new(Pay)
	case KindStanding:
		return new(Standing)
	case KindWant:
		return new(Want)
	case KindEnd:
		return new(End)
	case KindTick:
		return new(Tick)
	case KindCancel:
		return new(Cancel)
	case KindBye:
		return new(Bye)
	case KindError:
		return new(Error)
	case KindWait:
		return new(Wait)
	}
	return nil
}

// Encode returns the frame of a message: its kind and its encoding, without
// the length that stands before a frame on a stream.
func Encode(m Message) ([]byte, error) {
	if c, ok := m.(*Chunk); ok {
		return c.encode(), nil
	}
	noun, ok := m.(chain.CBOR)
	if !ok {
		return nil, fmt.Errorf("encode %T: not a message of the protocol", m)
	}
	body, err := chain.Encode(noun)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", m, err)
	}
	if len(body)+1 > MaxControl {
		return nil, fmt.Errorf("encode %T: %d bytes exceed %d", m, len(body)+1, MaxControl)
	}
	return append([]byte{byte(m.Kind())}, body...), nil
}

// Decode reads a frame without its length, strictly, and validates what it
// carries. A Chunk shares the frame's memory.
func Decode(frame []byte) (Message, error) {
	if len(frame) == 0 {
		return nil, malformed("empty frame")
	}
	kind := Kind(frame[0])
	switch limit := kind.Limit(); {
	case limit == 0:
		return nil, malformed("frame of unknown kind %d", kind)
	case len(frame) > limit:
		return nil, malformed("frame of %d bytes, kind %d may have %d", len(frame), kind, limit)
	case kind == KindChunk:
		return decodeChunk(frame)
	}
	m := newMessage(kind)
	if err := chain.Decode(frame[1:], m.(chain.CBOR)); err != nil {
		return nil, malformed("frame of kind %d: %w", kind, err)
	}
	if err := m.Validate(); err != nil {
		return nil, err
	}
	return m, nil
}
