package seal

import (
	"context"
	"sync"

	"github.com/perdure/perdure/internal/merkle"
)

// parallel returns a runner of independent jobs on at most workers goroutines. It
// starts no job after one has failed or ctx has ended, and waits for all that it
// started.
func parallel(ctx context.Context, workers int) merkle.Runner {
	return func(n int, job func(i int) error) error {
		var (
			mutex  sync.Mutex
			next   int
			failed error
			group  sync.WaitGroup
		)
		claim := func() (int, bool) {
			mutex.Lock()
			defer mutex.Unlock()
			if failed == nil {
				failed = ctx.Err()
			}
			if failed != nil || next == n {
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
						if failed == nil {
							failed = err
						}
						mutex.Unlock()
					}
				}
			})
		}
		group.Wait()
		return failed
	}
}

// meter counts the nodes of a step that are done, from any goroutine.
type meter struct {
	mutex       sync.Mutex
	step        Step
	done, total uint64
	tell        func(Step, uint64, uint64)
}

func (s *Sector) meter(step Step, total uint64) *meter {
	return &meter{step: step, total: total, tell: s.cfg.Progress}
}

func (m *meter) add(nodes uint64) {
	if m.tell == nil {
		return
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.done += nodes
	m.tell(m.step, m.done, m.total)
}
