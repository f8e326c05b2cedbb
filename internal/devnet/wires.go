package devnet

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// wires are the connections between the nodes of a network, each through a
// relay, so that nodes can be cut off from the others. What is on its way over
// a wire that is cut waits, as packets do that are lost and sent again: a cut
// that ends before the engine gives a connection up loses nothing.
type wires struct {
	mu      sync.Mutex
	away    map[int]bool  // nodes that are cut off
	changed chan struct{} // closed when away changes, or the relays close
	closed  bool
	ends    map[net.Conn]struct{}
	relays  []net.Listener
	wg      sync.WaitGroup
}

func newWires() *wires {
	return &wires{away: map[int]bool{}, changed: make(chan struct{}), ends: map[net.Conn]struct{}{}}
}

// lay makes a relay over which node from dials node to, and returns its address.
func (w *wires) lay(from, to int, address string) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("lay a wire between nodes %d and %d: %w", from, to, err)
	}
	w.relays = append(w.relays, l)
	w.wg.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			w.wg.Go(func() { w.carry(near, from, to, address) })
		}
	})
	return l.Addr().String(), nil
}

// carry passes bytes on between an accepted connection and the address, both
// ways, until one of them ends.
func (w *wires) carry(near net.Conn, from, to int, address string) {
	if !w.hold(near) {
		return
	}
	defer w.drop(near)
	if !w.await(from, to) {
		return
	}
	far, err := net.Dial("tcp", address)
	if err != nil || !w.hold(far) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { w.pump(near, far, from, to); w.drop(near) })
	w.pump(far, near, from, to)
	w.drop(far)
	back.Wait()
}

func (w *wires) pump(to io.Writer, from io.Reader, a, b int) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && w.await(a, b) {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// await returns when the wire between two nodes is whole; false: the relays
// are closed.
func (w *wires) await(a, b int) bool {
	for {
		w.mu.Lock()
		cut, closed, changed := w.away[a] != w.away[b], w.closed, w.changed
		w.mu.Unlock()
		if closed || !cut {
			return !closed
		}
		<-changed
	}
}

// cut separates the nodes from all others; none: everything is whole again.
func (w *wires) cut(nodes ...int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = map[int]bool{}
	for _, i := range nodes {
		w.away[i] = true
	}
	w.signal()
}

// signal tells those who wait that something changed; mu is held.
func (w *wires) signal() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// hold remembers a connection, to be ended by close.
func (w *wires) hold(c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		c.Close()
		return false
	}
	w.ends[c] = struct{}{}
	return true
}

func (w *wires) drop(c net.Conn) {
	w.mu.Lock()
	delete(w.ends, c)
	w.mu.Unlock()
	c.Close()
}

// close ends all relays and what they carry.
func (w *wires) close() error {
	w.mu.Lock()
	w.closed = true
	w.signal()
	var errs []error
	for _, l := range w.relays {
		errs = append(errs, l.Close())
	}
	for c := range w.ends {
		c.Close()
	}
	w.mu.Unlock()
	w.wg.Wait()
	return errors.Join(errs...)
}
