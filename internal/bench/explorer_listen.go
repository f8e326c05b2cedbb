package bench

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/perdure/perdure/chain"
)

// listenConfig is a process of listeners to a node's stream.
type listenConfig struct {
	URL       string        `json:"url"`    // of the stream, topics included
	Socket    bool          `json:"socket"` // it is a WebSocket, else of server-sent events
	Listeners int           `json:"listeners"`
	Time      time.Duration `json:"time"`
}

// heard is what came of a height.
type heard struct {
	Height    chain.Height `json:"height"`
	Listeners int          `json:"listeners"` // that heard of it
	Least     int          `json:"least"`     // frames of one listener
	Most      int          `json:"most"`
	Doubles   int          `json:"doubles"` // frames that a listener had before
	Last      int64        `json:"last"`    // when the last frame came to the last listener, Unix nanoseconds
}

// ear is what one listener noted of a height.
type ear struct {
	frames, doubles int
	last            int64
}

// runListeners listens for a while.
func runListeners(ctx context.Context, c *listenConfig) ([]heard, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all, failed := make([]*listener, c.Listeners), make(chan error, c.Listeners)
	var wg sync.WaitGroup
	for i := range all {
		all[i] = newListener()
		wg.Go(func() { failed <- all[i].listen(c.Socket)(ctx, c.URL) })
	}
	var err error
	select {
	case <-time.After(c.Time):
	case <-ctx.Done():
	case err = <-failed:
		err = fmt.Errorf("a listener was cut off: %w", err)
	}
	cancel()
	wg.Wait()
	if err != nil {
		return nil, err
	}
	return sum(all), nil
}

// sum is what came of each height to all listeners.
func sum(all []*listener) (out []heard) {
	of := map[chain.Height]*heard{}
	for _, one := range all {
		for h, e := range one.notes {
			s := of[h]
			if s == nil {
				s = &heard{Height: h, Least: e.frames}
				of[h] = s
			}
			s.Listeners++
			s.Least, s.Most, s.Last = min(s.Least, e.frames), max(s.Most, e.frames), max(s.Last, e.last)
			s.Doubles += e.doubles
		}
	}
	for _, s := range of {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b heard) int { return cmp.Compare(a.Height, b.Height) })
	return out
}

// listener is one reader of a stream.
type listener struct {
	notes map[chain.Height]*ear
	seen  map[string]bool // frames of the height that it hears of, by cursor and topic
}

func newListener() *listener {
	return &listener{notes: map[chain.Height]*ear{}, seen: map[string]bool{}}
}

// listen is how it reads a stream of either kind, until that ends.
func (l *listener) listen(socket bool) func(ctx context.Context, address string) error {
	if socket {
		return l.socket
	}
	return l.events
}

// events reads a stream of server-sent events.
func (l *listener) events(ctx context.Context, address string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	where, err := url.Parse(address)
	if err != nil {
		return err
	}
	var dial net.Dialer
	conn, err := dial.DialContext(ctx, "tcp", where.Host)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := r.Write(conn); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReaderSize(conn, 16<<10), r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	lines := bufio.NewReaderSize(answer.Body, 16<<10)
	for rest := false; ; {
		line, err := lines.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !long {
			return err
		}
		if frame, ok := bytes.CutPrefix(line, []byte("data:")); ok && !rest {
			l.note(frame)
		}
		rest = long // of a long frame: it says nothing new
	}
}

// frameBegin is as much of a frame as is looked at: more than its cursor, topic and height.
const frameBegin = 1 << 10

// socket reads a WebSocket.
func (l *listener) socket(ctx context.Context, address string) error {
	conn, _, err := websocket.Dial(ctx, address, nil)
	if err != nil {
		return err
	}
	defer conn.CloseNow() // it may be closed
	defer context.AfterFunc(ctx, func() { _ = conn.CloseNow() })()
	conn.SetReadLimit(-1)
	begin := make([]byte, frameBegin)
	for {
		_, r, err := conn.Reader(context.WithoutCancel(ctx))
		if err != nil {
			return err
		}
		n, err := io.ReadFull(r, begin)
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		} else if errors.Is(err, io.ErrUnexpectedEOF) { // that is all of it
			err = nil
		}
		if err != nil {
			return err
		}
		l.note(begin[:n])
	}
}

// note takes a frame down; what has no height is none of a topic's.
func (l *listener) note(frame []byte) {
	h, err := strconv.ParseUint(field(frame, `"height":`), 10, 63)
	topic := field(frame, `"topic":`)
	if err != nil || topic == "" {
		return
	}
	e := l.notes[chain.Height(h)]
	if e == nil {
		e = new(ear)
		l.notes[chain.Height(h)] = e
		clear(l.seen) // heights come in order
	}
	cursor := field(frame, `"cursor":`) + topic
	if l.seen[cursor] {
		e.doubles++
	}
	l.seen[cursor] = true
	e.frames++
	e.last = time.Now().UnixNano()
}

// field finds the beginning of a value in JSON that our own server wrote, without
// decoding all of it: a thousand listeners share a processor with the node.
func field(frame []byte, name string) string {
	_, rest, ok := bytes.Cut(frame, []byte(name))
	if !ok {
		return ""
	}
	end := bytes.IndexAny(rest, ",}")
	if end < 0 {
		return ""
	}
	return string(bytes.Trim(rest[:end], `" `))
}

// lateness is how long after the commit of each height the last listener had the
// last frame, in milliseconds. Each listener must have had each frame once, of
// every height between the first and the last that all had heard of.
func lateness(all []heard, at stamps, listeners int) (late []float64, err error) {
	whole := slices.DeleteFunc(slices.Clone(all), func(h heard) bool { return h.Listeners < listeners })
	if len(whole) < 4 {
		return nil, fmt.Errorf("all listeners heard of %d blocks only", len(whole))
	}
	whole = whole[1 : len(whole)-1] // some joined in the first, some left in the last
	for i, h := range whole {
		if i > 0 && h.Height != whole[i-1].Height+1 {
			err = errors.Join(err, fmt.Errorf("not all listeners heard of height %d", h.Height-1))
		}
		committed := at[h.Height]
		if h.Least != committed.Frames || h.Most != committed.Frames || h.Doubles > 0 {
			err = errors.Join(err, fmt.Errorf("height %d of %d frames: listeners heard %d to %d, %d of them twice", h.Height, committed.Frames, h.Least, h.Most, h.Doubles))
		}
		if committed.At > 0 {
			late = append(late, float64(h.Last-committed.At)/1e6)
		}
	}
	if len(late) == 0 {
		err = errors.Join(err, errors.New("it is not known when the blocks were committed"))
	}
	return late, err
}
