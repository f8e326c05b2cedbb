package seal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/seal/layers"
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
	return labelTogether(ctx, []*Sector{s})[0]
}

// labelTogether does for sectors of the same parameters what buildLabels does for
// one, in step, within the limits of the first. A sector that fails drops out.
func labelTogether(ctx context.Context, sectors []*Sector) []error {
	l := &labeling{sectors: sectors, ids: make([][32]byte, len(sectors)), meters: make([]*meter, len(sectors)), errs: make([]error, len(sectors))}
	for i, s := range sectors {
		l.ids[i], l.errs[i] = s.replicaID()
		l.meters[i] = s.meter(StepLabels, uint64(s.params.Layers)*s.params.Nodes)
	}
	if err := l.run(ctx); err != nil {
		for i := range l.errs {
			l.errs[i] = err
		}
	}
	return l.errs
}

// labeling is the labelling of sectors in step.
type labeling struct {
	sectors []*Sector
	ids     [][32]byte // replica ids
	meters  []*meter
	errs    []error

	growing []int // indices of the sectors whose layer is being computed
}

func (l *labeling) run(ctx context.Context) error {
	engine, err := l.sectors[0].newEngine(ctx, func(lane int, nodes uint64) { l.meters[l.growing[lane]].add(nodes) })
	if err != nil {
		return err
	}
	defer engine.Close()
	for layer := 1; layer <= l.sectors[0].params.Layers; layer++ {
		for i, err := range engine.Label(ctx, layer, l.lanes(layer)) {
			l.errs[l.growing[i]] = err
		}
	}
	return engine.Close()
}

// lanes returns the lanes of the sectors that lack a layer.
func (l *labeling) lanes(layer int) []layers.Lane {
	var lanes []layers.Lane
	l.growing = nil
	for i, s := range l.sectors {
		switch {
		case l.errs[i] != nil:
		case s.has(layerFile(layer)):
			l.meters[i].add(s.params.Nodes)
		default:
			l.growing = append(l.growing, i)
			lanes = append(lanes, layers.Lane{
				ReplicaID: l.ids[i], Path: s.path(layerFile(layer)), Previous: s.path(layerFile(layer - 1)),
				Finish: func(content [32]byte) error { return s.wrote(layerFile(layer), content) },
			})
		}
	}
	return lanes
}

// newEngine returns an engine for sectors like this one, within its limits.
func (s *Sector) newEngine(ctx context.Context, progress func(lane int, nodes uint64)) (*layers.Engine, error) {
	g, err := s.newGraph()
	if err != nil {
		return nil, err
	}
	return layers.New(ctx, layers.Config{
		Options: layers.Options{Memory: s.cfg.Memory, LayersInMemory: s.cfg.LayersInMemory, Parents: s.cfg.Parents},
		Graph:   g, Workers: s.cfg.Workers, Progress: progress, Building: s.meter(StepParents, s.params.Nodes).add,
	})
}

// scratchLayer is a layer in a directory that goes with it.
type scratchLayer struct {
	*os.File
	dir string
}

func (l scratchLayer) Close() error { return errors.Join(l.File.Close(), os.RemoveAll(l.dir)) }

// lastLayer computes all layers anew, in the system's directory for temporary
// files, and returns the last.
func (s *Sector) lastLayer(ctx context.Context) (layer readerAt, err error) {
	dir, err := os.MkdirTemp("", "perdure-labels-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	path, err := s.labelAnew(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("labels: %w", err)
	}
	file, err := openSized(path, s.params.SectorSize())
	if err != nil {
		return nil, err
	}
	return scratchLayer{file, dir}, nil
}

// labelAnew computes all layers in a directory, keeps the last and returns its
// path.
func (s *Sector) labelAnew(ctx context.Context, dir string) (path string, err error) {
	id, err := s.replicaID()
	if err != nil {
		return "", err
	}
	progress := s.meter(StepLabels, uint64(s.params.Layers)*s.params.Nodes)
	engine, err := s.newEngine(ctx, func(_ int, nodes uint64) { progress.add(nodes) })
	if err != nil {
		return "", err
	}
	defer engine.Close()
	for layer := 1; layer <= s.params.Layers; layer++ {
		before := path
		path = filepath.Join(dir, layerFile(layer))
		if err := engine.Label(ctx, layer, []layers.Lane{{ReplicaID: id, Path: path, Previous: before}})[0]; err != nil {
			return "", err
		}
		if layer > 1 {
			if err := os.Remove(before); err != nil {
				return "", err
			}
		}
	}
	return path, nil
}
