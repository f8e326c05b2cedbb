package main

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/client/view"
)

// runPutMany stores several paths.
func runPutMany(cmd *cobra.Command, g *globals, paths []string, f *putFlags) error {
	return f.storeMany(cmd, g, func(c *client.Client) (*client.ManyResult, error) {
		return c.PutMany(cmd.Context(), paths, f.PutOptions)
	})
}

// runFlush stores what waits.
func runFlush(cmd *cobra.Command, g *globals, f *putFlags) error {
	return f.storeMany(cmd, g, func(c *client.Client) (*client.ManyResult, error) {
		return c.Flush(cmd.Context(), f.PutOptions)
	})
}

// storeMany stores and shows what became of each content.
func (f *putFlags) storeMany(cmd *cobra.Command, g *globals, store func(*client.Client) (*client.ManyResult, error)) error {
	c, err := g.openClient(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	errs := cmd.ErrOrStderr()
	f.Event = tell(errs)
	f.Approve = func(q *client.Quote) error { return approve(cmd, g, q) }
	r, err := store(c)
	if err != nil {
		if r != nil && len(r.Stored) > 0 {
			fmt.Fprintln(errs, "what was placed is recorded; give the same command again, or run perdure client run, to go on")
		}
		return err
	}
	if err := writeObjects(cmd, g, r.Objects); err != nil || f.NoWait || r.Complete() {
		return err
	}
	for _, stored := range r.Stored {
		for _, problem := range stored.Problems() {
			fmt.Fprintln(errs, problem)
		}
	}
	return refused()
}

// writeObjects shows records: their roots and names to people.
func writeObjects(cmd *cobra.Command, g *globals, all []*files.Object) error {
	if g.JSON {
		items := make([]view.Object, len(all))
		for i, o := range all {
			items[i] = view.ObjectOf(o)
		}
		return writeJSON(cmd, map[string]any{"items": items})
	}
	for _, o := range all {
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n", o.Root, o.Name); err != nil {
			return err
		}
	}
	return nil
}

// batchFlags are the flags that say when a batch is flushed.
type batchFlags struct {
	size size
	age  time.Duration
}

func (b *batchFlags) add(f *pflag.FlagSet) {
	f.Var(&b.size, "batch-size", "archives that wait in the batch and are flushed together (default half of the largest piece)")
	f.DurationVar(&b.age, "batch-age", 0, "age of the oldest that waits at which the batch is flushed (default 1h)")
}

func (b *batchFlags) batch() client.Batch { return client.Batch{Bytes: uint64(b.size), Age: b.age} }

// runBatch lets paths wait, and stores what waits once it is enough.
func runBatch(cmd *cobra.Command, g *globals, paths []string, f *putFlags) error {
	c, err := g.openClient(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	var added []*files.Object
	for _, path := range paths {
		o, err := c.AddToBatch(cmd.Context(), path, f.PutOptions)
		if err != nil {
			return err
		}
		added = append(added, o)
	}
	due, err := c.Due(cmd.Context(), f.due.batch())
	if err != nil {
		return err
	}
	if due {
		r, err := c.Flush(cmd.Context(), client.PutOptions{NoWait: true})
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "the batch was due: %d objects are bid for in %d pieces; perdure client run serves the miners\n", len(r.Objects), len(r.Stored))
	} else {
		var bytes uint64
		for _, o := range added {
			bytes += o.Size
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%s wait to be stored: perdure put --flush does it now\n", humanize.IBytes(bytes))
	}
	return writeObjects(cmd, g, added)
}
