package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/client/view"
)

// newFundsCommand returns the group of commands about the client's money.
func newFundsCommand(g *globals) *cobra.Command {
	return newGroup("funds", "Pay ahead, get money back, see where it is", `Pay ahead, get money back, and see where it is and what fetching has cost.

None of it is needed to fetch: get opens and tops up payment channels by itself, and
perdure client run closes those that are of no use any more. A deposit saves the wait for
a block before the first chunk is paid.`,
		newFundsStatus(g), newFundsDeposit(g), newFundsWithdraw(g), newFundsTransfers(g))
}

// newFundsStatus returns the command that shows where the money is.
func newFundsStatus(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show what is free, what is locked where, and what fetching has cost", Args: cobra.NoArgs,
		Long: `Show what the account has free, what is locked in payment channels, bids and deals of
this home, to the attoPDR, and what fetching has cost, by object and by seller. Of a
channel's balance "promised" is the miner's, which has not redeemed it yet.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runFundsStatus(cmd, g) },
	}
}

func runFundsStatus(cmd *cobra.Command, g *globals) error {
	c, err := g.openClient(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	f, err := c.Funds(cmd.Context())
	if err != nil {
		return err
	}
	transfers, err := c.Transfers(cmd.Context())
	if err != nil {
		return err
	}
	shown, err := view.FundsOf(f, transfers)
	if err != nil {
		return err
	}
	if g.JSON {
		return writeJSON(cmd, shown)
	}
	return printFunds(cmd.OutOrStdout(), &shown)
}

// printFunds writes the money for people.
func printFunds(out io.Writer, f *view.Funds) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "address\t%s\naccount\t%s\nlocked\t%s\ntotal\t%s\nspent\t%s on %d transfer(s), %s\n", f.Address, f.Account.Human(),
		f.Locked.Human(), f.Total.Human(), f.Spent.Paid.Human(), f.Spent.Transfers, humanize.IBytes(f.Spent.Bytes))
	if len(f.Channels) > 0 {
		fmt.Fprintln(w, "\nCHANNEL\tSTATE\tPAYEE\tBALANCE\tPROMISED\tREDEEMED")
	}
	for _, ch := range f.Channels {
		promised := "?"
		if ch.Promised != nil {
			promised = ch.Promised.Human()
		}
		state := ch.State
		if ch.Ahead && ch.SettleAt == 0 {
			state = "deposit"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", ch.ID, state, ch.Payee, ch.Balance.Human(), promised, ch.Redeemed.Human())
	}
	for _, held := range []struct {
		title string
		all   []view.Locked
	}{{"BID", f.Orders}, {"DEAL", f.Deals}} {
		if len(held.all) > 0 {
			fmt.Fprintf(w, "\n%s\tLOCKED\tOF\n", held.title)
		}
		for _, l := range held.all {
			fmt.Fprintf(w, "%d\t%s\t%s\n", l.ID, l.Amount.Human(), l.RootCID)
		}
	}
	for _, spent := range []struct {
		title string
		all   []view.SpentOn
	}{{"OBJECT", f.Spent.Objects}, {"SELLER", f.Spent.Sellers}} {
		if len(spent.all) > 0 {
			fmt.Fprintf(w, "\n%s\tTRANSFERS\tSIZE\tCHUNKS\tPAID\n", spent.title)
		}
		for _, s := range spent.all {
			name := s.RootCID + s.Peer
			if s.Miner != "" {
				name = s.Miner
			}
			fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%s\n", name, s.Transfers, humanize.IBytes(s.Bytes), s.Chunks, s.Paid.Human())
		}
	}
	return w.Flush()
}

// newFundsDeposit returns the command that pays ahead.
func newFundsDeposit(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "deposit AMOUNT [CID...]", Short: "Put money into payment channels ahead of need",
		Long: `Put money into the payment channels to the miners that store these payloads, or everything
that this home stored, the same to each. Each miner is asked whom to pay; one that does not
answer gets nothing. The money stays there until funds withdraw.`,
		Example: "  perdure funds deposit 0.5PDR",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runFundsDeposit(cmd, g, args) },
	}
}

func runFundsDeposit(cmd *cobra.Command, g *globals, args []string) error {
	amount, err := chain.ParseAmount(args[0])
	if err != nil {
		return usage(err)
	}
	var roots []cid.Cid
	for _, text := range args[1:] {
		root, err := client.ParseRoot(text)
		if err != nil {
			return usage(fmt.Errorf("%q is no CID: %w", text, err))
		}
		roots = append(roots, root)
	}
	c, err := g.openClient(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	r, err := c.Deposit(cmd.Context(), amount, roots...)
	if err != nil {
		return err
	}
	return answer(cmd, g, view.DepositOf(r))
}

// newFundsWithdraw returns the command that gets money back.
func newFundsWithdraw(g *globals) *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use: "withdraw", Short: "Close all payment channels and get what is left back", Args: cobra.NoArgs,
		Long: `Settle all payment channels of this home and collect those whose settle delay is over. Within
the delay the miners redeem what they were promised. perdure client run collects the rest by
itself, or this command given again; with --wait it returns when all is collected.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.openClient(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			all, err := c.Withdraw(cmd.Context(), wait)
			if err != nil {
				return err
			}
			return answer(cmd, g, map[string]any{"channels": view.WithdrawnOf(all)})
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "return when everything is collected")
	return cmd
}

// newFundsTransfers returns the command that lists what was fetched.
func newFundsTransfers(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "transfers", Short: "List what was fetched, and what each fetch cost", Args: cobra.NoArgs,
		Long: `List the last ten thousand fetches of this home, oldest first. With --json each has its sellers.
State open is one that is under way, or whose process was killed: what it cost may then be
up to some seconds out of date.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runFundsTransfers(cmd, g) },
	}
}

func runFundsTransfers(cmd *cobra.Command, g *globals) error {
	c, err := g.openReader(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	all, err := c.Transfers(cmd.Context())
	if err != nil {
		return err
	}
	items := make([]view.Transfer, len(all))
	for i, t := range all {
		items[i] = view.TransferOf(t)
	}
	if g.JSON {
		return writeJSON(cmd, map[string]any{"items": items})
	}
	return printTransfers(cmd.OutOrStdout(), all, items)
}

func printTransfers(out io.Writer, all []*files.Transfer, items []view.Transfer) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "STARTED\tSTATE\tSIZE\tCHUNKS\tPAID\tSELLERS\tOBJECT")
	for i, t := range items {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%d\t%s\n", all[i].Started.Format("2006-01-02 15:04:05"), t.State, humanize.IBytes(t.Bytes), t.Chunks,
			t.Paid.Human(), len(t.Sellers), t.RootCID+t.Path)
	}
	return w.Flush()
}
