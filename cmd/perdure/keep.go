package main

import (
	"bufio"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/client/view"
)

// newRenewCommand returns the command that stores content for longer.
func newRenewCommand(g *globals) *cobra.Command {
	var o client.RenewOptions
	var price amount
	var duration string
	cmd := &cobra.Command{
		Use:   "renew CID|NAME",
		Short: "Store content for longer",
		Long: `Store what this home put for further terms: the chain bids for each of them before the one
before ends, and pays it from what the account has then. If it is too late for that a new bid is
placed which the miners that hold copies alone may take; nothing is sent to them again.

Contents that share a piece are renewed together.`,
		Example: `  perdure renew photos --terms 4
  perdure renew bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi --duration 90d`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.Count == 0 {
				return usage(errors.New("--terms: at least one; perdure rm stops the renewal"))
			}
			o.MaxPrice = chain.Amount(price)
			if duration != "" {
				if o.Duration, err = client.ParseDuration(duration); err != nil {
					return usage(fmt.Errorf("--duration %w", err))
				}
			}
			return runRenew(cmd, g, args[0], o)
		},
	}
	cmd.Flags().Uint64Var(&o.Count, "terms", 1, "further terms of every copy")
	cmd.Flags().StringVar(&duration, "duration", "", "of each term, like 600b, 30m or 7d (default as it was put)")
	cmd.Flags().Var(&price, "max-price", "most attoPDR per GiB per block (default as it was put)")
	return cmd
}

func runRenew(cmd *cobra.Command, g *globals, name string, o client.RenewOptions) error {
	c, err := g.openClient(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	root, err := c.Find(cmd.Context(), name)
	if err != nil {
		return err
	}
	r, err := c.Renew(cmd.Context(), root.String(), o)
	if err != nil {
		return err
	}
	if g.JSON {
		bids := make([]view.Object, len(r.Bids))
		for i, b := range r.Bids {
			bids[i] = view.ObjectOf(b)
		}
		return writeJSON(cmd, map[string]any{"rootCid": root.String(), "renewed": numbers(r.Set), "bids": bids, "others": r.Others})
	}
	w := cmd.OutOrStdout()
	if len(r.Set) > 0 {
		fmt.Fprintf(w, "deals %v will be renewed before they end\n", r.Set)
	}
	for _, b := range r.Bids {
		fmt.Fprintf(w, "a new bid for %d copies is placed; perdure ls shows what comes of it\n", b.Copies)
	}
	if r.Others > 0 {
		fmt.Fprintf(w, "%d other contents are in the same piece and are renewed with it\n", r.Others)
	}
	return nil
}

// numbers is a list that JSON never shows as null.
func numbers(n []uint64) []uint64 { return append([]uint64{}, n...) }

// newRmCommand returns the command that forgets content.
func newRmCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "rm CID|NAME",
		Short: "Stop storing content, and forget it",
		Long: `Cancel the bids for content that still stand, stop the renewal of its copies, and forget it:
also its key, without which nobody can read private content any more.

What cannot be undone stays: a deal that was made goes on to its end and is paid for, whoever
fetched public content has it, and the chain's history says what was stored and by whom.
The command lists the deals that go on. A piece that other contents share goes on as it is.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runRm(cmd, g, args[0]) },
	}
}

func runRm(cmd *cobra.Command, g *globals, name string) error {
	c, err := g.openClient(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	root, err := c.Find(cmd.Context(), name)
	if err == nil {
		err = consent(cmd, g, fmt.Sprintf("Forget %s, and its key? [y/N] ", root))
	}
	if err != nil {
		return err
	}
	r, err := c.Remove(cmd.Context(), root.String())
	if err != nil {
		return err
	}
	if g.JSON {
		stay := r.Stay
		if stay == nil {
			stay = []files.Deal{}
		}
		return writeJSON(cmd, map[string]any{"rootCid": root.String(), "cancelled": numbers(r.Cancelled), "stopped": numbers(r.Stopped),
			"stay": stay, "others": r.Others})
	}
	w := cmd.OutOrStdout()
	if len(r.Cancelled) > 0 {
		fmt.Fprintf(w, "bids %v are cancelled, and what they locked is repaid\n", r.Cancelled)
	}
	if len(r.Stopped) > 0 {
		fmt.Fprintf(w, "deals %v are not renewed any more\n", r.Stopped)
	}
	for _, d := range r.Stay {
		fmt.Fprintf(w, "deal %d with t0%d goes on", d.ID, d.Miner)
		if d.End > 0 {
			fmt.Fprintf(w, " to height %d", d.End)
		}
		fmt.Fprintln(w)
	}
	if r.Others > 0 {
		fmt.Fprintf(w, "%d other contents are in the same piece, which goes on with them\n", r.Others)
	}
	return nil
}

// consent asks on a terminal, unless --yes is given.
func consent(cmd *cobra.Command, g *globals, question string) error {
	in, ok := cmd.InOrStdin().(interface{ Fd() uintptr })
	if g.Yes || g.JSON || !ok || !term.IsTerminal(int(in.Fd())) {
		return nil
	}
	fmt.Fprint(cmd.ErrOrStderr(), question)
	line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); err != nil || answer != "y" && answer != "yes" {
		return errors.New("nothing was done")
	}
	return nil
}
