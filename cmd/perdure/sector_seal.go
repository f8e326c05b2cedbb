package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/spf13/cobra"

	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/porep/seal"
)

// sealOptions are the flags of sector seal.
type sealOptions struct {
	size    string
	minerID uint64
	number  uint64
	ticket  bytes32
	in      string
	dir     string
}

// newSectorSeal returns the command that seals a sector.
func newSectorSeal(g *globals) *cobra.Command {
	var o sealOptions
	cmd := &cobra.Command{
		Use:   "seal --size SIZE --miner-id N --number N --ticket HEX [--in FILE] --dir DIR",
		Short: "Seal a sector in a directory",
		Long: `Seal a sector (Stacked DRG, registered proof V1_1) in a directory, which is made if it
does not exist. --in is raw data, at most 127/128 of the size, extended with zeros;
without it the sector holds zeros. A seal that was stopped goes on where it was when
the same command is given again.

Commitments are printed as hex of the bytes as stored: field elements little-endian.`,
		Example: `  perdure sector seal --size 2KiB --miner-id 1000 --number 1 \
    --ticket 0101010101010101010101010101010101010101010101010101010101010101 --dir s1 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runSectorSeal(cmd, g, o) },
	}
	cmd.Flags().StringVar(&o.size, "size", "", "size of the sector: 2KiB or 8MiB")
	cmd.Flags().Uint64Var(&o.minerID, "miner-id", 0, "actor number of the miner (1000 for t01000)")
	cmd.Flags().Uint64Var(&o.number, "number", 0, "sector number")
	hexFlag(cmd, &o.ticket, "ticket", "randomness from before sealing, 32 bytes")
	cmd.Flags().StringVar(&o.in, "in", "", "raw data, - for standard input (default zeros)")
	cmd.Flags().StringVar(&o.dir, "dir", "", "directory of the sector")
	require(cmd, "size", "miner-id", "number", "ticket", "dir")
	return cmd
}

// sealJSON is the answer of sector seal.
type sealJSON struct {
	CommD       string `json:"commD"`
	CommR       string `json:"commR"`
	CommC       string `json:"commC"`
	CommRLast   string `json:"commRLast"`
	ReplicaID   string `json:"replicaId"`
	SealedCID   string `json:"sealedCid"`
	UnsealedCID string `json:"unsealedCid"`
}

func runSectorSeal(cmd *cobra.Command, g *globals, o sealOptions) error {
	proof, err := sectorProof(o.size)
	if err != nil {
		return usage(fmt.Errorf("--size %s: %w", o.size, err))
	}
	progress := ""
	sector, err := seal.Open(seal.Config{
		ProofType: proof, MinerID: o.minerID, Number: abi.SectorNumber(o.number), Dir: o.dir,
		Progress: func(step seal.Step, done, total uint64) {
			if line := string(step); line != progress {
				progress = line
				fmt.Fprintln(cmd.ErrOrStderr(), "sealing:", line)
			}
		},
	})
	if err != nil {
		return err
	}
	defer sector.Close()
	commD, err := fillSector(cmd, sector, o.in)
	if err != nil {
		return err
	}
	result, err := sector.Seal(cmd.Context(), o.ticket)
	if err != nil {
		return err
	}
	if result.CommD != commD {
		return fmt.Errorf("%s: the sector holds other data (CommD %x) than what was given (%x)", o.dir, result.CommD, commD)
	}
	answer := sealJSON{
		CommD: hex.EncodeToString(result.CommD[:]), CommR: hex.EncodeToString(result.CommR[:]),
		CommC: hex.EncodeToString(result.CommC[:]), CommRLast: hex.EncodeToString(result.CommRLast[:]),
		ReplicaID: hex.EncodeToString(result.ReplicaID[:]),
		SealedCID: piece.SealedCID(result.CommR).String(), UnsealedCID: piece.UnsealedCID(result.CommD).String(),
	}
	if g.JSON {
		return writeJSON(cmd, answer)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "CommD         %s\nCommR         %s\nCommC         %s\nCommRLast     %s\nreplica id    %s\nsealed CID    %s\nunsealed CID  %s\n",
		answer.CommD, answer.CommR, answer.CommC, answer.CommRLast, answer.ReplicaID, answer.SealedCID, answer.UnsealedCID)
	return nil
}

// sectorProof returns the registered proof of a size in words, like 8MiB.
func sectorProof(size string) (abi.RegisteredSealProof, error) {
	bytes, err := humanize.ParseBytes(size)
	if err != nil {
		return 0, err
	}
	return porep.ProofOfSize(bytes)
}

// fillSector writes the data of a file, or zeros, into a sector that holds none yet, and returns
// the CommD that a sector with this data has.
func fillSector(cmd *cobra.Command, sector *seal.Sector, path string) ([32]byte, error) {
	size := sector.Params().SectorSize()
	var hasher piece.Hasher
	if path != "" {
		in, err := openInput(cmd, path)
		if err != nil {
			return [32]byte{}, err
		}
		defer in.Close()
		if err := writeSector(cmd.Context(), sector, io.TeeReader(in, &hasher), size); err != nil {
			return [32]byte{}, fmt.Errorf("%s: %w", path, err)
		}
	}
	data, err := hasher.Sum().Piece()
	if err != nil {
		return [32]byte{}, err
	}
	if data.PaddedSize > size {
		return [32]byte{}, fmt.Errorf("%s: more than the %d bytes that the sector holds", path, piece.MaxPayload(size))
	}
	return piece.CommD([]piece.Piece{data}, size)
}

// writeSector writes data into a sector; where the sector has its data already it only reads.
func writeSector(ctx context.Context, sector *seal.Sector, data io.Reader, size uint64) error {
	err := sector.WriteData(ctx, []seal.Piece{{Data: data, PaddedSize: size}})
	if errors.Is(err, seal.ErrData) {
		_, err = io.Copy(io.Discard, data)
	}
	return err
}
