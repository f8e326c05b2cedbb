package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/perdure/perdure/internal/bench"
)

// benchOptions are the flags of the benchmarks.
type benchOptions struct {
	rounds int
	dir    string
	size   string
}

// newBenchCommand returns the group of benchmarks.
func newBenchCommand(g *globals) *cobra.Command {
	var commands []*cobra.Command
	for _, b := range bench.All() {
		commands = append(commands, newBench(g, b))
	}
	commands = append(commands, newBenchLayers(g), newBenchRetrieval(g), newBenchSeller(), newBenchExplorer(g), newBenchExplorerProcess())
	return newGroup("bench", "Measure the sealing engine, retrieval and the explorer beside references",
		`Measure parts of the sealing engine, retrieval, and the explorer. Each figure of the engine is taken in
slices that alternate with slices of a reference that does the same work, in the same
process: what counts is the ratio. Given are the median of the rounds, the least and the
greatest.`, commands...)
}

// newBench returns the command of one benchmark.
func newBench(g *globals, b bench.Bench) *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:     b.Name,
		Short:   "Measure " + b.Short,
		Example: "  perdure bench " + b.Name + " --json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runBench(cmd, g, b, o) },
	}
	cmd.Flags().IntVar(&o.rounds, "rounds", 9, "rounds of each measurement")
	cmd.Flags().StringVar(&o.dir, "dir", "", "directory for files (default a temporary one)")
	if b.Sized {
		cmd.Flags().StringVar(&o.size, "size", "8MiB", "size of the sector")
	}
	return cmd
}

func runBench(cmd *cobra.Command, g *globals, b bench.Bench, o benchOptions) error {
	if o.rounds < 1 {
		return usage(fmt.Errorf("--rounds %d: want at least 1", o.rounds))
	}
	var size uint64
	if b.Sized {
		var err error
		if size, err = humanize.ParseBytes(o.size); err != nil {
			return usage(fmt.Errorf("--size %s: %w", o.size, err))
		}
	}
	return withBenchDir(cmd, o.dir, func(cfg bench.Config) error {
		cfg.Rounds, cfg.Size = o.rounds, size
		rows, err := b.Run(cmd.Context(), cfg)
		if err != nil {
			return err
		}
		return reportBench(cmd, g, b.Name, rows)
	})
}

// withBenchDir runs a benchmark with a directory of its own below dir, and progress on standard
// error.
func withBenchDir(cmd *cobra.Command, dir string, run func(bench.Config) error) error {
	own, err := os.MkdirTemp(dir, "perdure-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(own)
	return run(bench.Config{Dir: own, Log: func(format string, args ...any) {
		fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...)
	}})
}

// reportBench prints what a benchmark found.
func reportBench(cmd *cobra.Command, g *globals, name string, rows []bench.Row, notes ...string) error {
	report := bench.Report{Bench: name, Machine: bench.ThisMachine(), Rows: rows, Notes: notes}
	if g.JSON {
		return writeJSON(cmd, report)
	}
	return showBench(cmd, report)
}

// showBench prints a report for people.
func showBench(cmd *cobra.Command, r bench.Report) error {
	m := r.Machine
	fmt.Fprintf(cmd.OutOrStdout(), "%s, %d cores, %s, %s %s/%s\n\n", m.CPU, m.Cores, strings.Join(m.Features, " "), m.Go, m.OS, m.Arch)
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WHAT\tFIGURE\tUNIT\tREFERENCE\tITS FIGURE\tRATIO")
	for _, row := range r.Rows {
		reference, ratio := "", ""
		if row.Compared != nil {
			reference = showFigure(*row.Compared)
		}
		if row.Ratio != nil {
			ratio = showFigure(*row.Ratio)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", row.Name, showFigure(row.Figure), row.Unit, row.Reference, reference, ratio)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for i, note := range r.Notes {
		if i == 0 {
			fmt.Fprintln(cmd.OutOrStdout())
		}
		fmt.Fprintln(cmd.OutOrStdout(), note)
	}
	return nil
}

// showFigure prints a median with the least and the greatest, to three or four digits.
func showFigure(f bench.Figure) string {
	number := func(x float64) string {
		switch {
		case x >= 1000:
			return fmt.Sprintf("%.0f", x)
		case x >= 10:
			return fmt.Sprintf("%.1f", x)
		}
		return fmt.Sprintf("%.3f", x)
	}
	if f.Least == f.Most {
		return number(f.Median)
	}
	return fmt.Sprintf("%s (%s-%s)", number(f.Median), number(f.Least), number(f.Most))
}
