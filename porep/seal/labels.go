package seal

import (
	"context"
	"fmt"
	"os"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/graph"
)

// replicaID returns the replica id of the sector, whose CommD and ticket are
// fixed.
func (s *Sector) replicaID() (id [32]byte, err error) {
	ticket, ok := s.Ticket()
	if !ok {
		return id, fmt.Errorf("no ticket is set: %w", ErrOrder)
	}
	commD, err := s.commD()
	if err != nil {
		return id, err
	}
	return porep.ReplicaID(s.params, s.cfg.MinerID, s.cfg.Number, ticket, commD), nil
}

// buildLabels computes the layers that are not there yet, one file each.
func (s *Sector) buildLabels(ctx context.Context) error {
	labels, err := s.newLabeling()
	if err != nil {
		return err
	}
	progress := s.meter(StepLabels, uint64(s.params.Layers)*s.params.Nodes)
	for layer := 1; layer <= s.params.Layers; layer++ {
		name := layerFile(layer)
		if s.has(name) {
			progress.add(s.params.Nodes)
			continue
		}
		if layer > 1 && !labels.holds(layer-1) {
			if err := labels.load(layer-1, s.path(layerFile(layer-1))); err != nil {
				return err
			}
		}
		if err := labels.next(ctx, layer, s.runner(ctx), progress); err != nil {
			return fmt.Errorf("layer %d: %w", layer, err)
		}
		if err := s.write(name, func(file *os.File) error {
			_, err := file.Write(labels.current)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// labeling computes layers in memory: the current one and the one before.
type labeling struct {
	graph    *graph.Graph
	labeler  *porep.Labeler
	layer    int // that current holds, 0 for none
	current  []byte
	previous []byte
	parents  [][graph.Degree]uint32
}

func (s *Sector) newLabeling() (*labeling, error) {
	replicaID, err := s.replicaID()
	if err != nil {
		return nil, err
	}
	g, err := s.newGraph()
	if err != nil {
		return nil, err
	}
	return &labeling{
		graph:    g,
		labeler:  porep.NewLabeler(replicaID),
		current:  make([]byte, s.params.SectorSize()),
		previous: make([]byte, s.params.SectorSize()),
		parents:  make([][graph.Degree]uint32, min(s.params.Nodes, labelBatch)),
	}, nil
}

const (
	// labelBatch is how many nodes' parents are computed ahead, in parallel, of
	// their labels, which can only be computed one after the other.
	labelBatch = 1 << 14
	// parentsJob is how many of those one job computes.
	parentsJob = 1 << 9
)

func (l *labeling) holds(layer int) bool { return l.layer == layer }

// load takes a layer from its file.
func (l *labeling) load(layer int, path string) error {
	file, err := openSized(path, uint64(len(l.current)))
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.ReadAt(l.current, 0); err != nil {
		return err
	}
	l.layer = layer
	return nil
}

// next computes the layer after the current one.
func (l *labeling) next(ctx context.Context, layer int, run merkle.Runner, progress *meter) error {
	l.current, l.previous, l.layer = l.previous, l.current, 0
	nodes := l.graph.Nodes()
	for first := uint64(0); first < nodes; first += labelBatch {
		batch := l.parents[:min(labelBatch, nodes-first)]
		if err := l.parentsOf(first, batch, layer, run); err != nil {
			return err
		}
		for i := range batch {
			l.labeler.Next(uint32(layer), uint32(first)+uint32(i), &batch[i], l.current, l.previous)
		}
		progress.add(uint64(len(batch)))
	}
	l.layer = layer
	return nil
}

// parentsOf computes the parents of the nodes from first on; the first layer has
// no use for expander parents.
func (l *labeling) parentsOf(first uint64, batch [][graph.Degree]uint32, layer int, run merkle.Runner) error {
	jobs := (len(batch) + parentsJob - 1) / parentsJob
	return run(jobs, func(job int) error {
		for i := job * parentsJob; i < min((job+1)*parentsJob, len(batch)); i++ {
			node := uint32(first) + uint32(i)
			if layer == 1 {
				l.graph.Base(node, (*[graph.BaseDegree]uint32)(batch[i][:]))
			} else {
				l.graph.Parents(node, &batch[i])
			}
		}
		return nil
	})
}

// lastLayer computes all layers anew and returns the last.
func (s *Sector) lastLayer(ctx context.Context) ([]byte, error) {
	labels, err := s.newLabeling()
	if err != nil {
		return nil, err
	}
	progress := s.meter(StepLabels, uint64(s.params.Layers)*s.params.Nodes)
	for layer := 1; layer <= s.params.Layers; layer++ {
		if err := labels.next(ctx, layer, s.runner(ctx), progress); err != nil {
			return nil, fmt.Errorf("layer %d: %w", layer, err)
		}
	}
	return labels.current, nil
}
