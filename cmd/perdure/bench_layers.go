package main

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/perdure/perdure/internal/bench"
)

// benchLayersOptions are the flags of bench layers.
type benchLayersOptions struct {
	dir, size, expander, memory string
	layer                       int
	time                        time.Duration
	inMemory                    int
	parents                     string
}

// newBenchLayers returns the command that labels a part of a large layer.
func newBenchLayers(g *globals) *cobra.Command {
	var o benchLayersOptions
	cmd := &cobra.Command{
		Use:   "layers",
		Short: "Measure labels at the scale of large sectors, for a while",
		Long: `Label the first part of a layer of one sector for --time, stopped and resumed halfway,
in a sparse file. The layer before is a file of random labels of --expander bytes, made
first; expander parents are taken from it alone. Given are nodes a second, page faults,
bytes read, memory, and what all layers of the sector would take.`,
		Example: `  perdure bench layers --size 32GiB --layer 1 --time 2m
  perdure bench layers --size 32GiB --layer 2 --time 2m --expander 16GiB --memory 12GiB --dir /disk`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBenchLayers(cmd, g, o) },
	}
	cmd.Flags().StringVar(&o.dir, "dir", "", "directory for files (default a temporary one)")
	cmd.Flags().StringVar(&o.size, "size", "32GiB", "size of the sector")
	cmd.Flags().IntVar(&o.layer, "layer", 2, "layer to label")
	cmd.Flags().DurationVar(&o.time, "time", 2*time.Minute, "how long to label")
	cmd.Flags().StringVar(&o.expander, "expander", "8GiB", "size of the file that stands for the layer before")
	cmd.Flags().StringVar(&o.memory, "memory", "", "memory to use (default what the engine takes)")
	cmd.Flags().IntVar(&o.inMemory, "layers-in-memory", 0, "layers that must be held in memory: 0, 1 or 2")
	cmd.Flags().StringVar(&o.parents, "parents", "", "directory of the parent table (default none: computed)")
	return cmd
}

func runBenchLayers(cmd *cobra.Command, g *globals, o benchLayersOptions) error {
	var cfg bench.LayersConfig
	for _, size := range []struct {
		flag, text string
		into       *uint64
	}{{"size", o.size, &cfg.Size}, {"expander", o.expander, &cfg.Expander}, {"memory", o.memory, &cfg.Options.Memory}} {
		if size.text == "" {
			continue
		}
		n, err := humanize.ParseBytes(size.text)
		if err != nil {
			return usage(fmt.Errorf("--%s %s: %w", size.flag, size.text, err))
		}
		*size.into = n
	}
	cfg.Layer, cfg.Time, cfg.Options.LayersInMemory, cfg.Options.Parents = o.layer, o.time, o.inMemory, o.parents
	return withBenchDir(cmd, o.dir, func(base bench.Config) error {
		base.Size = cfg.Size
		cfg.Config = base
		rows, err := bench.Layers(cmd.Context(), cfg)
		if err != nil {
			return err
		}
		return reportBench(cmd, g, "layers", rows)
	})
}
