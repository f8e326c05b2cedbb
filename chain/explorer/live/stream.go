package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perdure/perdure/chain"
)

// Why a stream is closed, as WebSocket close codes.
const (
	CodeStopping = 1001 // the node stops
	CodeFailed   = 1011 // the node could not read a block
	CodeRefused  = 4000 // what was asked for has no meaning
	CodeSlow     = 4008 // the reader fell too far behind the head
	CodePruned   = 4010 // what was asked for is no longer kept
)

// closing is why a stream ends, as its reader is told.
type closing struct {
	code   int
	why    string // for metrics; empty: not counted
	text   string
	cursor string       // where to go on; empty: nowhere
	oldest chain.Height // of what is kept, if something older was asked for
}

// Error implements error.
func (c *closing) Error() string { return c.text }

// reason is the text of a close frame, which holds 123 bytes.
func (c *closing) reason() string {
	text := c.text
	if len(text) > 80 {
		text = strings.ToValidUTF8(text[:77], "") + "..." // a letter may be cut in two
	}
	if c.cursor != "" {
		text += "; resume from " + c.cursor
	}
	return text
}

// sink is what takes the frames of a stream. What put is given is used again
// after it.
type sink interface {
	// put takes a frame, and may hold it back until flush. control names one
	// that is of no topic.
	put(control string, cursor, frame []byte) error
	flush() error
}

// errStuck is the end of a stream whose reader does not take what it is given.
var errStuck = errors.New("the reader takes nothing")

// stream is one reader: a place and a set of topics.
type stream struct {
	hub     *Hub
	sink    sink
	changes chan *change // from a WebSocket's reader; nil: there are none

	at     Cursor
	topics []topic
	begun  bool // at has a meaning
	waits  bool // to begin at the head of a chain that is not there yet
	live   bool // it has seen everything there was once, and must keep up
	sent   int  // blocks since then

	picks         []pick
	cursor, frame []byte
}

// run sends what the stream's topics take, from its place on, until ctx ends.
// It returns a *closing or, if the sink fails, errStuck.
func (s *stream) run(ctx context.Context, first *change) error {
	beat := time.NewTicker(s.hub.limits.Heartbeat)
	defer beat.Stop()
	if first != nil {
		if err := s.apply(first); err != nil {
			return err
		}
	}
	ready := make(chan struct{})
	close(ready)
	for {
		oldest, tip, ok, changed := s.hub.feed.Watch()
		if s.waits && ok {
			s.begin(tip)
		}
		behind := s.begun && ok && s.at.Height <= tip
		switch {
		case s.begun && ok && s.at.Height < oldest:
			return pruned(oldest)
		case behind && s.live && s.sent > 0 && tip-s.at.Height >= s.hub.limits.Lag:
			return &closing{code: CodeSlow, why: cutSlow, text: "too slow", cursor: s.place()}
		case behind:
			changed = ready
			s.live = s.live && tip-s.at.Height < s.hub.limits.Lag // the head leapt: it is not the reader who is slow
		case s.begun && ok:
			s.live, s.sent = true, 0
		}
		select {
		case <-ctx.Done():
			return s.stopping()
		case <-s.hub.stop:
			return s.stopping()
		case c := <-s.changes:
			if err := s.apply(c); err != nil {
				return err
			}
		case <-beat.C:
			if err := s.control("heartbeat", nil); err != nil {
				return err
			}
		case <-changed:
			if behind {
				if err := s.block(ctx, tip); err != nil {
					return err
				}
			}
		}
	}
}

// pruned tells from which height on a stream could go on.
func pruned(oldest chain.Height) error {
	return &closing{code: CodePruned, why: cutPruned, text: fmt.Sprintf("not kept; the oldest height is %d", oldest), oldest: oldest}
}

func (s *stream) stopping() error {
	return &closing{code: CodeStopping, text: "the node is stopping", cursor: s.place()}
}

// place is the stream's cursor, empty before a subscription.
func (s *stream) place() string {
	if !s.begun {
		return ""
	}
	return string(s.hub.mark.text(nil, s.at))
}

// apply takes a request of the reader into effect and confirms it.
func (s *stream) apply(c *change) error {
	if c.err != nil {
		return &closing{code: CodeRefused, why: cutRefused, text: c.err.Error()}
	}
	s.topics = slices.DeleteFunc(s.topics, func(t topic) bool { return slices.Contains(c.remove, t.key) })
	for _, t := range c.add {
		if !slices.ContainsFunc(s.topics, func(have topic) bool { return have.key == t.key }) {
			s.topics = append(s.topics, t)
		}
	}
	if len(s.topics) > s.hub.limits.Topics {
		return &closing{code: CodeRefused, why: cutRefused, text: fmt.Sprintf("more than %d topics", s.hub.limits.Topics)}
	}
	switch {
	case c.at != nil:
		s.at, s.begun, s.waits, s.live = *c.at, true, false, false
	case !s.begun && len(c.add) > 0:
		if _, tip, ok, _ := s.hub.feed.Watch(); ok {
			s.begin(tip)
		} else {
			s.waits = true
		}
	}
	data := []byte(`"data":{"topics":[`)
	for i, t := range s.topics {
		if i > 0 {
			data = append(data, ',')
		}
		data = append(data, t.quoted...)
	}
	return s.control("subscribed", append(data, "]}"...))
}

// begin puts the stream at the head.
func (s *stream) begin(tip chain.Height) {
	s.at, s.begun, s.waits = Cursor{Height: tip + 1}, true, false
}

// control sends a frame about the stream itself: where it and the chain stand.
// It has no height, since it is of no block.
func (s *stream) control(name string, data []byte) error {
	if !s.begun {
		s.cursor = s.cursor[:0]
	} else {
		s.cursor = s.hub.mark.text(s.cursor[:0], s.at)
	}
	_, tip, _, _ := s.hub.feed.Watch()
	s.open(strconv.AppendQuote(nil, name))
	s.frame = append(s.frame, `"type":"`...)
	s.frame = append(s.frame, name...)
	s.frame = append(s.frame, `","tip":`...)
	s.frame = strconv.AppendUint(s.frame, uint64(tip), 10)
	if data != nil {
		s.frame = append(append(s.frame, ','), data...)
	}
	s.frame = append(s.frame, '}')
	return s.hand(name, true)
}

// open begins a frame with the stream's cursor and a topic in JSON.
func (s *stream) open(topic []byte) {
	s.frame = append(s.frame[:0], `{"cursor":"`...)
	s.frame = append(s.frame, s.cursor...)
	s.frame = append(s.frame, `","topic":`...)
	s.frame = append(append(s.frame, topic...), ',')
}

// hand gives the sink the frame that was made.
func (s *stream) hand(control string, flush bool) error {
	err := s.sink.put(control, s.cursor, s.frame)
	if err == nil && flush {
		err = s.sink.flush()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errStuck, err)
	}
	return nil
}

// block sends what the topics take of the block at the stream's place, and
// moves the place behind it.
func (s *stream) block(ctx context.Context, tip chain.Height) error {
	h := s.at.Height
	b, err := s.hub.ring.get(ctx, h, tip)
	var gap *GapError
	switch {
	case errors.As(err, &gap):
		return pruned(gap.Next)
	case err != nil && ctx.Err() != nil, errors.Is(err, ErrGone) && !s.kept(h):
		return nil // the next look says what to do
	case err != nil:
		s.hub.log.Error("live stream", "height", h, "error", err)
		return &closing{code: CodeFailed, why: cutFailed, text: fmt.Sprintf("block %d could not be read", h), cursor: s.place()}
	case int(s.at.Seq) > len(b.frames):
		return &closing{code: CodeRefused, why: cutRefused, text: fmt.Sprintf("cursor is behind the last item of block %d", h)}
	}
	s.picks = picks(s.picks, s.topics, b, s.at.Seq)
	for _, p := range s.picks {
		s.at.Seq = p.item + 1
		s.cursor = s.hub.mark.text(s.cursor[:0], s.at)
		s.open(s.topics[p.topic].quoted)
		s.frame = append(s.frame, b.frames[p.item]...)
		if err := s.hand("", false); err != nil {
			return err
		}
	}
	s.at = Cursor{Height: h + 1}
	s.sent++
	if len(s.picks) == 0 {
		return nil
	}
	s.hub.metrics.frames.Add(float64(len(s.picks)))
	if err := s.sink.flush(); err != nil {
		return fmt.Errorf("%w: %w", errStuck, err)
	}
	return nil
}

// kept reports whether the feed says that it has a height.
func (s *stream) kept(h chain.Height) bool {
	first, _, ok, _ := s.hub.feed.Watch()
	return ok && first <= h
}
