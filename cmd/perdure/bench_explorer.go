package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/internal/bench"
	"github.com/perdure/perdure/internal/bench/scale"
)

// benchExplorerOptions are the flags of bench explorer.
type benchExplorerOptions struct {
	dir                string
	deals              uint64
	parts              []string
	rounds             int
	time               time.Duration
	callers, listeners int
	messages, blocks   int
}

// explorerProcess is the hidden command of the other processes of bench explorer.
const explorerProcess = "explorer-process"

// newBenchExplorer returns the command that measures the explorer.
func newBenchExplorer(g *globals) *cobra.Command {
	var o benchExplorerOptions
	cmd := &cobra.Command{
		Use:   "explorer",
		Short: "Measure the explorer over a chain of a million deals",
		Long: `Make a chain of --deals deals, as many sectors, and miners, orders, accounts and channels
in proportion, in --dir, and measure what the explorer does with it; what is in --dir is used
again. The parts, all of them unless --parts names some:

  follow   the index following --blocks blocks, beside executing and committing the same
  rebuild  an index made from the Updates of --blocks blocks, beside executing them
  routes   every list and detail of the API, --callers at once from another process,
           with names drawn by chance: the 99th percentile, the median and the slowest;
           beside them what server and callers took of the processors
  latest   /v1/blocks/latest of a node on one core, beside CometBFT's /block there
  live     --listeners to a node that makes a block a second, to its server-sent events
           and then over WebSockets: each must hear every frame once
  export   all deals from one process through another into a file, as CSV and as parquet

Times of follow and rebuild are of the processor, until the databases have compacted what was
written; the others are by the clock. What the routes leave out stands under the figures with
the reason. A part that fails is said at the end; the figures of the others are printed.`,
		Example: `  perdure bench explorer --dir /disk/explorer
  perdure bench explorer --dir /disk/small --deals 10000 --parts routes,export --time 5s`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBenchExplorer(cmd, g, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.dir, "dir", "", "directory of the big chain, which stays (default a temporary one)")
	f.Uint64Var(&o.deals, "deals", 1_000_000, "deals of the big chain")
	f.StringSliceVar(&o.parts, "parts", nil, "parts to measure: "+strings.Join(bench.ExplorerParts(), ", "))
	f.IntVar(&o.rounds, "rounds", 5, "rounds of what is compared")
	f.DurationVar(&o.time, "time", 30*time.Second, "how long each measurement under load lasts")
	f.IntVar(&o.callers, "callers", 50, "requests at once")
	f.IntVar(&o.listeners, "listeners", 1000, "listeners to the events of a node")
	f.IntVar(&o.messages, "messages", 100, "messages of a block")
	f.IntVar(&o.blocks, "blocks", 600, "blocks that an index follows a round, and from whose Updates one is rebuilt")
	return cmd
}

// newBenchExplorerProcess returns the command of the other processes.
func newBenchExplorerProcess() *cobra.Command {
	return &cobra.Command{Use: explorerProcess, Hidden: true, Args: cobra.NoArgs,
		Short: "Serve, ask or listen for bench explorer",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return bench.RunExplorerChild(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		}}
}

func runBenchExplorer(cmd *cobra.Command, g *globals, o benchExplorerOptions) error {
	for _, n := range []struct {
		flag  string
		value int
	}{{"rounds", o.rounds}, {"callers", o.callers}, {"listeners", o.listeners}, {"messages", o.messages}, {"blocks", o.blocks}} {
		if n.value < 1 {
			return usage(fmt.Errorf("--%s %d: want at least 1", n.flag, n.value))
		}
	}
	if o.deals < 1000 {
		return usage(fmt.Errorf("--deals %d: want at least 1000", o.deals))
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	run := func(c bench.Config) error {
		c.Rounds = o.rounds
		rows, notes, failed := bench.Explorer(cmd.Context(), bench.ExplorerConfig{Config: c, Size: scale.Of(o.deals), Parts: o.parts,
			Process: []string{self, "bench", explorerProcess}, Export: []string{self, "index", "export"},
			Time: o.time, Callers: o.callers, Messages: o.messages, Blocks: o.blocks, Listeners: o.listeners})
		return errors.Join(reportBench(cmd, g, "explorer", rows, notes...), failed)
	}
	if o.dir == "" {
		return withBenchDir(cmd, "", run)
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return run(bench.Config{Dir: dir, Log: func(format string, args ...any) {
		fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...)
	}})
}
