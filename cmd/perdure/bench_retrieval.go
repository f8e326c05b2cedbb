package main

import (
	"fmt"
	"os"
	"os/exec"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/perdure/perdure/internal/bench"
)

// benchRetrievalOptions are the flags of bench retrieval.
type benchRetrievalOptions struct {
	dir, size, shaped string
	rounds            int
}

// sellerCommand is the hidden command of the process that sells.
const sellerCommand = "retrieval-seller"

// newBenchRetrieval returns the command that measures paid retrieval.
func newBenchRetrieval(g *globals) *cobra.Command {
	var o benchRetrievalOptions
	cmd := &cobra.Command{
		Use:   "retrieval",
		Short: "Measure paid retrieval beside free retrieval, IPFS and HTTPS",
		Long: `Move a file of random bytes between two processes over loopback: paid chunk by chunk,
and not paid; between two nodes of kubo by bitswap; from nginx over TLS by curl into
"openssl dgst -sha256"; from four sellers that may each send --shaped bytes a second, and
from one of them. All of it in turn, --rounds times; given are the medians, the least and
the greatest, the ratios of the rounds, and what each side took of the processors. Then how
long the first byte takes over a link with a round trip of 20 ms.

The programs are those of PERDURE_KUBO, PERDURE_NGINX, PERDURE_CURL and PERDURE_OPENSSL, or
ipfs, nginx, curl and openssl as they are found; what is not there is left out.`,
		Example: `  perdure bench retrieval
  perdure bench retrieval --size 256MiB --rounds 3 --dir /disk`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBenchRetrieval(cmd, g, o) },
	}
	cmd.Flags().StringVar(&o.dir, "dir", "", "directory for files (default a temporary one)")
	cmd.Flags().StringVar(&o.size, "size", "1GiB", "size of the file")
	cmd.Flags().StringVar(&o.shaped, "shaped", "50MB", "bytes a second of each of four shaped sellers; 0: leave them out")
	cmd.Flags().IntVar(&o.rounds, "rounds", 5, "rounds of each measurement")
	return cmd
}

// newBenchSeller returns the command of the process that sells.
func newBenchSeller() *cobra.Command {
	return &cobra.Command{Use: sellerCommand, Hidden: true, Args: cobra.NoArgs,
		Short: "Sell what bench retrieval fetches",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return bench.RunShop(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		}}
}

func runBenchRetrieval(cmd *cobra.Command, g *globals, o benchRetrievalOptions) error {
	if o.rounds < 1 {
		return usage(fmt.Errorf("--rounds %d: want at least 1", o.rounds))
	}
	size, err := humanize.ParseBytes(o.size)
	if err != nil {
		return usage(fmt.Errorf("--size %s: %w", o.size, err))
	}
	shaped, err := humanize.ParseBytes(o.shaped)
	if err != nil {
		return usage(fmt.Errorf("--shaped %s: %w", o.shaped, err))
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	programs := map[string]string{}
	for name, variable := range map[string]string{"ipfs": "PERDURE_KUBO", "nginx": "PERDURE_NGINX", "curl": "PERDURE_CURL", "openssl": "PERDURE_OPENSSL"} {
		if programs[name] = os.Getenv(variable); programs[name] == "" {
			programs[name], _ = exec.LookPath(name) // left out if there is none
		}
	}
	return withBenchDir(cmd, o.dir, func(base bench.Config) error {
		base.Rounds, base.Size = o.rounds, size
		rows, err := bench.Retrieval(cmd.Context(), bench.RetrievalConfig{
			Config: base, Shop: []string{self, "bench", sellerCommand}, Shaped: int(shaped), Programs: programs})
		if err != nil {
			return err
		}
		return reportBench(cmd, g, "retrieval", rows)
	})
}
