package p2p

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/perdure/perdure/retrieval"
)

// ErrIdle is wrapped by reads and writes of a Conn that was ended because the
// other side was silent, or took nothing, for too long.
var ErrIdle = errors.New("the peer was silent too long")

const headSize = retrieval.FrameHead

// Conn carries the messages of one session over a stream. Reads are for one
// goroutine, writes for any; both may go on at once.
//
// While a read or a write is under way and idle passes without a whole frame in
// either direction, the stream is ended; so it is when one write takes that long,
// whatever comes in meanwhile. Time in which the owner does neither does not
// count.
type Conn struct {
	stream io.ReadWriteCloser
	in     *bufio.Reader
	frame  []byte // of the last Read
	ahead  *ahead // nil: frames are read when Read asks for them

	writing sync.Mutex
	out     []byte

	idle  time.Duration
	mu    sync.Mutex
	busy  int // reads and writes under way
	timer *time.Timer
	stuck *time.Timer // of the write under way
	ended bool
}

// NewConn makes a Conn over any stream. If the stream has a Reset method, that
// ends it at once; otherwise Close does.
func NewConn(stream io.ReadWriteCloser, idle time.Duration) *Conn {
	c := &Conn{stream: stream, in: bufio.NewReaderSize(stream, 16<<10), idle: idle}
	c.timer = time.AfterFunc(idle, c.expire)
	c.stuck = time.AfterFunc(idle, c.expire)
	c.stop()
	return c
}

func (c *Conn) stop() {
	c.timer.Stop()
	c.stuck.Stop()
}

func (c *Conn) expire() {
	c.mu.Lock()
	late := c.busy > 0
	c.ended = c.ended || late
	c.mu.Unlock()
	if late {
		c.Abort()
	}
}

// begin and done stand around every read and write.
func (c *Conn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy++; c.busy == 1 {
		c.timer.Reset(c.idle)
	}
}

func (c *Conn) done(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer.Stop()
	if c.busy--; c.busy > 0 {
		c.timer.Reset(c.idle)
	}
	if err != nil && c.ended {
		return fmt.Errorf("%w (%s)", ErrIdle, c.idle)
	}
	return err
}

// Read reads the next message. It returns io.EOF itself if the stream ended
// between two frames. A Chunk is valid until the next Read. An Error that the
// peer sent comes as a message, not as an error.
func (c *Conn) Read() (retrieval.Message, error) {
	c.begin()
	if err := c.done(c.nextFrame()); err != nil {
		if err == io.EOF || errors.Is(err, ErrIdle) {
			return nil, err
		}
		return nil, fmt.Errorf("read frame: %w", err)
	}
	return retrieval.Decode(c.frame)
}

// nextFrame makes the next frame the one of the last Read.
func (c *Conn) nextFrame() (err error) {
	if c.ahead != nil {
		c.frame, err = c.ahead.take(c.frame)
		return err
	}
	c.frame, err = c.readFrame(c.frame)
	return err
}

// readFrame reads one frame, into buf if it is large enough, and refuses it by
// its length and kind before memory is taken for it.
func (c *Conn) readFrame(buf []byte) ([]byte, error) {
	head, err := c.in.Peek(headSize + 1)
	if err != nil {
		if err == io.EOF && len(head) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return buf, err
	}
	n := binary.BigEndian.Uint32(head)
	if limit := retrieval.Kind(head[headSize]).Limit(); n == 0 || uint64(n) > uint64(limit) {
		return buf, retrieval.Errorf(retrieval.CodeMalformed, "frame of kind %d announces %d bytes, at most %d are taken", head[headSize], n, limit)
	}
	if _, err := c.in.Discard(headSize); err != nil {
		return buf, err
	}
	if cap(buf) < int(n) {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(c.in, buf); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return buf, err
	}
	return buf, nil
}

// Write sends a message.
func (c *Conn) Write(m retrieval.Message) error {
	frame, err := retrieval.Encode(m)
	if err != nil {
		return err
	}
	return c.WriteFrame(frame)
}

// WriteFrame sends a frame that was encoded before.
func (c *Conn) WriteFrame(frame []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.out = append(append(c.out[:0], make([]byte, headSize)...), frame...)
	return c.write(c.out)
}

// WriteRoomy sends a frame that stands behind retrieval.FrameHead bytes of room,
// as ChunkFrame makes it, without copying it.
func (c *Conn) WriteRoomy(b []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.write(b)
}

func (c *Conn) write(b []byte) error {
	binary.BigEndian.PutUint32(b, uint32(len(b)-headSize))
	c.begin()
	c.stuck.Reset(c.idle)
	_, err := c.stream.Write(b)
	c.stuck.Stop()
	if err := c.done(err); err != nil {
		return fmt.Errorf("write frame: %w", err)
	}
	return nil
}

// Close ends the stream; what was written before still arrives.
func (c *Conn) Close() error {
	c.stop()
	return c.stream.Close()
}

// Abort ends the stream at once in both directions.
func (c *Conn) Abort() {
	c.stop()
	if r, ok := c.stream.(interface{ Reset() error }); ok {
		_ = r.Reset() // nothing is left to be done about a stream that is gone
		return
	}
	_ = c.stream.Close()
}
