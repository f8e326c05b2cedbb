// Package lifecycle runs the parts of a process together: what is opened is
// closed in reverse order, and when one part fails or the context ends, all
// others stop and are waited for.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Group is the parts of one process. Its zero value is ready. Add and Close are
// called by the goroutine that builds it, Run once.
type Group struct {
	runs   []part
	closes []closing
}

type part struct {
	name string
	run  func(context.Context) error
}

type closing struct {
	name  string
	close func() error
}

// Add adds a part that runs until its context ends. A part that returns early
// without an error is simply done.
func (g *Group) Add(name string, run func(context.Context) error) {
	g.runs = append(g.runs, part{name, run})
}

// OnClose adds what is closed when the group is, in reverse order.
func (g *Group) OnClose(name string, close func() error) {
	g.closes = append(g.closes, closing{name, close})
}

// Run runs all parts until ctx ends or one of them fails, waits for all, and
// returns their errors. The end of ctx is no error.
func (g *Group) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(g.runs))
	var wg sync.WaitGroup
	for i, p := range g.runs {
		wg.Go(func() {
			err := p.run(ctx)
			if err == nil || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
				return
			}
			errs[i] = fmt.Errorf("%s: %w", p.name, err)
			cancel()
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Close closes what was opened, last first. It may be called more than once.
func (g *Group) Close() error {
	var errs []error
	for _, c := range slices.Backward(g.closes) {
		if err := c.close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", c.name, err))
		}
	}
	g.closes = nil
	return errors.Join(errs...)
}
