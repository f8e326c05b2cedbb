package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/porep/seal"
)

// newSectorUnseal returns the command that gets a sector's data back.
func newSectorUnseal(*globals) *cobra.Command {
	var dir, out string
	cmd := &cobra.Command{
		Use:   "unseal --dir DIR -o FILE",
		Short: "Get the data of a sealed sector back",
		Long: `Write the raw bytes of a whole sector: what was given to sector seal, followed by the
zeros that extend it to 127/128 of the sector's size. -o - writes to standard output.`,
		Example: "  perdure sector unseal --dir s1 -o data",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			sector, err := seal.Find(dir)
			if err != nil {
				return err
			}
			return writeOutput(cmd, out, func(w io.Writer) error { return sector.Unseal(cmd.Context(), w) })
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "directory of the sector")
	cmd.Flags().StringVarP(&out, "output", "o", "", "file to write, - for standard output")
	require(cmd, "dir", "output")
	return cmd
}
