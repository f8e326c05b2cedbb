package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/porep/piece"
)

// newPieceCommand returns the group of commands about pieces.
func newPieceCommand(g *globals) *cobra.Command {
	return newGroup("piece", "Work with pieces offline", "", newPieceCommp(g))
}

// newPieceCommp returns the command that computes a piece commitment.
func newPieceCommp(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "commp FILE",
		Short: "Compute the piece CID of a file's raw bytes",
		Long: `Compute the piece CID (CommP) of a file's raw bytes, extended with zeros to
127 x 2^k bytes and padded, as Filecoin defines it. FILE may be - for standard input.
Memory does not grow with the file.`,
		Example: `  perdure piece commp archive.car
  perdure piece commp - --json < archive.car`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runPieceCommp(cmd, g, args[0]) },
	}
}

// pieceJSON is a piece in a command's answer.
type pieceJSON struct {
	PieceCID    string `json:"pieceCid"`
	PaddedSize  uint64 `json:"paddedSize"`
	PayloadSize uint64 `json:"payloadSize"`
}

func runPieceCommp(cmd *cobra.Command, g *globals, path string) error {
	in, err := openInput(cmd, path)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := piece.Commit(in)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if g.JSON {
		return writeJSON(cmd, pieceJSON{info.CID.String(), info.PaddedSize, info.PayloadSize})
	}
	fmt.Fprintf(cmd.OutOrStdout(), "piece CID     %s\npadded size   %d\npayload size  %d\n", info.CID, info.PaddedSize, info.PayloadSize)
	return nil
}

// openInput opens a file for reading; - is standard input.
func openInput(cmd *cobra.Command, path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(cmd.InOrStdin()), nil
	}
	return os.Open(path)
}
