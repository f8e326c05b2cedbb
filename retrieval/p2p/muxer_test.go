package p2p

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/perdure/perdure/retrieval"
)

// far is a connection on which what this side says takes a while to get through.
type far struct{ net.Conn }

func (c far) Write(p []byte) (int, error) {
	time.Sleep(20 * time.Millisecond)
	return c.Conn.Write(p)
}

// TestWindowGrows lets the window of a stream grow to its most, as it does on a long
// line that brings as much as is asked for: the stream must not come to a halt.
func TestWindowGrows(t *testing.T) {
	a, b := net.Pipe()
	open := func(c net.Conn, listens bool) network.MuxedConn {
		m, err := streams().NewConn(c, listens, nil)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	from, to := open(a, true), open(far{b}, false)
	defer from.Close()
	defer to.Close()
	const size = 6 * lastWindow
	go func() {
		s, err := from.AcceptStream()
		frame := make([]byte, retrieval.ChunkSize+100)
		for left := size; left > 0 && err == nil; left -= min(left, len(frame)) { // the other side sees what came
			_, err = s.Write(frame[:min(left, len(frame))])
		}
		if err == nil {
			_ = s.CloseWrite()
		}
	}()
	s, err := to.OpenStream(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	if err := s.SetReadDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	came, buf := 0, make([]byte, retrieval.ChunkSize)
	for err == nil {
		var n int
		n, err = s.Read(buf)
		came += n
	}
	if came != size || err != io.EOF {
		t.Errorf("%d bytes came of %d: %v", came, size, err)
	}
}
