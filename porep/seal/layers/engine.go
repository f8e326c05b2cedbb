package layers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/perdure/perdure/porep/graph"
)

// Options are what whoever seals may choose.
type Options struct {
	// Memory bounds the bytes that are resident for labelling, mapped files included; 0 means three
	// quarters of what the machine has. See [Least].
	Memory uint64
	// LayersInMemory is how many layers of each sector must be held in memory of the process instead
	// of mapped files: 0, 1 (the layer before, read from its file) or 2 (the growing layer too, which
	// is written as it grows). It takes huge pages and cannot be taken away by other users of the
	// machine; it needs that much memory. The layer before is held in any case if Memory has room
	// for both layers of each sector.
	LayersInMemory int
	// Parents is a directory of parent tables; the one of the graph is made there if it is missing.
	// Empty means that parents are computed when they are needed.
	Parents string
	// Checkpoint is the time between checkpoints inside a layer; 0 means a minute.
	Checkpoint time.Duration
}

// Config says what an engine labels.
type Config struct {
	Options
	Graph *graph.Graph
	// Workers bounds the cores used; 0 means as many as there are.
	Workers int
	// Progress, if not nil, is told how many more nodes of a lane (its index) are labelled, those of
	// a checkpoint included. Different goroutines call it at once for different lanes.
	Progress func(lane int, nodes uint64)
	// Building, if not nil, is told how many more nodes of a missing parent table are computed, by
	// different goroutines at once.
	Building func(nodes uint64)
	// Measure is for measurements only.
	Measure Measure

	// tune changes the plan in tests, so that small layers are treated like large ones.
	tune func(*plan)
}

// Measure confines the engine to a part of a layer, so that the speed at the scale of large sectors
// can be measured without the disk and the hours that a whole layer takes. The labels are then not
// those of a sector. The zero value confines nothing.
type Measure struct {
	// First and End are the nodes between which labels are computed, from First to before End; 0 for
	// End means all. Labels before First are taken as they stand in the file: zeros, in a new one.
	First, End uint64
	// ExpanderNodes is how many nodes the file of the layer before has, if not all; expander parents
	// are taken modulo it.
	ExpanderNodes uint64
	// Sparse leaves the file of the growing layer without blocks until they are written.
	Sparse bool
}

// Lane is one layer of one sector to be labelled.
type Lane struct {
	ReplicaID [32]byte
	// Path is where the layer comes; while it grows, Path.part and Path.part.json stand beside it.
	Path string
	// Previous is the file of the layer before; not used for layer 1.
	Previous string
	// Finish, if not nil, is called when the layer stands in its place, synced, and notes that it is
	// done. The digest is the SHA-256 of the SHA-256 digests of the consecutive MiB of the file. Calls
	// are one at a time. If it fails, so does the lane, and the same layer may be asked for again at
	// no cost.
	Finish func(digest [32]byte) error
}

// Engine labels layers, one call a layer. It is not safe for concurrent use.
type Engine struct {
	cfg     Config
	parents parents
	kept    map[string][]byte // layers held in memory, by path

	reserve func(*os.File, uint64) error // replaced in tests
}

// New returns an engine. It makes the parent table if one is asked for and missing, which takes
// some minutes a core for large sectors.
func New(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.Workers <= 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	if cfg.Checkpoint <= 0 {
		cfg.Checkpoint = time.Minute
	}
	if cfg.LayersInMemory < 0 || cfg.LayersInMemory > 2 {
		return nil, fmt.Errorf("label with %d layers in memory: want 0, 1 or 2", cfg.LayersInMemory)
	}
	e := &Engine{cfg: cfg, kept: make(map[string][]byte), reserve: reserve}
	if cfg.Measure.Sparse {
		e.reserve = func(file *os.File, size uint64) error { return file.Truncate(int64(size)) }
	}
	if cfg.Parents == "" {
		e.parents = computed{cfg.Graph.Tabulated()}
		return e, nil
	}
	table, err := OpenTable(ctx, cfg.Parents, cfg.Graph, cfg.Workers, cfg.Building)
	if err != nil {
		return nil, err
	}
	e.parents = table
	return e, nil
}

// Close frees what the engine holds.
func (e *Engine) Close() error {
	errs := []error{e.parents.Close()}
	for path := range e.kept {
		errs = append(errs, e.forget(path))
	}
	return errors.Join(errs...)
}

// forget frees a layer that is held in memory.
func (e *Engine) forget(path string) error {
	data, ok := e.kept[path]
	if !ok {
		return nil
	}
	delete(e.kept, path)
	return unmap(data)
}

// Label computes one layer (the first is 1) of every lane and returns the error of each, nil for
// those that are finished. When ctx ends it returns within milliseconds, and the lanes go on from
// there when they are labelled again.
func (e *Engine) Label(ctx context.Context, layer int, lanes []Lane) []error {
	errs := make([]error, len(lanes))
	if len(lanes) == 0 {
		return errs
	}
	open, err := e.open(ctx, layer, lanes)
	if err == nil {
		err = e.run(ctx, layer, open)
	}
	for i, l := range open {
		if err != nil {
			l.fail(err)
		}
		errs[i] = e.finish(l)
	}
	if open == nil {
		for i := range errs {
			errs[i] = fmt.Errorf("layer %d: %w", layer, err)
		}
	}
	return errs
}

// open prepares the files and the memory of the lanes. An error of a single lane is the lane's own.
func (e *Engine) open(ctx context.Context, layer int, lanes []Lane) ([]*lane, error) {
	before := uint64(0)
	if layer > 1 {
		before = e.expanderNodes() * nodeSize
	}
	p, err := e.cfg.plan(len(lanes), e.cfg.Graph.Nodes()*nodeSize, before)
	if err != nil {
		return nil, err
	}
	open := make([]*lane, len(lanes))
	var group sync.WaitGroup
	for i := range lanes {
		open[i] = e.newLane(i, layer, lanes[i], p)
		// Verifying a checkpoint may read a whole layer: the lanes do it side by side.
		group.Go(func() {
			if err := open[i].open(ctx, before); err != nil {
				open[i].fail(err)
			}
		})
	}
	group.Wait()
	return open, nil
}

func (e *Engine) expanderNodes() uint64 {
	if n := e.cfg.Measure.ExpanderNodes; n > 0 {
		return n
	}
	return e.cfg.Graph.Nodes()
}

// end is the node before which labelling stops.
func (e *Engine) end() uint64 {
	if end := e.cfg.Measure.End; end > 0 {
		return min(end, e.cfg.Graph.Nodes())
	}
	return e.cfg.Graph.Nodes()
}
