package p2p

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/perdure/perdure/retrieval"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// in is a stream that gives these bytes and swallows what is written.
type in struct{ *bytes.Reader }

func (in) Write(p []byte) (int, error) { return len(p), nil }
func (in) Close() error                { return nil }

func TestConnRoundTrip(t *testing.T) {
	a, b := net.Pipe()
	near, far := NewConn(a, time.Minute), NewConn(b, time.Minute)
	sent := []retrieval.Message{&retrieval.Bye{}, &retrieval.Tick{Ticks: 3}, retrieval.Errorf(retrieval.CodeBusy, "later"), &retrieval.Cancel{Want: 9}}
	go func() {
		for _, m := range sent {
			if err := near.Write(m); err != nil {
				t.Error(err)
			}
		}
		near.Close()
	}()
	for _, want := range sent {
		got, err := far.Read()
		if err != nil || got.Kind() != want.Kind() {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if _, err := far.Read(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestConnRefuses(t *testing.T) {
	frame := func(n uint32, rest ...byte) []byte { return append(binary.BigEndian.AppendUint32(nil, n), rest...) }
	for name, tc := range map[string]struct {
		bytes []byte
		want  error
	}{
		"cut in the length": {[]byte{0, 0}, io.ErrUnexpectedEOF},
		"cut in the frame":  {frame(5, byte(retrieval.KindTick), 1), io.ErrUnexpectedEOF},
		"empty frame":       {frame(0, 1), nil},
		"unknown kind":      {frame(3, 99, 1, 2), nil},
		"long control":      {frame(retrieval.MaxControl+1, byte(retrieval.KindWant)), nil},
		"long chunk":        {frame(retrieval.MaxFrame+1, byte(retrieval.KindChunk)), nil},
		"huge":              {frame(1<<32-1, byte(retrieval.KindChunk)), nil},
		"no message":        {frame(2, byte(retrieval.KindTick), 7), nil},
	} {
		c := NewConn(in{bytes.NewReader(tc.bytes)}, time.Second)
		_, err := c.Read()
		if err == nil || tc.want != nil && !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		if tc.want == nil && !retrieval.IsMalformed(err) && retrieval.CodeOf(err) != retrieval.CodeMalformed {
			t.Errorf("%s is not called malformed: %v", name, err)
		}
		if cap(c.frame) > retrieval.MaxFrame {
			t.Errorf("%s: took %d bytes", name, cap(c.frame))
		}
	}
}

// TestConnIdle: a peer that trickles bytes is as silent as one that sends none,
// and time in which nobody waits does not count.
func TestConnIdle(t *testing.T) {
	const idle = 50 * time.Millisecond
	a, b := net.Pipe()
	c := NewConn(a, idle)
	timer := time.NewTimer(3 * idle)
	<-timer.C // nobody waits
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for _, err := b.Write([]byte{0}); err == nil; _, err = b.Write([]byte{0}) {
			timer := time.NewTimer(idle / 5)
			<-timer.C
		}
	}()
	_, err := c.Read()
	if !errors.Is(err, ErrIdle) && !retrieval.IsMalformed(err) && retrieval.CodeOf(err) != retrieval.CodeMalformed {
		t.Errorf("trickle: %v", err)
	}
	c.Abort()
	<-stop

	a, b = net.Pipe()
	defer b.Close()
	c = NewConn(a, idle)
	if _, err := c.Read(); !errors.Is(err, ErrIdle) {
		t.Errorf("silence: %v", err)
	}
	a, b = net.Pipe()
	defer b.Close()
	c = NewConn(a, idle)
	if err := c.Write(&retrieval.Bye{}); !errors.Is(err, ErrIdle) {
		t.Errorf("nobody reads: %v", err)
	}
}

// TestReadAhead: frames are received before they are asked for, as many as was said, each stays as it
// is until the next Read, and the reason for the end comes after the last.
func TestReadAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ahead, frames = 2, 7
		a, b := net.Pipe()
		near, far := NewConn(a, time.Second), NewConn(b, time.Second)
		wrote := 0
		go func() {
			for i := range uint64(frames) {
				if err := near.Write(&retrieval.Tick{Ticks: i + 1}); err != nil {
					t.Error(err)
				}
				wrote++
			}
			near.Close()
		}()
		far.ReadAhead(ahead)
		for i := range uint64(frames) {
			synctest.Wait()
			if want := min(ahead, frames-int(i)); far.Waiting() < want || wrote > int(i)+ahead+1 {
				t.Fatalf("before frame %d, %d wait and %d were written", i, far.Waiting(), wrote)
			}
			m, err := far.Read()
			if tick, ok := m.(*retrieval.Tick); !ok || tick.Ticks != i+1 {
				t.Fatalf("%+v, %v", m, err)
			}
		}
		for range 2 {
			if _, err := far.Read(); err != io.EOF {
				t.Errorf("at the end: %v", err)
			}
		}
		far.Abort()
		far.Release()
		if far.Waiting() != 0 {
			t.Error("frames wait after the release")
		}

		a, b = net.Pipe() // released with frames unread, while one more is being read
		near, far = NewConn(a, time.Second), NewConn(b, time.Second)
		far.ReadAhead(1)
		for range 2 {
			if err := near.Write(&retrieval.Bye{}); err != nil {
				t.Error(err)
			}
		}
		far.Abort()
		far.Release()
		near.Abort()
	})
}

// FuzzConn reads any bytes as a stream, within bounds and without a panic.
func FuzzConn(f *testing.F) {
	f.Add([]byte{0, 0, 0, 2, 10, 0x80})
	f.Add([]byte{0, 0, 0, 5, 9, 0x81, 1})
	f.Fuzz(func(t *testing.T, stream []byte) {
		c := NewConn(in{bytes.NewReader(stream)}, time.Minute)
		defer c.Close()
		for {
			if _, err := c.Read(); err != nil && (err == io.EOF || cap(c.frame) == 0 || !retrieval.IsMalformed(err)) {
				break
			}
		}
		if cap(c.frame) > retrieval.MaxFrame {
			t.Fatalf("took %d bytes", cap(c.frame))
		}
	})
}
