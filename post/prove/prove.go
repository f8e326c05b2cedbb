// Package prove builds window proofs from the directories of sealed sectors, as
// porep/seal leaves them, and finds sectors that cannot be proven before a proof
// is due. It reads what the challenges need and no more: for each of them a few
// kilobytes of the replica and the stored upper rows of its tree.
package prove

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime"

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
// sectors, in the same order. Sectors are read and proven on all cores at once.
// It ends with a [*SectorError] that names the first sector that cannot be read:
// the caller leaves that sector out, as skipped, and calls again. It does not
// verify what it made.
func Window(ctx context.Context, in post.WindowInput, dirs []string) ([]byte, error) {
	if len(dirs) != len(in.Sectors) {
		return nil, fmt.Errorf("prove window: %d directories for %d sectors", len(dirs), len(in.Sectors))
	}
	params, err := paramsOf(in.ProofType)
	if err == nil {
		err = in.Check()
	}
	if err != nil {
		return nil, fmt.Errorf("prove window: %w", err)
	}
	tree := post.Tree{Nodes: params.Nodes, Shape: params.Shape}
	parts := make([][]byte, len(dirs))
	err = inOrder(ctx, runtime.GOMAXPROCS(0), len(dirs), func(i int) error {
		part, err := sector(ctx, tree, in, i, dirs[i], params)
		if err != nil {
			return &SectorError{in.Sectors[i].Number, dirs[i], err}
		}
		parts[i] = part
		return nil
	})
	if ctx.Err() != nil {
		err = ctx.Err() // which is no sector's fault
	}
	if err != nil {
		return nil, fmt.Errorf("prove window: %w", err)
	}
	return tree.Join(in, parts)
}

// sector makes the part of a proof that concerns the sector at index i.
func sector(ctx context.Context, tree post.Tree, in post.WindowInput, i int, dir string, params porep.Params) ([]byte, error) {
	replica, err := open(dir, params, in.Sectors[i])
	if err != nil {
		return nil, err
	}
	defer replica.Close()
	return tree.ProveSector(in, i, source(ctx, replica))
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
	read := replica.Reader()
	return post.Source{
		CommC:     replica.CommC,
		CommRLast: replica.CommRLast,
		TreeRLast: func(row int, first uint64, out []merkle.Node) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return read(row, first, out)
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
