package index

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/perdure/perdure/chain"
)

// JobKind is something that a running index is asked for.
type JobKind string

// The kinds of jobs.
const (
	Rebuilding JobKind = "rebuild"
	Checking   JobKind = "check"
)

// job is one that is asked for.
type job struct {
	kind  JobKind
	force bool // of a rebuild: also if history is lost by it
}

// work is what the index does beside following.
type work struct {
	running JobKind
	ended   uint64
	last    *Result
	check   *Report // of the last check that ran to its end
}

// Result is how a job ended.
type Result struct {
	Job   JobKind
	Error string // empty: well
	Ended time.Time
}

// Status is how an index is.
type Status struct {
	Off     bool
	Ready   bool
	First   chain.Height // of the history
	Height  chain.Height
	Gaps    []Gap
	Job     JobKind      // that runs; empty: none
	Through chain.Height // of a rebuild: how far it is
	Jobs    uint64       // that ended since the start
	Last    *Result      // of the jobs that ended since the start; nil: none
	Check   *Report      // of the last check since the start; nil: none
}

// Status says how the index is.
func (x *Index) Status() Status {
	if x == nil {
		return Status{Off: true}
	}
	var s Status
	x.mu.RLock()
	defer x.mu.RUnlock()
	if t := x.live.at(); t != nil {
		s.Ready, s.First, s.Height, s.Gaps = !t.pending, t.first, t.height, t.gaps
	}
	s.Job, s.Jobs, s.Last, s.Check = x.work.running, x.work.ended, x.work.last, x.work.check
	if x.building != nil {
		if t := x.building.at(); t != nil {
			s.Through = t.height
		}
	}
	return s
}

// LossError is returned for a rebuild that would lose history: the Updates of
// before are gone.
type LossError struct{ Have, Would chain.Height }

// Error implements error.
func (e *LossError) Error() string {
	return fmt.Sprintf("the history from height %d would begin at %d: older Updates are not kept", e.Have, e.Would)
}

// Ask has Run do a job. A rebuild that would lose history is refused unless it
// is forced; oldest is the oldest state that the store keeps.
func (x *Index) Ask(kind JobKind, oldest chain.Height, force bool) error {
	if x == nil {
		return ErrOff
	}
	if kind == Rebuilding && !force {
		if t := x.current().at(); t != nil && t.first <= t.height && t.first <= oldest {
			return &LossError{t.first, oldest + 1}
		}
	}
	return x.ask(job{kind, force})
}

func (x *Index) ask(j job) error {
	x.mu.RLock()
	busy := x.work.running != ""
	x.mu.RUnlock()
	if busy {
		return ErrBusy
	}
	select {
	case x.jobs <- j:
		return nil
	default:
		return ErrBusy
	}
}

// do does a job.
func (x *Index) do(ctx context.Context, src Source, j job) {
	x.mu.Lock()
	busy := x.work.running != ""
	if !busy {
		x.work.running = j.kind
	}
	x.mu.Unlock()
	if busy {
		return
	}
	began := time.Now()
	x.log.Info("index job begins", "job", j.kind)
	var err error
	var report *Report
	switch j.kind {
	case Rebuilding:
		err = x.rebuild(ctx, src)
	case Checking:
		report, err = x.Check(ctx, src.Store)
	}
	x.finish(j.kind, report, err, time.Since(began))
}

func (x *Index) finish(kind JobKind, report *Report, err error, took time.Duration) {
	last := &Result{Job: kind, Ended: time.Now()}
	if err != nil {
		last.Error = err.Error()
		x.log.Error("index job failed", "job", kind, "error", err, "took", took)
	} else {
		x.log.Info("index job is done", "job", kind, "took", took)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.work.running, x.work.last = "", last
	x.work.ended++
	if report != nil {
		x.work.check = report
	}
}

// rebuild makes another generation, from the oldest state that the store keeps
// and its Updates, while readers use the live one, and puts it in its place.
func (x *Index) rebuild(ctx context.Context, src Source) error {
	g := x.generation(x.current().number + 1)
	g.loose = true
	old, err := x.fill(ctx, src, g)
	if err != nil {
		return errors.Join(fmt.Errorf("rebuild index: %w", err), x.config.FS.RemoveAll(g.dir))
	}
	if x.harmed.Swap(false) { // what is whole in it may be of use to somebody
		return x.setAside(old)
	}
	if err := errors.Join(old.close(), x.config.FS.RemoveAll(old.dir)); err != nil {
		return fmt.Errorf("remove the index of before: %w", err)
	}
	return nil
}

func (x *Index) build(g *generation) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.building = g
}

// fill fills a new generation and exchanges it for the live one, which it
// returns. The last blocks come in while nobody else follows. If it fails the new
// one is closed.
func (x *Index) fill(ctx context.Context, src Source, g *generation) (old *generation, err error) {
	if err := errors.Join(x.config.FS.RemoveAll(g.dir), g.open()); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.close())
		}
	}()
	x.build(g)
	defer x.build(nil)
	if err := g.catchUp(ctx, src); err != nil {
		return nil, err
	}
	if err := g.settle(); err != nil {
		return nil, err
	}
	x.turn.Lock()
	defer x.turn.Unlock()
	if err := g.catchUp(ctx, src); err != nil {
		return nil, err
	}
	if len(g.at().gaps) > 0 {
		return nil, errors.New("blocks were pruned that it had not come to yet: the chain goes on faster")
	}
	old = x.current()
	return old, x.swap(g)
}
