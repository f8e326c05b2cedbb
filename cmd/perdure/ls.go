package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/perdure/perdure/client"
)

// newLsCommand returns the command that lists what was stored.
func newLsCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List what this home stored",
		Long: `List what this home stored. States: placing (bids are not on chain yet), open (copies are
under way), active (every copy is proven), partial (some are, the others void), void.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runLs(cmd, g) },
	}
}

func runLs(cmd *cobra.Command, g *globals) error {
	c, err := g.openReader(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	all, err := c.List(cmd.Context())
	if err != nil {
		return err
	}
	items := make([]client.ObjectJSON, len(all))
	for i, o := range all {
		items[i] = client.ShowObject(o)
	}
	if g.JSON {
		return writeJSON(cmd, map[string]any{"items": items})
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ROOT\tSTATE\tCOPIES\tSIZE\tSTORED\tNAME")
	for i, o := range all {
		wanted, active, _ := o.Count()
		fmt.Fprintf(w, "%s\t%s\t%d/%d\t%s\t%s\t%s\n", o.Root, items[i].State, active, wanted, humanize.IBytes(o.Size),
			o.Created.Format("2006-01-02 15:04"), o.Name)
	}
	return w.Flush()
}
