package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/graph"
	"github.com/perdure/perdure/porep/seal/layers"
)

// LayersConfig says which part of a large labelling is measured.
type LayersConfig struct {
	Config
	Layer    int           // which layer is labelled, from its first node on
	Time     time.Duration // how long; halfway it is stopped and resumed
	Expander uint64        // bytes of the layer before that are made up; expander parents are confined to them
	Options  layers.Options
}

// Layers labels a layer of one sector of cfg.Size bytes for a while, in a sparse file, over a
// layer before it of random labels, and states what it did a second, what it cost the memory and
// the disk, and how long all layers of a sector would take at that rate.
func Layers(ctx context.Context, cfg LayersConfig) ([]Row, error) {
	proof, err := porep.ProofOfSize(cfg.Size)
	if err != nil {
		return nil, err
	}
	params, err := porep.ParamsOf(proof)
	if err != nil {
		return nil, err
	}
	if cfg.Layer < 1 || cfg.Layer > params.Layers {
		return nil, fmt.Errorf("layer %d of a sector of %d", cfg.Layer, params.Layers)
	}
	m := layersRun{cfg: cfg, lane: layers.Lane{
		ReplicaID: [32]byte{1}, Path: filepath.Join(cfg.Dir, "layer"), Previous: filepath.Join(cfg.Dir, "previous"),
	}}
	if m.graph, err = graph.New(params.ID, params.Nodes); err != nil {
		return nil, err
	}
	if cfg.Layer > 1 {
		cfg.Log("writing %d bytes of random labels", cfg.Expander)
		if err := writeLabels(m.lane.Previous, cfg.Expander); err != nil {
			return nil, err
		}
	}
	var rows []Row
	var rates []float64
	for part := range 2 {
		cfg.Log("labelling for %v, part %d of 2", cfg.Time/2, part+1)
		more, rate, err := m.label(ctx, fmt.Sprintf("part %d", part+1))
		if err != nil {
			return nil, err
		}
		rows, rates = append(rows, more...), append(rates, rate)
	}
	whole := float64(params.Nodes) * float64(params.Layers) / min(rates[0], rates[1]) / 3600
	return append(rows, Row{Name: fmt.Sprintf("all %d layers at the lower rate", params.Layers), Unit: "hours", Figure: figure([]float64{whole})}), nil
}

// layersRun is a labelling that is stopped and resumed.
type layersRun struct {
	cfg   LayersConfig
	graph *graph.Graph
	lane  layers.Lane
	done  uint64 // nodes labelled by the parts before
}

// label goes on for half of the time and returns what it found and the nodes a second.
func (m *layersRun) label(ctx context.Context, name string) ([]Row, float64, error) {
	var nodes atomic.Uint64
	var started sync.Once
	var start time.Time
	var before resources
	limited, cancel := context.WithCancel(ctx)
	defer cancel()
	engine, err := layers.New(ctx, layers.Config{
		Options: m.cfg.Options, Graph: m.graph,
		// What comes before the first node is once a layer, whatever its size: reading a checkpoint and
		// the layer before.
		Progress: func(_ int, n uint64) {
			nodes.Add(n)
			started.Do(func() {
				before, start = usage(), time.Now()
				time.AfterFunc(m.cfg.Time/2, cancel)
			})
		},
		Measure: layers.Measure{ExpanderNodes: m.cfg.Expander / porep.NodeSize, Sparse: true},
	})
	if err != nil {
		return nil, 0, err
	}
	defer engine.Close()
	err = engine.Label(limited, m.cfg.Layer, []layers.Lane{m.lane})[0]
	spent, after := time.Since(start).Seconds(), usage()
	if ctx.Err() != nil {
		return nil, 0, ctx.Err()
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		return nil, 0, err
	}
	if nodes.Load() <= m.done {
		return nil, 0, fmt.Errorf("%s: nothing was labelled after node %d", name, m.done)
	}
	labelled := nodes.Load() - m.done
	m.done = nodes.Load()
	row := func(what, unit string, value float64) Row {
		return Row{Name: name + ", " + what, Unit: unit, Figure: figure([]float64{value})}
	}
	return []Row{
		row("labels", "nodes/s", float64(labelled)/spent),
		row("page faults without reading", "/1000 nodes", 1e3*float64(after.minor-before.minor)/float64(labelled)),
		row("page faults that read", "/1000 nodes", 1e3*float64(after.major-before.major)/float64(labelled)),
		row("read from the disk", "bytes/node", float64(after.read-before.read)/float64(labelled)),
		row("resident at most", "MiB", float64(after.resident)/(1<<20)),
	}, float64(labelled) / spent, nil
}

// writeLabels writes a file of random field elements.
func writeLabels(path string, size uint64) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	out := bufio.NewWriterSize(file, 1<<20)
	random := rand.NewChaCha8([32]byte{3})
	var label [porep.NodeSize]byte
	for range size / porep.NodeSize {
		random.Read(label[:])
		label[porep.NodeSize-1] &= 0x3f
		if _, err := out.Write(label[:]); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return file.Sync()
}

// resources are what this process has used.
type resources struct{ minor, major, read, resident uint64 }

// readIO finds a counter in the text of /proc/self/io.
func readIO(text io.Reader, name string) (n uint64) {
	for s := bufio.NewScanner(text); s.Scan(); {
		if _, err := fmt.Sscanf(s.Text(), name+": %d", &n); err == nil {
			return n
		}
	}
	return 0
}
