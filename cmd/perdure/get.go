package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/link"
	"github.com/perdure/perdure/client/view"
	"github.com/perdure/perdure/retrieval/p2p"
)

// getFlags are the flags of get.
type getFlags struct {
	output   string
	span     string
	car      bool
	maxPrice amount
	budget   amount
	free     bool
	key      string
	routing  []string
	gateways []string
}

// newGetCommand returns the command that fetches content.
func newGetCommand(g *globals) *cobra.Command {
	var f getFlags
	cmd := &cobra.Command{
		Use:   "get CID[/PATH] | LINK",
		Short: "Fetch content, paid chunk by chunk",
		Long: `Fetch the payload with this root, or what is at a path inside a directory, from the miners
that store it, all of them at once, and write it to a file or a directory, whole and
checked or not at all. A miner is paid for each chunk of up to 256 KiB after it came and was
checked; one that is slow or lies is left for another. With the CID of a piece the archive that
it is comes, from the miners whose deals are over it, or else from the gateways that --gateway
names.

A miner may have to unseal a piece first, and be paid for that before; nobody is paid more for it
than all chunks of the piece may cost, and one that takes the money and does not deliver is not
asked again for a day.

Until a file is whole its bytes are in FILE.part beside it. A get that was stopped, or killed,
goes on where it was when it is given again.

A link that perdure share made says where the content is, what to call it and what opens it;
this home remembers it.

What this home stored is decrypted with its own key; other private content needs --key, or
comes as it is stored. With -o - a file's bytes, or a directory's tar, go to standard output
as they come. --range takes bytes as HTTP does: 0-99, 100- or -100; only the blocks that they
need are fetched. --car writes the blocks in place of the content: a CARv1 of the root, every
block once, depth first, always the same.

Sellers are those of the deals on chain and on record, and miners that say that a piece of theirs
holds the root among others; if there are none, the distributed hash table that miners are in is
asked, and the servers of delegated routing named by --routing. Miners get a receipt for what came,
signed with the key that pays.`,
		Example: `  perdure get bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi -o photos
  perdure get bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi/2024/a.jpg
  perdure get bafk... -o - | less
  perdure get bafk... --range 0-1023 -o -`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runGet(cmd, g, args[0], f) },
	}
	fl := cmd.Flags()
	fl.StringVarP(&f.output, "output", "o", "", "where to write it, - for standard output (default its name, or the CID)")
	fl.StringVar(&f.span, "range", "", "bytes of a file to fetch, like 0-99, 100- or -100 (default all)")
	fl.BoolVar(&f.car, "car", false, "write the blocks, as a CAR")
	fl.Var(&f.maxPrice, "max-price", "most attoPDR for a chunk (default "+client.DefaultChunkPrice.String()+")")
	fl.Var(&f.budget, "budget", "most attoPDR altogether (default no bound)")
	fl.BoolVar(&f.free, "free-only", false, "pay nothing: take what is given away, without a wallet")
	fl.StringVar(&f.key, "key", "", "file with the age identity that opens it")
	fl.StringSliceVar(&f.routing, "routing", nil, "URLs of servers of delegated routing, asked for sellers that the chain does not know")
	fl.StringSliceVar(&f.gateways, "gateway", nil, "URLs of gateways, asked for a piece that no deal is over")
	return cmd
}

// options are what the flags say, and the root.
func (f *getFlags) options(text string) (cid.Cid, client.GetOptions, error) {
	o := client.GetOptions{MaxPrice: chain.Amount(f.maxPrice), Budget: chain.Amount(f.budget), FreeOnly: f.free, CAR: f.car}
	root, path, err := client.ParsePath(text)
	if err != nil {
		return root, o, err
	}
	o.Path = path
	if f.span != "" {
		span, err := client.ParseRange(f.span)
		if err != nil {
			return root, o, err
		}
		o.Range = &span
	}
	return root, o, o.Check(root)
}

func runGet(cmd *cobra.Command, g *globals, text string, f getFlags) error {
	var shared link.Link
	var err error
	if link.Is(text) {
		if shared, err = link.Parse(text); err != nil {
			return usage(err)
		}
		text = shared.Root.String()
	}
	root, o, err := f.options(text)
	if err == nil && g.JSON && f.output == "-" {
		err = errors.New("--json and -o - both want standard output")
	}
	if err != nil {
		return usage(err)
	}
	if o.Key, err = readIdentity(f.key); err != nil {
		return err
	}
	c, err := openGetter(cmd, g, &f)
	if err != nil {
		return err
	}
	defer c.Close()
	if shared.Root.Defined() {
		if err := c.Import(cmd.Context(), shared); err != nil {
			return err
		}
	}
	dest := f.output
	switch dest {
	case "-":
		o.To = cmd.OutOrStdout()
	case "":
		if dest, err = freeName(cmd, c, root.String(), &o); err != nil {
			return err
		}
	}
	o.Progress = progress(cmd)
	r, err := c.Get(cmd.Context(), root, dest, o)
	if err != nil {
		return err
	}
	if g.JSON {
		return writeJSON(cmd, view.FetchOf(r))
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s fetched in %d chunks for %s in %.1f s\n", humanize.IBytes(r.Bytes), r.Chunks, r.Paid.Human(), r.Seconds)
	if dest != "-" {
		_, err = fmt.Fprintln(cmd.OutOrStdout(), dest)
	}
	return err
}

// openGetter opens the client of --home with the wallet's key, or without one if
// nothing is to be paid.
func openGetter(cmd *cobra.Command, g *globals, f *getFlags) (*client.Client, error) {
	o := client.Options{Log: warnings(cmd), Guest: f.free, Gateways: f.gateways}
	for _, url := range f.routing {
		o.Finders = append(o.Finders, p2p.Delegated{URL: url})
	}
	if !f.free {
		key, err := openKey(g)
		if err != nil {
			return nil, err
		}
		o.Key = key
	}
	return g.open(o)
}

// freeName is the last name of the path, the name that content was stored under,
// or else its root, if nothing has that name here.
func freeName(cmd *cobra.Command, c *client.Client, root string, o *client.GetOptions) (string, error) {
	all, err := c.List(cmd.Context())
	if err != nil {
		return "", err
	}
	name := root
	for _, stored := range all {
		if stored.Root == root && stored.Name != "" {
			name = stored.Name
		}
	}
	if n := len(o.Path); n > 0 {
		name = o.Path[n-1]
	}
	if o.CAR {
		name += ".car"
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
