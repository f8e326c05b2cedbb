package prove

import (
	"context"
	"sync"
)

// inOrder runs job(0) to job(n-1) on at most workers goroutines, begun in this
// order, and waits for all that it began. It begins no job after one has failed
// or ctx has ended, and returns the error of the first in order that failed: that
// is always the same one, since all before it were begun.
func inOrder(ctx context.Context, workers, n int, job func(i int) error) error {
	var (
		mutex  sync.Mutex
		next   int
		stop   bool
		group  sync.WaitGroup
		failed = make([]error, n)
	)
	claim := func() (int, bool) {
		mutex.Lock()
		defer mutex.Unlock()
		if stop || next == n || ctx.Err() != nil {
			return 0, false
		}
		next++
		return next - 1, true
	}
	for range min(workers, n) {
		group.Go(func() {
			for i, ok := claim(); ok; i, ok = claim() {
				if err := job(i); err != nil {
					mutex.Lock()
					failed[i], stop = err, true
					mutex.Unlock()
				}
			}
		})
	}
	group.Wait()
	for _, err := range failed {
		if err != nil {
			return err
		}
	}
	return nil
}
