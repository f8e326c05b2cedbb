package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/client/view"
)

// newLsCommand returns the command that lists what was stored.
func newLsCommand(g *globals) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "ls [CID|NAME]",
		Short: "List what this home stored",
		Long: `List what this home stored. States: waiting (in the batch, not bid for), placing (bids are not on
chain yet), open (copies are under way), active (every copy is proven), partial (some are,
the others void), void; imported (another home stored it). Copies that a miner is late with
and copies that end soon are named on standard error. A piece in which several small files are
together is listed with their number and names; each of them is listed, too.

With a root or a name each copy of each piece of it is listed too: its state, why it is not stored
if it is not, the height until which the state can last, and when it will be stored if its miner
takes as long as miners lately did.

With --watch the list is shown again whenever something in it changes, until it is stopped.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := g.openReader(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			if watch {
				return watchLs(cmd, g, c, name)
			}
			_, err = writeLs(cmd, g, c, name, "", "  ")
			return err
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "go on showing what changes")
	return cmd
}

// lsEvery is how often a watched list is looked at.
const lsEvery = 2 * time.Second

// watchLs shows the list whenever it has changed, until the command is stopped.
func watchLs(cmd *cobra.Command, g *globals, c *client.Client, name string) error {
	tick := time.NewTicker(lsEvery)
	defer tick.Stop()
	last := ""
	for {
		var err error
		if last, err = writeLs(cmd, g, c, name, last, ""); err != nil && cmd.Context().Err() == nil {
			return err
		}
		select {
		case <-cmd.Context().Done():
			return nil
		case <-tick.C:
		}
	}
}

// writeLs writes the list, or of it what has a name or root, unless nothing in it differs
// from last, and returns what does not differ until something happens. JSON is on one
// line unless it is indented.
func writeLs(cmd *cobra.Command, g *globals, c *client.Client, name, last, indent string) (string, error) {
	all, err := listed(cmd.Context(), c, name)
	if err != nil {
		return last, err
	}
	now, err := timeless(all)
	if err != nil || now == last {
		return last, err
	}
	var text strings.Builder
	if g.JSON {
		e := json.NewEncoder(&text)
		e.SetIndent("", indent)
		err = e.Encode(map[string]any{"items": all})
	} else {
		err = writeTable(&text, all)
		for i := range all {
			if name != "" && err == nil {
				err = writeCopies(&text, all[i].CopyStates)
			}
		}
	}
	if err != nil {
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
	return now, nil
}

// listed are the records of the home with how they stand, or those with a name or root.
func listed(ctx context.Context, c *client.Client, name string) ([]view.Object, error) {
	stored, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]view.Object, 0, len(stored))
	for i := range stored {
		if o := view.StatusOf(&stored[i]); name == "" || o.Name == name || o.RootCID == name {
			all = append(all, o)
		}
	}
	if name != "" && len(all) == 0 {
		return nil, fmt.Errorf("%q: %w", name, files.ErrNoRecord)
	}
	return all, nil
}

// timeless is a list without the times that grow shorter by themselves.
func timeless(all []view.Object) (string, error) {
	out := slices.Clone(all)
	for i := range out {
		out[i].Next, out[i].Warnings = "", make([]string, len(out[i].Warnings))
		out[i].CopyStates = slices.Clone(out[i].CopyStates)
		for j := range out[i].CopyStates {
			c := &out[i].CopyStates[j]
			c.Left, c.ETA, c.Expected = 0, 0, 0
		}
	}
	text, err := json.Marshal(out)
	return string(text), err
}

// writeTable shows the list to people.
func writeTable(to io.Writer, all []view.Object) error {
	w := tabwriter.NewWriter(to, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ROOT\tSTATE\tCOPIES\tSIZE\tSTORED\tNAME\tNEXT")
	for _, o := range all {
		fmt.Fprintf(w, "%s\t%s\t%d/%d\t%s\t%s\t%s\t%s\n", o.RootCID, o.State, o.Active, o.Wanted, humanize.IBytes(o.Size),
			o.Stored.Format("2006-01-02 15:04"), title(&o), o.Next)
	}
	return w.Flush()
}

// titleNames is how many contents of a piece that several share are named.
const titleNames = 3

// title is what people call what was stored: of a piece that several contents share, what
// those are called.
func title(o *view.Object) string {
	switch {
	case o.Kind != files.KindBatch:
		return o.Name
	case len(o.Holds) == 0:
		return "several in one piece"
	}
	names := make([]string, 0, titleNames)
	for _, held := range o.Holds[:min(len(o.Holds), titleNames)] {
		names = append(names, cmp.Or(held.Name, held.RootCID))
	}
	text := fmt.Sprintf("%d in one piece: %s", len(o.Holds), strings.Join(names, ", "))
	if more := len(o.Holds) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// writeCopies shows how copies stand to people.
func writeCopies(to io.Writer, all []client.CopyStatus) error {
	if len(all) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(to, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "PIECE\tMINER\tDEAL\tSTATE\tUNTIL\tSTORED IN\tREASON")
	for _, c := range all {
		deal, until, eta := "", "", ""
		if c.Deal != 0 {
			deal = fmt.Sprint(c.Deal)
		}
		if c.Deadline != 0 {
			until = fmt.Sprintf("height %d, in %s", c.Deadline, seconds(c.Left))
		}
		if c.Expected != 0 {
			eta = seconds(c.ETA)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Part+1, c.Miner, deal, c.State, until, eta, c.Reason)
	}
	return w.Flush()
}

// seconds is a time for people.
func seconds(s float64) string { return client.Span(uint64(s*1000), 1) }
