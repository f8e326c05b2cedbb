package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/porep/seal"
)

// unsealOptions are the flags of sector unseal.
type unsealOptions struct {
	dir, out       string
	offset, length uint64
}

// newSectorUnseal returns the command that gets a sector's data back.
func newSectorUnseal(*globals) *cobra.Command {
	var o unsealOptions
	cmd := &cobra.Command{
		Use:   "unseal --dir DIR [--offset N] [--length N] -o FILE",
		Short: "Get the data of a sealed sector back",
		Long: `Write the raw bytes of a sector: what was given to sector seal, followed by the zeros
that extend it to 127/128 of the sector's size. --offset and --length write a range of
them. -o - writes to standard output.

What it costs depends on what the directory holds. If the file unsealed is there, the
range is read from it. Otherwise the range is decoded from the replica with the labels
of the last layer: if their file is there, only its part for the range is read; if not,
all layers are labelled anew first, whatever the length, which takes as long as it took
when the sector was sealed; two layers stand in TMPDIR meanwhile.`,
		Example: `  perdure sector unseal --dir s1 -o data
  perdure sector unseal --dir s1 --offset 1040384 --length 4096 -o part`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runSectorUnseal(cmd, o) },
	}
	cmd.Flags().StringVar(&o.dir, "dir", "", "directory of the sector")
	cmd.Flags().Uint64Var(&o.offset, "offset", 0, "first raw byte to write")
	cmd.Flags().Uint64Var(&o.length, "length", 0, "raw bytes to write (default all that follow)")
	cmd.Flags().StringVarP(&o.out, "output", "o", "", "file to write, - for standard output")
	require(cmd, "dir", "output")
	return cmd
}

func runSectorUnseal(cmd *cobra.Command, o unsealOptions) error {
	sector, err := seal.Find(o.dir)
	if err != nil {
		return err
	}
	length := o.length
	if !cmd.Flags().Changed("length") {
		size := piece.MaxPayload(sector.Params().SectorSize())
		length = size - min(o.offset, size)
	}
	return writeOutput(cmd, o.out, func(w io.Writer) error {
		return sector.UnsealRange(cmd.Context(), w, o.offset, length)
	})
}
