// Package prove builds window proofs from the directories of sealed sectors, as
// porep/seal leaves them, and finds sectors that cannot be proven before a proof
// is due. It reads what the challenges need and no more: for each of them a few
// kilobytes of the replica and the stored upper rows of its tree.
package prove

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/seal"
	"github.com/perdure/perdure/post"
)

// SectorError says which sector could not be read or proven, and where it lives;
// the error below names the file where one is at fault.
type SectorError struct {
	Sector abi.SectorNumber
	Dir    string
	Err    error
}

func (e *SectorError) Error() string {
	return fmt.Sprintf("sector %d in %s: %v", e.Sector, e.Dir, e.Err)
}

// Unwrap returns the reason.
func (e *SectorError) Unwrap() error { return e.Err }

// Window builds the proof of a statement; dirs are the directories of its
// sectors, in the same order. It stops at the first sector that it cannot read
// with a [*SectorError]: the caller leaves that sector out, as skipped, and calls
// again. It does not verify what it made.
func Window(ctx context.Context, in post.WindowInput, dirs []string) ([]byte, error) {
	if len(dirs) != len(in.Sectors) {
		return nil, fmt.Errorf("prove window: %d directories for %d sectors", len(dirs), len(in.Sectors))
	}
	params, err := paramsOf(in.ProofType)
	if err != nil {
		return nil, fmt.Errorf("prove window: %w", err)
	}
	sources := make([]post.Source, len(dirs))
	for i, dir := range dirs {
		replica, err := open(dir, params, in.Sectors[i])
		if err != nil {
			return nil, fmt.Errorf("prove window: %w", &SectorError{in.Sectors[i].Number, dir, err})
		}
		defer replica.Close()
		sources[i] = source(ctx, replica)
	}
	proof, err := post.Prove(in, sources)
	var bad *post.SectorError
	if errors.As(err, &bad) {
		for i, sector := range in.Sectors {
			if sector.Number == bad.Sector {
				return nil, fmt.Errorf("prove window: %w", &SectorError{sector.Number, dirs[i], bad})
			}
		}
	}
	return proof, err
}

// Check reports whether a sector can be proven: that its files are there and
// whole in size, that CommC and CommRLast give CommR, and that samples leaves
// (0 means post.DefaultChallenges) drawn at random hash up to CommRLast through
// the stored tree. It finds missing and grossly damaged files at once; a single
// bad block of a large sector only if a sample meets it. What it finds is a
// [*SectorError].
func Check(ctx context.Context, proof abi.RegisteredPoStProof, sector post.Sector, dir string, samples int) error {
	in := post.WindowInput{ProofType: proof, Challenges: samples, Sectors: []post.Sector{sector}}
	if _, err := rand.Read(in.Randomness[:]); err != nil {
		return fmt.Errorf("check sector %d: %w", sector.Number, err)
	}
	made, err := Window(ctx, in, []string{dir})
	if err != nil {
		return err
	}
	if err := post.Verify(in, made); err != nil {
		return fmt.Errorf("check: %w", &SectorError{sector.Number, dir, err})
	}
	return nil
}

// open opens a replica and compares its commitments with the sector's.
func open(dir string, params porep.Params, sector post.Sector) (*seal.Replica, error) {
	replica, err := seal.OpenReplica(dir, params)
	if err != nil {
		return nil, err
	}
	if err := porep.CheckCommR(sector.CommR, replica.CommC, replica.CommRLast); err != nil {
		replica.Close()
		return nil, err
	}
	return replica, nil
}

func source(ctx context.Context, replica *seal.Replica) post.Source {
	return post.Source{
		CommC:     replica.CommC,
		CommRLast: replica.CommRLast,
		TreeRLast: func(row int, first uint64, out []merkle.Node) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return replica.TreeRLast(row, first, out)
		},
	}
}

func paramsOf(proof abi.RegisteredPoStProof) (porep.Params, error) {
	sealProof, err := post.SealProof(proof)
	if err != nil {
		return porep.Params{}, err
	}
	return porep.ParamsOf(sealProof)
}
