package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/perdure/perdure/client"
)

// newLsCommand returns the command that lists what was stored.
func newLsCommand(g *globals) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List what this home stored",
		Long: `List what this home stored. States: waiting (in the batch, not bid for), placing (bids are not on
chain yet), open (copies are under way), active (every copy is proven), partial (some are,
the others void), void; imported (another home stored it). Copies that a miner is late with
and copies that end soon are named on standard error.

With --watch the list is shown again whenever something in it changes, until it is stopped.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.openReader(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			if watch {
				return watchLs(cmd, g, c)
			}
			_, err = writeLs(cmd, g, c, "", "  ")
			return err
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "go on showing what changes")
	return cmd
}

// lsEvery is how often a watched list is looked at.
const lsEvery = 2 * time.Second

// watchLs shows the list whenever it has changed, until the command is stopped.
func watchLs(cmd *cobra.Command, g *globals, c *client.Client) error {
	tick := time.NewTicker(lsEvery)
	defer tick.Stop()
	last := ""
	for {
		var err error
		if last, err = writeLs(cmd, g, c, last, ""); err != nil && cmd.Context().Err() == nil {
			return err
		}
		select {
		case <-cmd.Context().Done():
			return nil
		case <-tick.C:
		}
	}
}

// writeLs writes the list unless it is the last one, and returns it. JSON is on
// one line unless it is indented.
func writeLs(cmd *cobra.Command, g *globals, c *client.Client, last, indent string) (string, error) {
	all, err := c.Status(cmd.Context())
	if err != nil {
		return last, err
	}
	var text strings.Builder
	if g.JSON {
		e := json.NewEncoder(&text)
		e.SetIndent("", indent)
		err = e.Encode(map[string]any{"items": all})
	} else {
		err = writeTable(&text, all)
	}
	if err != nil || text.String() == last {
		return last, err
	}
	if _, err := io.WriteString(cmd.OutOrStdout(), text.String()); err != nil {
		return last, err
	}
	for _, o := range all {
		for _, w := range o.Warnings {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", cmp.Or(o.Name, o.RootCID), w)
		}
	}
	return text.String(), nil
}

// writeTable shows the list to people.
func writeTable(to io.Writer, all []client.ObjectJSON) error {
	w := tabwriter.NewWriter(to, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ROOT\tSTATE\tCOPIES\tSIZE\tSTORED\tNAME\tNEXT")
	for _, o := range all {
		fmt.Fprintf(w, "%s\t%s\t%d/%d\t%s\t%s\t%s\t%s\n", o.RootCID, o.State, o.Active, o.Wanted, humanize.IBytes(o.Size),
			o.Stored.Format("2006-01-02 15:04"), o.Name, o.Next)
	}
	return w.Flush()
}
