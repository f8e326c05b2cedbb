package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client"
)

// getFlags are the flags of get.
type getFlags struct {
	output   string
	maxPrice amount
	budget   amount
	key      string
}

// newGetCommand returns the command that fetches content.
func newGetCommand(g *globals) *cobra.Command {
	var f getFlags
	cmd := &cobra.Command{
		Use:   "get CID",
		Short: "Fetch content, paid chunk by chunk",
		Long: `Fetch the payload with this root from the miners that store it and write it to a file or a
directory, whole and checked or not at all. A miner is paid for each chunk of up to 256 KiB
after it came and was checked; one that is slow or lies is left for another. A get that was
stopped goes on where it was.

What this home stored is decrypted with its own key; other private content needs --key, or
comes as it is stored. With -o - a file's bytes, or a directory's tar, go to standard output.`,
		Example: `  perdure get bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi -o photos
  perdure get bafk... -o - | less`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runGet(cmd, g, args[0], f) },
	}
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "where to write it, - for standard output (default its name, or the CID)")
	cmd.Flags().Var(&f.maxPrice, "max-price", "most attoPDR for a chunk (default "+client.DefaultChunkPrice.String()+")")
	cmd.Flags().Var(&f.budget, "budget", "most attoPDR altogether (default no bound)")
	cmd.Flags().StringVar(&f.key, "key", "", "file with the age identity that opens it")
	return cmd
}

func runGet(cmd *cobra.Command, g *globals, text string, f getFlags) error {
	root, err := client.ParseRoot(text)
	if err != nil {
		return usage(fmt.Errorf("%q is no CID: %w", text, err))
	}
	if g.JSON && f.output == "-" {
		return usage(errors.New("--json and -o - both want standard output"))
	}
	o := client.GetOptions{MaxPrice: chain.Amount(f.maxPrice), Budget: chain.Amount(f.budget)}
	if o.Key, err = readIdentity(f.key); err != nil {
		return err
	}
	c, err := g.openClient(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	dest := f.output
	switch dest {
	case "-":
		o.To = cmd.OutOrStdout()
	case "":
		if dest, err = freeName(cmd, c, root.String()); err != nil {
			return err
		}
	}
	o.Progress = progress(cmd)
	r, err := c.Get(cmd.Context(), root, dest, o)
	if err != nil {
		return err
	}
	if g.JSON {
		return writeJSON(cmd, client.ShowGet(r))
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s fetched in %d chunks for %s in %.1f s\n", humanize.IBytes(r.Bytes), r.Chunks, r.Paid.Human(), r.Seconds)
	if dest != "-" {
		_, err = fmt.Fprintln(cmd.OutOrStdout(), dest)
	}
	return err
}

// freeName is the name that content was stored under, or else its root, if
// nothing has that name here.
func freeName(cmd *cobra.Command, c *client.Client, root string) (string, error) {
	all, err := c.List(cmd.Context())
	if err != nil {
		return "", err
	}
	name := root
	for _, o := range all {
		if o.Root == root && o.Name != "" {
			name = o.Name
		}
	}
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is here already: choose where to write with -o", name)
	}
	return name, nil
}

// progress tells how far a get is, every other second.
func progress(cmd *cobra.Command) func(client.Progress) {
	last := time.Now()
	return func(p client.Progress) {
		if time.Since(last) > 2*time.Second {
			last = time.Now()
			fmt.Fprintf(cmd.ErrOrStderr(), "%s fetched, %s paid\n", humanize.IBytes(p.Bytes), p.Paid.Human())
		}
	}
}
