package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/client/link"
)

// newShareCommand returns the command that makes a link.
func newShareCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "share CID|NAME",
		Short: "Make a link by which somebody else gets content",
		Long: `Make a link to what this home stored, for another user's perdure get: its root, the bid by which
the chain knows who holds it, its name, and for private content the key. Send such a link
like a password: whoever has it can read the content, and that cannot be taken back. He
pays the miners himself.`,
		Example: "  perdure share photos",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := g.openReader(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			root, err := c.Find(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			l, err := c.Share(cmd.Context(), root)
			if err != nil {
				return err
			}
			return writeLink(cmd, g, l)
		},
	}
}

func writeLink(cmd *cobra.Command, g *globals, l link.Link) error {
	if l.Key != "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "the link holds the key: whoever has it can read the content")
	}
	if g.JSON {
		return writeJSON(cmd, map[string]any{"link": l.String(), "rootCid": l.Root.String(), "secret": l.Key != ""})
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), l)
	return err
}

// newKeyCommand returns the group of commands about the keys of private content.
func newKeyCommand(g *globals) *cobra.Command {
	return newGroup("key", "Back up the keys of private content", `Back up and restore the keys that open private content. They are in --home alone:
whoever loses it and has no backup has lost what it stored.`, newKeyExport(g), newKeyImport(g))
}

func newKeyExport(g *globals) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write all keys to a file",
		Long: `Write a link with the key for everything private that this home can open, one a line. Keep
the file as safe as the content; perdure key import reads it, in this home or another.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			c, err := g.openReader(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			to, done := cmd.OutOrStdout(), func() error { return nil }
			if output != "-" {
				f, err := os.OpenFile(output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
				if err != nil {
					return fmt.Errorf("export keys: %w", err)
				}
				to, done = f, func() error {
					if err := f.Sync(); err != nil {
						return err
					}
					return f.Close()
				}
			}
			n, err := c.ExportKeys(cmd.Context(), to)
			if err == nil {
				err = done()
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%d keys exported\n", n)
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "-", "file to write, which must not be there; - for standard output")
	return cmd
}

func newKeyImport(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE",
		Short: "Read keys from a file",
		Long: `Read links that perdure key export or perdure share wrote, one a line (- for standard input).
perdure get then opens what they are of. What is known already stays as it is.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := io.Reader(cmd.InOrStdin())
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return fmt.Errorf("import keys: %w", err)
				}
				defer f.Close()
				in = f
			}
			c, err := g.openReader(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			n, err := c.ImportKeys(cmd.Context(), in)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%d keys imported\n", n)
			return nil
		},
	}
}
