package p2p

// ahead reads the frames of a Conn before they are asked for, a few of them, so
// that taking one apart and receiving the next go on side by side.
type ahead struct {
	conn   *Conn
	frames chan []byte   // closed after the last
	err    error         // why there are no more, once frames is closed
	spare  chan []byte   // memory of frames that were dealt with
	stop   chan struct{} // closed by the owner
	ended  chan struct{} // closed when the reader is gone
}

// ReadAhead makes the Conn receive up to n frames before Read asks for them.
// Silence counts as before: while Read waits. The owner must call Release in the
// end, after Close or Abort.
func (c *Conn) ReadAhead(n int) {
	a := &ahead{conn: c, frames: make(chan []byte, n), spare: make(chan []byte, n+1), stop: make(chan struct{}), ended: make(chan struct{})}
	c.ahead = a
	go a.run()
}

// run reads until the stream ends or a frame is refused.
func (a *ahead) run() {
	defer close(a.ended)
	defer close(a.frames)
	for {
		var buf []byte
		select {
		case buf = <-a.spare:
		default:
		}
		if buf, a.err = a.conn.readFrame(buf); a.err != nil {
			return
		}
		select {
		case a.frames <- buf:
		case <-a.stop:
			return
		}
	}
}

// take waits for the next frame and gives back the memory of the one before.
func (a *ahead) take(used []byte) ([]byte, error) {
	select {
	case a.spare <- used:
	default:
	}
	frame, ok := <-a.frames
	if !ok {
		return nil, a.err
	}
	return frame, nil
}

// Waiting is how many frames have been received and not been read yet.
func (c *Conn) Waiting() int {
	if c.ahead == nil {
		return 0
	}
	return len(c.ahead.frames)
}

// Release waits until nothing reads from the stream any more. It does nothing
// without ReadAhead.
func (c *Conn) Release() {
	if c.ahead != nil {
		close(c.ahead.stop)
		<-c.ahead.ended
		c.ahead = nil
	}
}
