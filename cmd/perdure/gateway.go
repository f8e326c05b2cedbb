package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/internal/lifecycle"
	"github.com/perdure/perdure/retrieval/gateway"
	"github.com/perdure/perdure/retrieval/p2p"
)

// newGatewayCommand returns the group of commands about serving over HTTP.
func newGatewayCommand(g *globals) *cobra.Command {
	return newGroup("gateway", "Serve archives to ordinary IPFS clients over HTTP", `Serve archives to ordinary IPFS clients over HTTP, without a node: import CAR files into
--home, then run. Miners and clients serve what they hold by their own config and flags.`,
		newGatewayImport(g), newGatewayLs(g), newGatewayRm(g), newGatewayRun(g))
}

// gatewayTerms are the flags that give an archive a price.
type gatewayTerms struct {
	price amount
	payee string
	peer  []string
}

// newGatewayImport returns the command that takes in archives.
func newGatewayImport(g *globals) *cobra.Command {
	var o gatewayTerms
	cmd := &cobra.Command{
		Use:   "import FILE.car...",
		Short: "Take in archives, checking every block",
		Long: `Copy CAR files (version 1, any number of roots, blocks in any order) into --home. Every
block is checked against its CID; a broken file is refused whole. FILE may be - for standard
input. Importing the same bytes again changes nothing but the price.

An archive is free to everybody unless --price is given: a gateway then answers requests for
its blocks with 402, the price, whom to pay (--payee) and where (--peer), and sends nothing.`,
		Example: `  perdure gateway import website.car
  perdure gateway import film.car --price 1000000000000 --payee t1... --peer /ip4/192.0.2.1/tcp/4001/p2p/12D3...`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runGatewayImport(cmd, g, args, o) },
	}
	f := cmd.Flags()
	f.Var(&o.price, "price", "attoPDR a chunk of up to 256 KiB (0: free)")
	f.StringVar(&o.payee, "payee", "", "address that is paid")
	f.StringSliceVar(&o.peer, "peer", nil, "multiaddrs, with the peer ID, of who sells it")
	return cmd
}

func (o *gatewayTerms) terms() (gateway.Terms, error) {
	t := gateway.Terms{Price: chain.Amount(o.price), Payee: o.payee, Peer: o.peer}
	if o.payee != "" {
		if _, err := chain.ParseAddress(o.payee); err != nil {
			return t, usage(fmt.Errorf("--payee: %w", err))
		}
	}
	if len(o.peer) > 0 {
		if _, err := p2p.ParsePeer(o.peer...); err != nil {
			return t, usage(fmt.Errorf("--peer: %w", err))
		}
	}
	if t.Price.IsZero() && (o.payee != "" || len(o.peer) > 0) {
		return t, usage(errors.New("--payee and --peer are for archives with a --price"))
	}
	return t, nil
}

func runGatewayImport(cmd *cobra.Command, g *globals, paths []string, o gatewayTerms) error {
	terms, err := o.terms()
	if err != nil {
		return err
	}
	store := gateway.OpenStore(gateway.StoreDir(g.Home), false)
	var done []gateway.Imported
	for _, path := range paths {
		in, err := openInput(cmd, path)
		if err != nil {
			return err
		}
		got, err := store.Import(cmd.Context(), in, terms)
		if err = errors.Join(err, in.Close()); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		done = append(done, *got)
		if !g.JSON {
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d blocks, %s, piece %s\n", path, got.Blocks, chain.FormatSize(got.Size), got.Piece)
			for _, root := range got.Roots {
				fmt.Fprintf(cmd.OutOrStdout(), "  /ipfs/%s\n", root)
			}
		}
	}
	if g.JSON {
		return writeJSON(cmd, map[string]any{"items": done})
	}
	return nil
}

// newGatewayLs returns the command that lists archives.
func newGatewayLs(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List the imported archives", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			store := gateway.OpenStore(gateway.StoreDir(g.Home), false)
			if err := store.Load(cmd.Context()); err != nil {
				return err
			}
			defer store.Close()
			all := store.Imported()
			if g.JSON {
				return writeJSON(cmd, map[string]any{"items": all})
			}
			for _, a := range all {
				fmt.Fprintf(cmd.OutOrStdout(), "%s  %d blocks  %s  price %s  roots %d\n",
					a.Name, a.Blocks, chain.FormatSize(a.Size), a.Terms.Price, len(a.Roots))
			}
			return nil
		},
	}
}

// newGatewayRm returns the command that removes an archive.
func newGatewayRm(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME", Short: "Remove an imported archive, by the name that ls shows", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return gateway.OpenStore(gateway.StoreDir(g.Home), false).Remove(args[0])
		},
	}
}

// gatewayRunOptions are the flags of gateway run.
type gatewayRunOptions struct {
	listen     string
	freeAll    bool
	convert    bool
	metrics    bool
	subdomains []string
	requests   int
	memory     size
}

// newGatewayRun returns the command that serves.
func newGatewayRun(g *globals) *cobra.Command {
	o := gatewayRunOptions{memory: 1 << 30}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Serve the imported archives until stopped",
		Long: `Serve the archives in --home as a path gateway and a trustless gateway (/ipfs/CID), their
pieces (/piece/PIECECID) and who sells them (/routing/v1/providers/CID). No node is needed and
nothing is looked up outside. /health/readyz gives 200 once everything imported can be found;
what is imported while it runs appears by itself.`,
		Example: `  perdure gateway run --listen 127.0.0.1:8080
  curl http://127.0.0.1:8080/ipfs/CID/index.html`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runGatewayRun(cmd, g, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:8080", "host:port to serve on")
	f.BoolVar(&o.freeAll, "free-all", false, "give out archives with a price for nothing, too")
	f.BoolVar(&o.convert, "convert-codecs", false, "answer format=dag-json and dag-cbor for blocks of other codecs, too")
	f.BoolVar(&o.metrics, "metrics", false, "serve /metrics on the same address")
	f.StringSliceVar(&o.subdomains, "subdomains", nil, "host names below which each CID is an origin of its own, such as localhost")
	f.IntVar(&o.requests, "max-requests", 0, "requests answered at one time (0: 1,024)")
	f.Var(&o.memory, "max-memory", "what answers under way may take up, about, and one client at most half of; beyond that 503")
	return cmd
}

func runGatewayRun(cmd *cobra.Command, g *globals, o gatewayRunOptions) error {
	store := gateway.OpenStore(gateway.StoreDir(g.Home), o.freeAll)
	registry := prometheus.NewRegistry()
	log := logger(cmd)
	handler, err := gateway.New(gateway.Config{Source: store, Metrics: registry, MaxRequests: o.requests, MaxMemory: int64(o.memory),
		Subdomains: o.subdomains, ConvertCodecs: o.convert, Log: log})
	if err != nil {
		return err
	}
	if o.metrics {
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
		mux.Handle("/", handler)
		handler = mux
	}
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("serve gateway: %w", err)
	}
	log.Info("gateway runs", "url", "http://"+l.Addr().String(), "archives", gateway.StoreDir(g.Home))
	var parts lifecycle.Group
	parts.OnClose("archives", store.Close)
	parts.Add("archives", store.Run)
	parts.Add("http", func(ctx context.Context) error { return gateway.Serve(ctx, l, handler) })
	return errors.Join(parts.Run(cmd.Context()), parts.Close())
}
