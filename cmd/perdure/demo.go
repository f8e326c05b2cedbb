package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/perdure/perdure/internal/devnet"
)

// demoOptions are the flags of demo.
type demoOptions struct {
	file           string
	miners, copies int
	lose           int
	sector         size
	public, keep   bool
}

// newDemoCommand returns the command that shows the main line.
func newDemoCommand(g *globals) *cobra.Command {
	o := demoOptions{sector: 8 << 20}
	cmd := &cobra.Command{
		Use: "demo", Short: "Store a file on a network of its own, watch it proven, fetch it back", Args: cobra.NoArgs,
		Long: `Start a network in a temporary directory (a chain node, miners each with its own
host, keys and disk, a client), store a file on it, wait until every miner that
holds a copy has proven it in two windows, fetch it back with a payment for each
chunk, and say what was stored, proven, paid and put on chain. Exit code 0 only if
all of it holds. It takes about two minutes on two cores.

With --lose N, N miners that hold copies are switched off for good once all copies
are proven, and the client, too. Their sectors become faulty and, on this network
after one proving period, are lost; their pledge burns; the chain itself bids for
new copies out of their collateral and the unspent pay; other miners buy the data
from those that hold it, seal and prove it. Then the file is fetched. That takes
two to three minutes more.`,
		Example: "  perdure demo\n  perdure demo --file photos --copies 3 --json\n  perdure demo --lose 1",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runDemo(cmd, g, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.file, "file", "", "file or directory to store (default 1 MiB of random content)")
	f.IntVar(&o.miners, "miners", 3, "miners")
	f.IntVar(&o.copies, "copies", 2, "copies, each on another miner")
	f.IntVar(&o.lose, "lose", 0, "miners with a copy to switch off for good; fewer than copies")
	f.Var(&o.sector, "sector-size", "size of the miners' sectors: 2KiB or 8MiB")
	f.BoolVar(&o.public, "public", false, "store the content as it is, not encrypted")
	f.BoolVar(&o.keep, "keep", false, "leave the network up until Ctrl-C, and its directory after that")
	return cmd
}

func runDemo(cmd *cobra.Command, g *globals, o demoOptions) error {
	dir, err := os.MkdirTemp("", "perdure-demo-")
	if err != nil {
		return err
	}
	logFile, err := os.Create(filepath.Join(dir, "perdure.log"))
	if err != nil {
		return err
	}
	defer logFile.Close()
	out := newScreen(cmd.OutOrStdout())
	if g.JSON {
		out = newScreen(cmd.ErrOrStderr())
	}
	options := devnet.DemoOptions{
		World: devnet.WorldOptions{Miners: o.miners, SectorSize: uint64(o.sector), Options: devnet.Options{
			Dir: dir, EngineLog: "none", Log: slog.New(slog.NewTextHandler(logFile, nil))}},
		File: o.file, Copies: o.copies, Lose: o.lose, Public: o.public, Show: out,
	}
	if o.lose > 0 {
		options.World.Params, options.World.Level = devnet.LoseParams(), true
	}
	report, err := demo(cmd, g, o, options)
	out.clear()
	switch {
	case cmd.Context().Err() != nil && !o.keep:
		return errors.Join(errors.New("interrupted"), devnet.Remove(dir))
	case err != nil && !started(dir):
		return errors.Join(err, devnet.Remove(dir))
	case err != nil:
		return fmt.Errorf("%w (everything of the run is in %s)", err, dir)
	case !report.OK:
		fmt.Fprintf(cmd.ErrOrStderr(), "perdure: not all holds: %q (everything of the run is in %s)\n", report.Problems, dir)
		return refused()
	case o.keep:
		fmt.Fprintf(cmd.ErrOrStderr(), "\nthe network stays in %s: perdure devnet --dir %s goes on with it\n", dir, dir)
		return nil
	}
	return devnet.Remove(dir)
}

// started reports whether a network came as far as having a directory.
func started(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "node0"))
	return err == nil
}

// demo runs a demo, answers, and with --keep waits before the network stops.
func demo(cmd *cobra.Command, g *globals, o demoOptions, options devnet.DemoOptions) (report *devnet.Report, err error) {
	ctx := cmd.Context()
	d, err := devnet.NewDemo(ctx, options)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	report, err = d.Run(ctx)
	if err != nil {
		return report, err
	}
	options.Show.Progress("")
	if g.JSON {
		err = writeJSON(cmd, report)
	} else {
		err = report.Summary(cmd.OutOrStdout())
	}
	if err != nil || !o.keep {
		return report, err
	}
	if err := d.World.WriteInfo(); err != nil {
		return report, err
	}
	to := cmd.OutOrStdout()
	if g.JSON {
		to = cmd.ErrOrStderr()
	}
	if err := showDevnet(to, options.World.Dir, d.World.Info()); err != nil {
		return report, err
	}
	return report, d.World.Wait(ctx)
}

// screen shows lines, and on a terminal what goes on below them.
type screen struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	width    int
	shown    bool // there is a line of progress
}

func newScreen(out io.Writer) *screen {
	s := &screen{out: out}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			s.terminal, s.width = true, width
		}
	}
	return s
}

// Line implements devnet.Screen.
func (s *screen) Line(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	fmt.Fprintln(s.out, text)
}

// Progress implements devnet.Screen.
func (s *screen) Progress(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.terminal {
		return
	}
	s.erase()
	if runes := []rune(text); len(runes) >= s.width {
		text = string(runes[:s.width-1])
	}
	fmt.Fprint(s.out, text)
	s.shown = text != ""
}

// clear removes the line of progress.
func (s *screen) clear() { s.Progress("") }

// erase is clear under the lock.
func (s *screen) erase() {
	if s.shown {
		fmt.Fprint(s.out, "\r\x1b[K")
		s.shown = false
	}
}
