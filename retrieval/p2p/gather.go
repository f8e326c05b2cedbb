package p2p

import (
	"context"
	"net"
	"sync"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	tptu "github.com/libp2p/go-libp2p/p2p/net/upgrader"
	tls "github.com/libp2p/go-libp2p/p2p/security/tls"
)

// gatheredTLS is libp2p's TLS, except that the records of what is written at once go
// to the socket together. By itself it writes each record of up to 16 KiB: at least
// seventeen times a chunk the system is called, and who reads is woken.
type gatheredTLS struct{ *tls.Transport }

func newGatheredTLS(id protocol.ID, key crypto.PrivKey, muxers []tptu.StreamMuxer) (*gatheredTLS, error) {
	t, err := tls.New(id, key, muxers)
	return &gatheredTLS{t}, err
}

// SecureInbound implements sec.SecureTransport.
func (t *gatheredTLS) SecureInbound(ctx context.Context, plain net.Conn, p peer.ID) (sec.SecureConn, error) {
	g := &gather{Conn: plain}
	return g.over(t.Transport.SecureInbound(ctx, g, p))
}

// SecureOutbound implements sec.SecureTransport.
func (t *gatheredTLS) SecureOutbound(ctx context.Context, plain net.Conn, p peer.ID) (sec.SecureConn, error) {
	g := &gather{Conn: plain}
	return g.over(t.Transport.SecureOutbound(ctx, g, p))
}

// gather is a socket that holds back what is written between hold and release.
type gather struct {
	net.Conn
	mu   sync.Mutex
	held *[]byte // nil: nothing is held back
}

const (
	// recordBytes is what one record of TLS carries at least: the first ones of a
	// connection are small, the later ones have 16 KiB.
	recordBytes = 1 << 10
	// gatherBytes is what a gather holds at most: a message of yamux, 64 KiB, with the
	// heads of its records.
	gatherBytes = 66 << 10
)

var gatherMemory = sync.Pool{New: func() any { b := make([]byte, 0, gatherBytes); return &b }}

// over is a secure connection whose writes g gathers.
func (g *gather) over(c sec.SecureConn, err error) (sec.SecureConn, error) {
	if err != nil {
		return nil, err
	}
	return &gatheredConn{c, g}, nil
}

// Write implements net.Conn. An error of what is held back comes from a later call.
func (g *gather) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held == nil {
		return g.Conn.Write(p)
	}
	if len(*g.held)+len(p) > gatherBytes {
		if err := g.flush(); err != nil {
			return 0, err
		}
		if len(p) > gatherBytes {
			return g.Conn.Write(p)
		}
	}
	*g.held = append(*g.held, p...)
	return len(p), nil
}

// flush writes what is held. mu is held, too.
func (g *gather) flush() error {
	_, err := g.Conn.Write(*g.held)
	*g.held = (*g.held)[:0]
	return err
}

// hold begins to hold back.
func (g *gather) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = gatherMemory.Get().(*[]byte)
}

// release writes what is held and ends it.
func (g *gather) release() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	err := g.flush()
	gatherMemory.Put(g.held)
	g.held = nil
	return err
}

// gatheredConn is a secure connection over a gather.
type gatheredConn struct {
	sec.SecureConn
	socket *gather
}

// Write implements net.Conn. One goroutine at a time writes.
func (c *gatheredConn) Write(p []byte) (int, error) {
	if len(p) <= recordBytes {
		return c.SecureConn.Write(p)
	}
	c.socket.hold()
	n, err := c.SecureConn.Write(p)
	if late := c.socket.release(); err == nil {
		err = late
	}
	return n, err
}
