package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/internal/bench/scale"
)

// taken is what some work took: by the clock, and of the processors.
type taken struct{ clock, processor time.Duration }

// take measures some work.
func take(work func() error) (taken, error) {
	began, used := time.Now(), processorTime()
	err := work()
	return taken{time.Since(began), processorTime() - used}, err
}

// per is nanoseconds of the processors a block.
func (t taken) per(blocks int) float64 { return float64(t.processor.Nanoseconds()) / float64(blocks) }

// following measures what the index of a big chain takes for blocks of each mix
// beside what executing and committing the same blocks takes, in turn.
func (e *explorerBench) following(ctx context.Context) (rows []Row, err error) {
	chain, err := scale.Open(ctx, e.dir("chain"), e.Size, e.Log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, chain.Close()) }()
	x, err := openIndex(e.dir("chain"), chain)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	behind := chain.Store.View().Height()
	if _, h, ok := x.Tip(); ok {
		behind -= h
	}
	first, err := take(func() error { return indexAll(ctx, x, chain) })
	if err != nil {
		return nil, err
	}
	if behind > chain.Base()/2 {
		rows = append(rows, plain(fmt.Sprintf("index of %d deals and sectors, from nothing", e.Size.Deals), "s", first.clock.Seconds()))
	}
	for _, mix := range scale.Mixes() {
		e.Log("following blocks: %s", mix)
		var times [2][]float64
		for range e.Rounds {
			executed, followed, err := e.round(ctx, x, chain, mix)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", mix, err)
			}
			times[0], times[1] = append(times[0], followed.per(e.Blocks)), append(times[1], executed.per(e.Blocks))
		}
		// Compaction comes now and then, and weighs more than all else: of few rounds the median may have none.
		rows = append(rows, versus("index follows a block: "+string(mix), "µs", "executing it", times, microseconds),
			plain("all rounds together, of executing them", "%", 100*total(times[0])/total(times[1])))
	}
	return rows, nil
}

func microseconds(ns float64) float64 { return ns / 1e3 }

// round executes blocks, then has the index follow them. What each leaves its database
// to compact is its own.
func (e *explorerBench) round(ctx context.Context, x *index.Index, c *scale.Chain, mix scale.Mix) (executed, followed taken, err error) {
	settle() // after what came before
	if executed, err = e.execute(ctx, c, mix); err != nil {
		return executed, followed, err
	}
	followed, err = take(func() error { return indexAll(ctx, x, c) })
	followed.processor += settle()
	return executed, followed, err
}

// execute executes and commits blocks, and measures that, but not the signing of their
// messages.
func (e *explorerBench) execute(ctx context.Context, c *scale.Chain, mix scale.Mix) (all taken, err error) {
	for range e.Blocks {
		messages, err := c.Messages(mix, e.Messages)
		if err != nil {
			return all, err
		}
		one, err := take(func() error { return c.Play(ctx, messages) })
		if err != nil {
			return all, err
		}
		all.clock += one.clock
		all.processor += one.processor
	}
	all.processor += settle()
	return all, nil
}

// indexAll has an index take in all of a chain, as a node's does.
func indexAll(ctx context.Context, x *index.Index, c *scale.Chain) error {
	f := follow(ctx, x, c)
	return errors.Join(f.reach(ctx), f.close())
}

// rebuildSize is of the chain whose index is rebuilt: what its blocks need, and no more,
// so that it is they that are measured.
var rebuildSize = scale.Size{Deals: 1000, Sectors: 1000, Miners: 10, Orders: 1000, Accounts: 1000, Channels: 1000}

// rebuilding measures making an index from the Updates of blocks beside executing
// and committing these blocks.
func (e *explorerBench) rebuilding(ctx context.Context) (rows []Row, err error) {
	var times [2][]float64
	for n := range e.Rounds {
		e.Log("rebuilding an index: %d of %d", n+1, e.Rounds)
		executed, rebuilt, err := e.rebuild(ctx)
		if err != nil {
			return nil, err
		}
		times[0], times[1] = append(times[0], rebuilt.per(e.Blocks)), append(times[1], executed.per(e.Blocks))
	}
	return []Row{versus("index rebuilt from Updates, a mixed block", "µs", "executing it", times, microseconds)}, nil
}

func (e *explorerBench) rebuild(ctx context.Context) (executed, rebuilt taken, err error) {
	dir, err := os.MkdirTemp(e.Dir, "rebuild-*")
	if err != nil {
		return executed, rebuilt, err
	}
	defer os.RemoveAll(dir)
	chain, err := scale.Open(ctx, filepath.Join(dir, "chain"), rebuildSize, func(string, ...any) {})
	if err != nil {
		return executed, rebuilt, err
	}
	defer func() { err = errors.Join(err, chain.Close()) }()
	if executed, err = e.execute(ctx, chain, scale.Mixed); err != nil {
		return executed, rebuilt, err
	}
	x, err := openIndex(dir, chain)
	if err != nil {
		return executed, rebuilt, err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	following := follow(ctx, x, chain)
	defer func() { err = errors.Join(err, following.close()) }()
	if err := following.reach(ctx); err != nil {
		return executed, rebuilt, err
	}
	settle() // after what opening and following took
	rebuilt, err = take(func() error { return anew(ctx, x, chain) })
	rebuilt.processor += settle()
	return executed, rebuilt, err
}

// anew has an index that runs make itself anew, and waits for it.
func anew(ctx context.Context, x *index.Index, c *scale.Chain) error {
	if err := x.Ask(index.Rebuilding, c.Store.Oldest(), false); err != nil {
		return err
	}
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for {
		if last := x.Status().Last; last != nil {
			if last.Error != "" {
				return errors.New(last.Error)
			}
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
