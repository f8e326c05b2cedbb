package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/dustin/go-humanize"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/spf13/cobra"

	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/porep/seal"
)

// sealOptions are the flags of sector seal.
type sealOptions struct {
	size           string
	minerID        uint64
	number         uint64
	ticket         bytes32
	in             string
	dir            string
	parallel       int
	memory         string
	layersInMemory int
	parents        string
}

// newSectorSeal returns the command that seals sectors.
func newSectorSeal(g *globals) *cobra.Command {
	var o sealOptions
	cmd := &cobra.Command{
		Use:   "seal --size SIZE --miner-id N --number N --ticket HEX [--in FILE] --dir DIR",
		Short: "Seal a sector, or several together, in a directory",
		Long: `Seal a sector (Stacked DRG, registered proof V1_1) in a directory, which is made if it
does not exist. --in is raw data, at most 127/128 of the size, extended with zeros;
without it the sector holds zeros. A seal that was stopped goes on where it was when
the same command is given again.

--parallel N seals the N sectors from --number on together, each in a directory with
its number for a name inside --dir, all with the same data and ticket: labelling
several takes little longer than labelling one. A sector that fails drops out alone.

Labelling maps two layers of each sector into memory if --memory allows, and works
with less if it must. --parents names a directory for tables of parents (56 bytes for
each 32 of the size), which save computing them for every layer.

Commitments are printed as hex of the bytes as stored: field elements little-endian.
How far the seal is goes to standard error.`,
		Example: `  perdure sector seal --size 2KiB --miner-id 1000 --number 1 \
    --ticket 0101010101010101010101010101010101010101010101010101010101010101 --dir s1 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runSectorSeal(cmd, g, o) },
	}
	cmd.Flags().StringVar(&o.size, "size", "", "size of the sector: 2KiB, 8MiB, 512MiB, 32GiB or 64GiB")
	cmd.Flags().Uint64Var(&o.minerID, "miner-id", 0, "actor number of the miner (1000 for t01000)")
	cmd.Flags().Uint64Var(&o.number, "number", 0, "sector number, the first of --parallel")
	hexFlag(cmd, &o.ticket, "ticket", "randomness from before sealing, 32 bytes")
	cmd.Flags().StringVar(&o.in, "in", "", "raw data, - for standard input (default zeros)")
	cmd.Flags().StringVar(&o.dir, "dir", "", "directory of the sector")
	cmd.Flags().IntVar(&o.parallel, "parallel", 1, "sectors to seal together")
	cmd.Flags().StringVar(&o.memory, "memory", "", "memory for labelling, like 2GiB (default three quarters of the machine's)")
	cmd.Flags().IntVar(&o.layersInMemory, "layers-in-memory", 0, "layers that must be held in memory instead of mapped files: 0, 1 or 2; the layer before is in any case if --memory has room for both")
	cmd.Flags().StringVar(&o.parents, "parents", "", "directory for tables of parents (default none)")
	require(cmd, "size", "miner-id", "number", "ticket", "dir")
	return cmd
}

// sealJSON is the answer of sector seal for a sector.
type sealJSON struct {
	Number      *abi.SectorNumber `json:"number,omitempty"` // of --parallel
	CommD       string            `json:"commD"`
	CommR       string            `json:"commR"`
	CommC       string            `json:"commC"`
	CommRLast   string            `json:"commRLast"`
	ReplicaID   string            `json:"replicaId"`
	SealedCID   string            `json:"sealedCid"`
	UnsealedCID string            `json:"unsealedCid"`
}

func runSectorSeal(cmd *cobra.Command, g *globals, o sealOptions) error {
	configs, err := o.configs(newSealProgress(cmd.ErrOrStderr()))
	if err != nil {
		return usage(err)
	}
	sectors := make([]*seal.Sector, len(configs))
	tickets := make([][32]byte, len(configs))
	var commD [32]byte
	for i, cfg := range configs {
		if sectors[i], err = seal.Open(cfg); err != nil {
			return err
		}
		defer sectors[i].Close()
		if commD, err = fillSector(cmd, sectors[i], o.in); err != nil {
			return err
		}
		tickets[i] = o.ticket
	}
	results, errs := seal.Together(cmd.Context(), sectors, tickets)
	var answers []sealJSON
	for i, result := range results {
		switch {
		case errs[i] != nil:
		case result.CommD != commD:
			errs[i] = fmt.Errorf("%s: the sector holds other data (CommD %x) than what was given (%x)", configs[i].Dir, result.CommD, commD)
		default:
			answers = append(answers, newSealJSON(result))
			if o.parallel > 1 {
				answers[len(answers)-1].Number = &configs[i].Number
			}
		}
	}
	return errors.Join(append(errs, writeSeals(cmd, g, o.parallel, answers))...)
}

// configs returns the sectors that the flags ask for.
func (o *sealOptions) configs(progress *sealProgress) ([]seal.Config, error) {
	proof, err := sectorProof(o.size)
	if err != nil {
		return nil, fmt.Errorf("--size %s: %w", o.size, err)
	}
	if o.parallel < 1 {
		return nil, fmt.Errorf("--parallel %d: want at least 1", o.parallel)
	}
	if o.parallel > 1 && o.in == "-" {
		return nil, errors.New("--in -: standard input can be read for one sector only")
	}
	if o.layersInMemory < 0 || o.layersInMemory > 2 {
		return nil, fmt.Errorf("--layers-in-memory %d: want 0, 1 or 2", o.layersInMemory)
	}
	var memory uint64
	if o.memory != "" {
		if memory, err = humanize.ParseBytes(o.memory); err != nil || memory == 0 {
			return nil, fmt.Errorf("--memory %s: want a size like 2GiB", o.memory)
		}
	}
	configs := make([]seal.Config, o.parallel)
	for i := range configs {
		number := abi.SectorNumber(o.number + uint64(i))
		configs[i] = seal.Config{
			ProofType: proof, MinerID: o.minerID, Number: number, Dir: o.dir, Progress: progress.of(number),
			Memory: memory, LayersInMemory: o.layersInMemory, Parents: o.parents,
		}
		if o.parallel > 1 {
			configs[i].Dir = filepath.Join(o.dir, number.String())
		}
	}
	return configs, nil
}

func newSealJSON(r seal.Result) sealJSON {
	return sealJSON{
		CommD: hex.EncodeToString(r.CommD[:]), CommR: hex.EncodeToString(r.CommR[:]),
		CommC: hex.EncodeToString(r.CommC[:]), CommRLast: hex.EncodeToString(r.CommRLast[:]),
		ReplicaID: hex.EncodeToString(r.ReplicaID[:]),
		SealedCID: piece.SealedCID(r.CommR).String(), UnsealedCID: piece.UnsealedCID(r.CommD).String(),
	}
}

// writeSeals writes the sectors that were sealed; as JSON an object, or for --parallel a list.
func writeSeals(cmd *cobra.Command, g *globals, parallel int, answers []sealJSON) error {
	if g.JSON && parallel > 1 {
		return writeJSON(cmd, answers)
	}
	for _, a := range answers {
		if g.JSON {
			return writeJSON(cmd, a)
		}
		if a.Number != nil {
			fmt.Fprintf(cmd.OutOrStdout(), "sector        %d\n", *a.Number)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "CommD         %s\nCommR         %s\nCommC         %s\nCommRLast     %s\nreplica id    %s\nsealed CID    %s\nunsealed CID  %s\n",
			a.CommD, a.CommR, a.CommC, a.CommRLast, a.ReplicaID, a.SealedCID, a.UnsealedCID)
	}
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
