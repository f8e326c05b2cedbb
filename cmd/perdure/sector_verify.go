package main

import (
	"encoding/hex"
	"fmt"
	"io"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/spf13/cobra"

	"github.com/perdure/perdure/post/exhibit"
)

// maxProofFile bounds the proof files that are read.
const maxProofFile = 256 << 20

// verifyOptions are the flags of sector verify: what the statement must say, where given.
type verifyOptions struct {
	commR, commD, seed bytes32
	minerID, number    uint64
}

// newSectorVerify returns the command that checks a proof file.
func newSectorVerify(g *globals) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify PROOF [--comm-r HEX --comm-d HEX --seed HEX --miner-id N --number N]",
		Short: "Check a proof that sector prove made",
		Long: `Check a proof file, - for standard input. Whatever is given by flags must be what the
proof is about. Exit code 1 if anything does not hold; the first challenge that does
not is named.

A proof of kind window shows that the replica behind CommR is held. The miner and
CommD that it names were not proven: the proof of sealing binds those to CommR.`,
		Example: "  perdure sector verify s1.proof --miner-id 1000 --number 1 --json",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runSectorVerify(cmd, g, o, args[0]) },
	}
	hexFlag(cmd, &o.commR, "comm-r", "CommR that the proof must be about")
	hexFlag(cmd, &o.commD, "comm-d", "CommD that the proof must be about")
	hexFlag(cmd, &o.seed, "seed", "randomness that the challenges must be drawn from")
	cmd.Flags().Uint64Var(&o.minerID, "miner-id", 0, "actor number that the proof must be about")
	cmd.Flags().Uint64Var(&o.number, "number", 0, "sector number that the proof must be about")
	return cmd
}

// verifyJSON is the answer of sector verify. What a file does not tell is null.
type verifyJSON struct {
	OK                bool          `json:"ok"`
	Kind              *exhibit.Kind `json:"kind"`
	FirstBadChallenge *int          `json:"firstBadChallenge"`
	Reason            *string       `json:"reason"`
	Challenges        *int          `json:"challenges"`
	SectorSize        *uint64       `json:"sectorSize"`
	MinerID           *uint64       `json:"minerId"`
	Number            *uint64       `json:"number"`
	CommD             *string       `json:"commD"`
	CommR             *string       `json:"commR"`
	Seed              *string       `json:"seed"`
}

func runSectorVerify(cmd *cobra.Command, g *globals, o verifyOptions, path string) error {
	in, err := openInput(cmd, path)
	if err != nil {
		return err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, maxProofFile+1))
	if err != nil {
		return fmt.Errorf("read proof file %s: %w", path, err)
	}
	answer := verifyFile(cmd, o, data)
	if g.JSON {
		err = writeJSON(cmd, answer)
	} else if answer.OK {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "ok: %s proof of sector %d of t0%d, %d challenges\n", *answer.Kind, *answer.Number, *answer.MinerID, *answer.Challenges)
	} else {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "not ok: %s\n", *answer.Reason)
	}
	if err == nil && !answer.OK {
		return refused()
	}
	return err
}

// verifyFile checks the bytes of a proof file against the flags that were given.
func verifyFile(cmd *cobra.Command, o verifyOptions, data []byte) verifyJSON {
	var answer verifyJSON
	fail := func(err error) verifyJSON {
		reason := err.Error()
		answer.Reason = &reason
		if first, ok := exhibit.FirstBad(err); ok {
			answer.FirstBadChallenge = &first
		}
		return answer
	}
	if len(data) > maxProofFile {
		return fail(fmt.Errorf("read proof file: more than %d bytes: %w", maxProofFile, exhibit.ErrFormat))
	}
	proof, err := exhibit.Decode(data)
	if err != nil {
		return fail(err)
	}
	answer.describe(proof)
	if err := o.matches(cmd, proof); err != nil {
		return fail(err)
	}
	if err := proof.Verify(); err != nil {
		return fail(err)
	}
	answer.OK = true
	return answer
}

// describe fills in what the proof is about.
func (a *verifyJSON) describe(e *exhibit.Exhibit) {
	number := uint64(e.Number)
	commD, commR, seed := hex.EncodeToString(e.CommD[:]), hex.EncodeToString(e.CommR[:]), hex.EncodeToString(e.Seed[:])
	a.Kind, a.Challenges, a.MinerID, a.Number = &e.Kind, &e.Challenges, &e.MinerID, &number
	a.CommD, a.CommR, a.Seed = &commD, &commR, &seed
	if size, err := e.ProofType.SectorSize(); err == nil {
		bytes := uint64(size)
		a.SectorSize = &bytes
	}
}

// matches compares the flags that were given with what the proof is about.
func (o verifyOptions) matches(cmd *cobra.Command, e *exhibit.Exhibit) error {
	for _, f := range []struct {
		name      string
		same      bool
		want, got any
	}{
		{"comm-r", o.commR == e.CommR, &o.commR, hex.EncodeToString(e.CommR[:])},
		{"comm-d", o.commD == e.CommD, &o.commD, hex.EncodeToString(e.CommD[:])},
		{"seed", o.seed == e.Seed, &o.seed, hex.EncodeToString(e.Seed[:])},
		{"miner-id", o.minerID == e.MinerID, o.minerID, e.MinerID},
		{"number", abi.SectorNumber(o.number) == e.Number, o.number, e.Number},
	} {
		if cmd.Flags().Changed(f.name) && !f.same {
			return fmt.Errorf("--%s %v: the proof is about %v", f.name, f.want, f.got)
		}
	}
	return nil
}
