package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/internal/lifecycle"
)

// openReader opens the client of --home without a key: it reads, and signs nothing.
func (g *globals) openReader(cmd *cobra.Command) (*client.Client, error) {
	return g.open(client.Options{})
}

// openClient opens the client of --home with the wallet's key.
func (g *globals) openClient(cmd *cobra.Command) (*client.Client, error) {
	key, err := openKey(g)
	if err != nil {
		return nil, err
	}
	return g.open(client.Options{Key: key, Log: warnings(cmd)})
}

// open opens the client of --home over the node of --node.
func (g *globals) open(o client.Options) (*client.Client, error) {
	o.Home = g.Home
	node, err := g.dial()
	if err != nil {
		return nil, err
	}
	o.Chain = node
	return client.Open(o)
}

// warnings writes to standard error what goes wrong beside a command's own work.
func warnings(cmd *cobra.Command) *slog.Logger {
	return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// nodeURL is --node, or a node on this machine.
func (g *globals) nodeURL() string {
	if g.Node == "" {
		return defaultNode
	}
	return g.Node
}

// readIdentity reads a file with an age identity; an empty path gives none.
func readIdentity(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read key: %w", err)
	}
	for line := range strings.Lines(string(raw)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return line, nil
		}
	}
	return "", fmt.Errorf("read key: %s holds none", path)
}

// newClientCommand returns the group of commands about the client as a process.
func newClientCommand(g *globals) *cobra.Command {
	return newGroup("client", "Serve miners what they have to fetch", "Serve miners what they have to fetch, and look after deals and channels.",
		newClientRun(g))
}

// newClientRun returns the command that serves.
func newClientRun(g *globals) *cobra.Command {
	var o client.PublicOptions
	var due batchFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Serve what was put until stopped",
		Long: `Go on with every put that was stopped or given --no-wait: place bids that are not on chain,
serve the pieces to the miners that matched, follow the deals. Payment channels whose vouchers have all expired
are settled and collected. What waits in the batch is stored once it is --batch-size or --batch-age.
Copies that a miner is late with, and copies that end soon, are warned of in the log. It runs until
it is stopped, beside other commands.

With --http it is also a gateway for ordinary IPFS clients: it gives out archives taken in by
'perdure gateway import', and what was put with --public as long as its pieces are here. With --bitswap
IPFS nodes that connect get the same.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runClient(cmd, g, o, due.batch()) },
	}
	f := cmd.Flags()
	due.add(f)
	f.StringVar(&o.HTTP, "http", "", "host:port of a gateway for ordinary IPFS clients (default none)")
	f.StringSliceVar(&o.Subdomains, "subdomains", nil, "host names below which each CID is an origin of its own")
	f.BoolVar(&o.Bitswap, "bitswap", false, "give the same to IPFS nodes by bitswap")
	f.BoolVar(&o.FreeAll, "free-all", false, "give archives that were imported with a price for nothing, too")
	return cmd
}

func runClient(cmd *cobra.Command, g *globals, o client.PublicOptions, due client.Batch) error {
	key, err := openKey(g)
	if err != nil {
		return err
	}
	log := logger(cmd)
	c, err := g.open(client.Options{Key: key, Log: log, Batch: due})
	if err != nil {
		return err
	}
	defer c.Close()
	o.Listening = func(address string) { log.Info("gateway runs", "url", "http://"+address) }
	if o.HTTP == "" && !o.Bitswap {
		return c.Run(cmd.Context())
	}
	var parts lifecycle.Group
	parts.Add("client", c.Run)
	parts.Add("gateway", func(ctx context.Context) error { return c.ServePublic(ctx, o) })
	return parts.Run(cmd.Context())
}
