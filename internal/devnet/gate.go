package devnet

import (
	"context"
	"errors"
	"sync"

	"github.com/perdure/perdure/chain"
)

// errClosed ends what waits at a gate that closes for good.
var errClosed = errors.New("network is closing")

// gate lets proposals up to a height pass.
type gate struct {
	mu      sync.Mutex
	upTo    chain.Height
	closed  bool
	changed chan struct{}
}

func newGate() *gate { return &gate{changed: make(chan struct{})} }

// wait returns when blocks of a height may be proposed.
func (g *gate) wait(ctx context.Context, h chain.Height) error {
	for {
		g.mu.Lock()
		upTo, closed, changed := g.upTo, g.closed, g.changed
		g.mu.Unlock()
		switch {
		case closed:
			return errClosed
		case h <= upTo:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// open lets n more heights pass, counted from at least a height that is
// reached already, and returns the last of them.
func (g *gate) open(reached chain.Height, n uint64) chain.Height {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.upTo = max(g.upTo, reached) + chain.Height(n)
	close(g.changed)
	g.changed = make(chan struct{})
	return g.upTo
}

// shut ends all waiting with an error.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.closed = true
		close(g.changed)
		g.changed = make(chan struct{})
	}
}
