package explorer

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/perdure/perdure/internal/cores"
)

// turns has those who read wait for each other in the order in which they came. To
// the scheduler they are all alike: it lets some pass that came later, several times
// over when it was busy collecting garbage, and all keep what they have read so far.
type turns struct{ free *semaphore.Weighted }

func newTurns() turns { return turns{semaphore.NewWeighted(int64(cores.Count()))} }

// take waits for a turn, which ends when done is called first. Whoever changes
// something waits for nobody: it waits for the chain.
func (t turns) take(ctx context.Context, of *route) (done func(), err error) {
	if of.method != "" {
		return func() {}, nil
	}
	if err := t.free.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() { t.free.Release(1) }), nil
}
