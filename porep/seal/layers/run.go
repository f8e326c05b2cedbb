package layers

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/perdure/perdure/internal/sha256lanes"
)

// run is the labelling of one layer of some lanes.
type run struct {
	engine *Engine
	layer  uint32
	lanes  []*lane
	plan   plan
	first  uint64 // node of the first batch
	end    uint64
	ring   []*batch
	todo   chan *batch   // to be filled; has room for the ring
	cores  chan struct{} // held by whoever computes
}

// batch is what labellers need of some nodes.
type batch struct {
	first   uint64
	parents [][sha256lanes.Parents]uint32
	labels  [][]node // of the expander parents, of each lane

	ready []chan struct{} // of one; filled, for each labeller
	left  atomic.Int32    // labellers that have not taken it yet
	seen  byte            // keeps reads that only map pages from being optimised away
}

// run labels the lanes that are open up to the end, or until ctx ends or all have failed. Errors of
// single lanes are theirs.
func (e *Engine) run(ctx context.Context, layer int, lanes []*lane) error {
	r := &run{engine: e, layer: uint32(layer), lanes: lanes, end: e.end(), first: e.end()}
	for _, l := range lanes {
		r.plan = l.plan
		if l.err() == nil {
			r.first = min(r.first, l.start)
		}
	}
	var tails sync.WaitGroup
	for _, l := range lanes {
		if l.err() == nil {
			tails.Go(func() {
				l.tail.run()
				if err := l.tail.finish(); err != nil {
					l.fail(err)
				}
			})
		}
	}
	var err error
	if r.first < r.end {
		err = r.label(ctx)
	}
	for _, l := range lanes {
		if l.tail.wake != nil {
			close(l.tail.wake)
		}
	}
	tails.Wait()
	return err
}

// label runs the fillers and the labellers.
func (r *run) label(parent context.Context) error {
	ctx, stop := context.WithCancelCause(parent)
	defer stop(nil)
	groups := shares(r.lanes, r.engine.cfg.Workers)
	r.prepare(len(groups))

	var fillers, labellers sync.WaitGroup
	for range min(r.plan.fillers, len(r.ring)) {
		fillers.Go(func() { r.fill(ctx, stop) })
	}
	for i, lanes := range groups {
		labellers.Go(func() { r.hash(ctx, i, lanes) })
	}
	labellers.Wait()
	err := context.Cause(ctx)
	stop(nil)
	fillers.Wait()
	return err
}

// shares splits the lanes over labellers: two or more a labeller, since lanes in step cost little
// more than one, unless there are cores for each and its helpers.
func shares(lanes []*lane, workers int) [][]*lane {
	n := (len(lanes) + 1) / 2
	if workers >= 2*len(lanes) {
		n = len(lanes)
	}
	n = min(n, workers)
	groups := make([][]*lane, n)
	for i := range groups {
		groups[i] = lanes[i*len(lanes)/n : (i+1)*len(lanes)/n]
	}
	return groups
}

// prepare makes the ring and hands its batches to the fillers.
func (r *run) prepare(groups int) {
	r.todo = make(chan *batch, r.plan.ring)
	r.cores = make(chan struct{}, r.engine.cfg.Workers)
	for first := r.first; first < r.end && len(r.ring) < r.plan.ring; first += r.plan.batch {
		b := &batch{
			first:   first,
			parents: make([][sha256lanes.Parents]uint32, r.plan.batch),
			labels:  make([][]node, len(r.lanes)),
			ready:   make([]chan struct{}, groups),
		}
		for i := range b.labels {
			if r.layer > 1 {
				b.labels[i] = make([]node, r.plan.batch*sha256lanes.ExpanderParents)
			}
		}
		for i := range b.ready {
			b.ready[i] = make(chan struct{}, 1)
		}
		b.left.Store(int32(groups))
		r.ring = append(r.ring, b)
		r.todo <- b
	}
}

// nodesOf returns how many nodes a batch has.
func (r *run) nodesOf(b *batch) uint64 { return min(r.plan.batch, r.end-b.first) }

// fill takes batches until ctx ends or no lane is left, and fills them.
func (r *run) fill(ctx context.Context, stop context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case b := <-r.todo:
			if !slices.ContainsFunc(r.lanes, func(l *lane) bool { return l.err() == nil }) {
				stop(nil) // each has its error
				return
			}
			if err := r.fillBatch(ctx, b); err != nil {
				stop(err)
				return
			}
			for _, ready := range b.ready {
				ready <- struct{}{}
			}
		}
	}
}

// fillBatch fills a batch for every lane that is active; errors of single lanes are theirs.
func (r *run) fillBatch(ctx context.Context, b *batch) error {
	if !r.plan.readsFiles() {
		r.cores <- struct{}{}
		defer func() { <-r.cores }()
	}
	parents := b.parents[:r.nodesOf(b)]
	if err := r.engine.parents.fill(b.first, r.layer, parents); err != nil {
		return err
	}
	if n := uint32(r.engine.cfg.Measure.ExpanderNodes); n > 0 {
		confine(parents, n)
	}
	for i, l := range r.lanes {
		if !l.active(b.first) {
			continue
		}
		err := guarded(func() error { return l.prepare(ctx, b, parents, b.labels[i]) })
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err != nil {
			l.fail(fmt.Errorf("prepare %d nodes from %d of %s over %s: %w", len(parents), b.first, l.Path, l.Previous, err))
		}
	}
	return nil
}

// confine takes expander parents modulo n: see [Measure].
func confine(parents [][sha256lanes.Parents]uint32, n uint32) {
	for i := range parents {
		for j := sha256lanes.BaseParents; j < sha256lanes.Parents; j++ {
			parents[i][j] %= n
		}
	}
}

// prepare makes what the labeller will read and write of the lane ready: the pages of the growing
// layer and the labels of the layer before.
func (l *lane) prepare(ctx context.Context, b *batch, parents [][sha256lanes.Parents]uint32, out []node) error {
	if l.plan.growing == mapped {
		// The first write to a page costs a fault: better here than in the labeller. Nodes that are
		// not labelled lose nothing; those before a checkpoint, which are labelled again, are left
		// alone.
		first, end := max(b.first, l.tail.labeled.Load())*nodeSize, (b.first+uint64(len(parents)))*nodeSize
		for at := first; at < end; at += uint64(os.Getpagesize()) {
			l.bytes[at] = 0
		}
	}
	if l.plan.window > 0 {
		if err := l.fetchBase(ctx, b, parents); err != nil {
			return err
		}
	}
	if l.before == nil {
		return nil
	}
	return l.before.gather(ctx, parents, out)
}

// fetchBase makes base parents resident that may have been dropped from memory.
func (l *lane) fetchBase(ctx context.Context, b *batch, parents [][sha256lanes.Parents]uint32) error {
	near := l.plan.window / 4 / nodeSize
	if b.first <= near {
		return nil
	}
	for i := range parents {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, p := range parents[i][1:sha256lanes.BaseParents] {
			if uint64(p) < b.first-near {
				if err := l.touch(b, p); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// touch makes a label behind the window resident. It is read from the file first: waiting for the
// disk in a fault would hold up a processor, waiting in a read does not.
func (l *lane) touch(b *batch, p uint32) error {
	var first [1]byte
	if _, err := l.file.ReadAt(first[:], int64(p)*nodeSize); err != nil {
		return fmt.Errorf("read label %d: %w", p, err)
	}
	b.seen ^= l.labels[p][0]
	if l.touched.Add(1)*faultBytes > l.plan.window/4 {
		l.tail.poke()
	}
	return nil
}

// hash labels the batches in order for some lanes.
func (r *run) hash(ctx context.Context, group int, lanes []*lane) {
	work := make([]sha256lanes.Lane, 0, len(lanes))
	step := uint64(len(r.ring)) * r.plan.batch
	for first := r.first; first < r.end; first += r.plan.batch {
		b := r.ring[(first-r.first)/r.plan.batch%uint64(len(r.ring))]
		select {
		case <-ctx.Done():
			return
		case <-b.ready[group]:
		}
		r.cores <- struct{}{}
		r.hashBatch(b, lanes, work)
		<-r.cores
		if b.left.Add(-1) == 0 && first+step < r.end {
			b.first = first + step
			b.left.Store(int32(len(b.ready)))
			r.todo <- b
		}
	}
}

// hashBatch labels a batch for the lanes that are active.
func (r *run) hashBatch(b *batch, lanes []*lane, work []sha256lanes.Lane) {
	n := r.nodesOf(b)
	now := sha256lanes.Run{Layer: r.layer, First: uint32(b.first), Parents: b.parents[:n]}
	for _, l := range lanes {
		if l.active(b.first) {
			work = append(work, sha256lanes.Lane{ReplicaID: l.ReplicaID, Current: l.labels, Expander: b.labels[l.index]})
		}
	}
	together := func(work []sha256lanes.Lane) error {
		return guarded(func() error {
			sha256lanes.Labels(&now, work)
			return nil
		})
	}
	failed := len(work) > 0 && together(work) != nil
	for _, l := range lanes {
		if !l.active(b.first) {
			continue
		}
		if failed { // whose file it was shows when each is labelled alone, which the others may be again
			alone := sha256lanes.Lane{ReplicaID: l.ReplicaID, Current: l.labels, Expander: b.labels[l.index]}
			if err := together([]sha256lanes.Lane{alone}); err != nil {
				l.fail(fmt.Errorf("label %d nodes from %d of %s: %w", n, b.first, l.file.Name(), err))
				continue
			}
		}
		l.advance(b.first + n)
	}
}

// advance counts the nodes up to one as labelled.
func (l *lane) advance(to uint64) {
	if before := l.tail.labeled.Load(); to > before {
		l.progress(to - before)
		l.tail.grown(to)
	}
}
