package devnet

import (
	"context"
	"sync"

	"github.com/perdure/perdure/chain"
)

// gate lets proposals up to a height pass.
type gate struct {
	mu      sync.Mutex
	upTo    chain.Height
	changed chan struct{}
}

func newGate() *gate { return &gate{changed: make(chan struct{})} }

// wait returns when blocks of a height may be proposed, or ctx ends.
func (g *gate) wait(ctx context.Context, h chain.Height) error {
	for {
		g.mu.Lock()
		upTo, changed := g.upTo, g.changed
		g.mu.Unlock()
		if h <= upTo {
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
