package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/internal/devnet"
)

// devnetOptions are the flags of devnet.
type devnetOptions struct {
	validators, miners int
	sector             size
	voting             bool
	dir, api           string
}

// newDevnetCommand returns the command that runs a whole network.
func newDevnetCommand(g *globals) *cobra.Command {
	o := devnetOptions{sector: 8 << 20}
	cmd := &cobra.Command{
		Use: "devnet", Short: "Run a whole network on this machine until it is stopped", Args: cobra.NoArgs,
		Long: `Run a whole network on this machine until it is stopped: chain nodes, miners and a
wallet with money, all on loopback. When every miner is ready to trade it writes
DIR/devnet.json and says what to type next. Started again with the same directory
it goes on; then the directory says how many nodes and miners there are. Its
keys' passphrase is "devnet": its money is worth nothing.`,
		Example: "  perdure devnet --dir ./net --miners 3",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runDevnet(cmd, g, o) },
	}
	f := cmd.Flags()
	f.IntVar(&o.validators, "validators", 1, "chain nodes, each a validator")
	f.IntVar(&o.miners, "miners", 3, "miners")
	f.BoolVar(&o.voting, "voting", false, "each miner votes with what it stores, through a chain node of its own, and keeps two sectors without deals")
	f.Var(&o.sector, "sector-size", "size of the miners' sectors: 2KiB or 8MiB")
	f.StringVar(&o.dir, "dir", "", "directory of everything (default HOME/devnet)")
	f.StringVar(&o.api, "api", "", "host:port of the first node's API (default a free port)")
	return cmd
}

func runDevnet(cmd *cobra.Command, g *globals, o devnetOptions) error {
	if o.validators < 1 || o.miners < 0 {
		return usage(errors.New("want at least one validator, and no less than 0 miners"))
	}
	if o.dir == "" {
		if g.Home == "" {
			return usage(errors.New("no home directory: give --dir"))
		}
		o.dir = filepath.Join(g.Home, "devnet")
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// What an earlier run said of itself is over.
	if err := os.Remove(devnet.InfoPath(dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	logFile, err := os.OpenFile(filepath.Join(dir, "perdure.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer logFile.Close()
	fmt.Fprintf(cmd.ErrOrStderr(), "starting a network in %s (log: perdure.log there) ...\n", dir)
	world := devnet.WorldOptions{
		Options: devnet.Options{Dir: dir, Validators: o.validators, API: o.api, EngineLog: "none",
			Log: slog.New(slog.NewTextHandler(logFile, nil))},
		Miners: o.miners, SectorSize: uint64(o.sector),
	}
	if o.voting {
		world.Voting, world.Followers, world.Commit = true, o.miners, 2
	}
	w, err := devnet.StartWorld(cmd.Context(), world)
	if err != nil {
		return err
	}
	if err := w.WriteInfo(); err != nil {
		return errors.Join(err, w.Close())
	}
	if g.JSON {
		err = writeJSON(cmd, w.Info())
	} else {
		err = showDevnet(cmd.OutOrStdout(), dir, w.Info())
	}
	if err != nil {
		return errors.Join(err, w.Close())
	}
	return errors.Join(w.Wait(cmd.Context()), w.Close())
}

// showDevnet says where the network is and what to type next.
func showDevnet(out io.Writer, dir string, i *devnet.Info) error {
	fmt.Fprintf(out, "chain   %s\n", i.ChainID)
	for _, n := range i.Nodes {
		fmt.Fprintf(out, "node    api %s  rpc %s\n", n.API, n.RPC)
	}
	for _, m := range i.Miners {
		fmt.Fprintf(out, "miner   %s  %s\n", m.ID, m.Home)
	}
	fmt.Fprintf(out, "wallet  %s  %s\n", i.Wallet.Address, i.Wallet.Home)
	_, err := fmt.Fprintf(out, `
All of this is in %s. In another terminal:

  export PERDURE_NODE=%s PERDURE_HOME=%s PERDURE_PASSPHRASE=%s
  perdure status
  perdure market book
  perdure put FILE --copies 2
  perdure ls
  perdure get CID -o COPY

Stop it with Ctrl-C.
`, devnet.InfoPath(dir), i.Nodes[0].API, i.Wallet.Home, devnet.Passphrase)
	return err
}
