package layers

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// chunkNodes is how many nodes a tail takes at once: 4 MiB.
	chunkNodes = 1 << 17
	// faultBytes bounds what a fault in a mapping makes resident: the kernel maps the pages around
	// it too, if it has them.
	faultBytes = 64 << 10
)

// tail follows the growth of a layer: it hashes what is labelled, writes it if the layer is held,
// drops what is behind the window and makes checkpoints.
type tail struct {
	lane    *lane
	wake    chan struct{} // of one
	labeled atomic.Uint64 // nodes; all labels before are final

	hashed  uint64 // nodes
	digest  *digest
	dropped uint64 // bytes before the window

	syncing atomic.Bool
	group   sync.WaitGroup // of the checkpoint under way
	durable []mark
	last    time.Time // of the last checkpoint
}

func (t *tail) open(l *lane, known prefix) {
	t.lane, t.wake, t.last = l, make(chan struct{}, 1), time.Now()
	t.hashed, t.digest = known.nodes, known.digest
	t.labeled.Store(known.nodes)
	if known.nodes > l.engine.cfg.Measure.First {
		t.durable = []mark{t.mark()}
	}
}

// mark is the mark of what is hashed.
func (t *tail) mark() mark { return mark{t.hashed, t.digest.hex()} }

// grown says that all nodes before one are labelled.
func (t *tail) grown(to uint64) {
	before := t.labeled.Load()
	if to <= before {
		return // computed again after a checkpoint
	}
	t.labeled.Store(to)
	if before/chunkNodes != to/chunkNodes {
		t.poke()
	}
}

// poke wakes the tail.
func (t *tail) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// run follows until wake is closed.
func (t *tail) run() {
	for range t.wake {
		if t.lane.err() != nil {
			continue
		}
		if err := t.follow(); err != nil {
			t.lane.fail(err)
			continue
		}
		if time.Since(t.last) >= t.lane.engine.cfg.Checkpoint {
			t.checkpoint()
		}
	}
}

// follow catches up with what is labelled.
func (t *tail) follow() error {
	l := t.lane
	for end := t.labeled.Load(); t.hashed < end; {
		to := min(end, (t.hashed/chunkNodes+1)*chunkNodes)
		if err := t.take(l.bytes[t.hashed*nodeSize : to*nodeSize]); err != nil {
			return err
		}
		t.hashed = to
		if err := t.trim(); err != nil {
			return err
		}
	}
	return t.trim()
}

// take hashes the next labels and writes those of a layer that is held.
func (t *tail) take(chunk []byte) error {
	l := t.lane
	if l.plan.growing == held {
		if _, err := l.file.WriteAt(chunk, int64(t.hashed*nodeSize)); err != nil {
			return err
		}
	}
	err := guarded(func() error {
		_, err := t.digest.Write(chunk)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", l.file.Name(), err)
	}
	return nil
}

// trim keeps the mapped part of the layer within the window: at most half of it grows before it is
// cut to a quarter, and a quarter is for the pages behind that fillers have mapped.
func (t *tail) trim() error {
	l, end := t.lane, t.hashed*nodeSize
	window := l.plan.window
	if window == 0 {
		return nil
	}
	switch {
	case end > t.dropped+window/2:
		page := uint64(os.Getpagesize())
		t.dropped = (end - window/4) / page * page
	case l.touched.Load()*faultBytes <= window/4:
		return nil
	}
	l.touched.Store(0)
	if t.dropped == 0 {
		return nil
	}
	if err := dropMapping(l.bytes[:t.dropped]); err != nil {
		return fmt.Errorf("%s: drop %d bytes from memory: %w", l.file.Name(), t.dropped, err)
	}
	return nil
}

// checkpoint makes what is hashed durable, beside the labelling; one that is under way is left to
// finish.
func (t *tail) checkpoint() {
	if !t.syncing.CompareAndSwap(false, true) {
		return
	}
	t.last = time.Now()
	m := t.mark()
	t.group.Go(func() {
		defer t.syncing.Store(false)
		if err := t.save(m); err != nil {
			t.lane.fail(err)
		}
	})
}

// save syncs the layer and notes a mark.
func (t *tail) save(m mark) error {
	if err := t.lane.flush(); err != nil {
		return err
	}
	t.durable = []mark{m}
	return t.note(t.durable)
}

func (t *tail) note(noted []mark) error {
	all := t.lane.marks()
	all.Marks = noted
	return all.save(t.lane.Path)
}

// finish ends the following. A whole layer is synced; of a part what was labelled since the last
// checkpoint is noted without waiting for the disk: what of it a power loss takes is found by its
// digest, and the checkpoint before still counts.
func (t *tail) finish() error {
	defer t.group.Wait()
	if err := t.follow(); err != nil {
		return err
	}
	t.group.Wait()
	switch m := t.mark(); {
	case t.hashed == t.lane.engine.cfg.Graph.Nodes():
		return t.save(m)
	case t.hashed > t.lane.engine.cfg.Measure.First:
		return t.note(append(t.durable, m))
	}
	return nil
}
