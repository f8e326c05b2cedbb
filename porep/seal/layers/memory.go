package layers

import (
	"errors"
	"fmt"

	"github.com/perdure/perdure/internal/sha256lanes"
)

// ErrMemory says that the memory that was allowed does not suffice.
var ErrMemory = errors.New("not enough memory allowed")

const (
	mib = 1 << 20

	// fixedMemory covers the tables of the graph and what a Go process has anyway.
	fixedMemory = 32 * mib
	// leastWindow is the least of a growing layer that is kept mapped.
	leastWindow = 16 * mib

	// ringNodes bounds the nodes that are prepared ahead.
	ringNodes = 1 << 14
	// batchMost and batchLeast bound the nodes of a batch. Hashing one takes some hundred
	// microseconds, which hides what handing it over costs.
	batchMost, batchLeast = 512, 64
	// diskReaders is how many fillers wait for the disk at once where labels are read from files: as
	// many requests as a solid-state disk likes to have in its queue.
	diskReaders = 64
)

// place is where the labels of a layer are.
type place int

const (
	mapped place = iota // in a file that is mapped into memory
	held                // in memory of the process
	onDisk              // in a file that is read
)

// plan says how one layer of some sectors is computed within the memory allowed.
type plan struct {
	growing, previous place
	window            uint64 // bytes of each growing layer that stay mapped, 0 for all

	fillers int
	batch   uint64 // nodes
	ring    int    // batches
}

// plan chooses for sectors of size bytes a layer whose layer before has before bytes (0 for layer
// 1). If two layers of each sector fit, the layer before is held, in huge pages, and the growing one
// mapped whole. Else the layer before is mapped, since eight parents of each node are anywhere in
// it, while of the growing layer all but a window is dropped from memory again: most base parents
// are near. With less, the layer before is read from its file.
func (c *Config) plan(sectors int, size, before uint64) (plan, error) {
	n := uint64(sectors)
	allowed := c.memory()
	if need := leastMemory(sectors, size, before, c.LayersInMemory); allowed < need {
		return plan{}, fmt.Errorf("label %d sectors of %d bytes with %d layers in memory: %d bytes, need %d: %w",
			sectors, size, c.LayersInMemory, allowed, need, ErrMemory)
	}
	p := plan{previous: mapped}
	free := (allowed - overhead(sectors)) / n // a sector
	switch {
	case c.LayersInMemory == 2 || !canMap:
		p.growing = held
		free -= size
		if p.previous = held; free < before {
			p.previous = onDisk
		}
	case c.LayersInMemory == 1, free >= before+size:
		p.previous = held
		p.window = window(free-before, size)
	case free >= before+min(size, leastWindow):
		p.window = window(free-before, size)
	default:
		p.previous = onDisk
		p.window = window(free, size)
	}
	p.share(c.Workers, size/nodeSize)
	if c.tune != nil {
		c.tune(&p)
	}
	return p, nil
}

// window returns how much of a growing layer stays mapped when so much is free for it.
func window(free, size uint64) uint64 {
	if free >= size {
		return 0
	}
	return free
}

// share sets the numbers of goroutines and batches.
func (p *plan) share(workers int, nodes uint64) {
	p.fillers = workers
	if p.readsFiles() {
		p.fillers = diskReaders
	}
	p.ring = max(8, 2*p.fillers)
	p.batch = min(max(batchLeast, min(batchMost, ringNodes/uint64(p.ring))), nodes)
}

// readsFiles reports whether fillers wait for the disk.
func (p *plan) readsFiles() bool { return p.previous == onDisk || p.window > 0 }

// memory returns the bytes allowed: by default three quarters of the machine's, or no bound where
// the machine does not say.
func (c *Config) memory() uint64 {
	if c.Memory > 0 {
		return c.Memory
	}
	if has := machineMemory(); has > 0 {
		return has / 4 * 3
	}
	return 1 << 62
}

// overhead bounds the memory used besides layers.
func overhead(sectors int) uint64 {
	const expanders = sha256lanes.ExpanderBytes * ringNodes
	return fixedMemory + uint64(sectors)*expanders
}

// Least returns the memory in bytes below which sectors of size bytes cannot be labelled together
// with so many layers of each held in memory.
func Least(sectors int, size uint64, layersInMemory int) uint64 {
	return leastMemory(sectors, size, size, layersInMemory)
}

func leastMemory(sectors int, size, before uint64, layersInMemory int) uint64 {
	layers := min(size, leastWindow)
	switch {
	case layersInMemory == 2:
		layers = size + before
	case !canMap:
		layers = size
	case layersInMemory == 1:
		layers += before
	}
	return overhead(sectors) + uint64(sectors)*layers
}
