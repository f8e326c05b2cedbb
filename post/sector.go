package post

import (
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/poseidon"
)

// SectorInput is the statement that one sector was held, with the two roots that
// CommR joins.
type SectorInput struct {
	ProofType    abi.RegisteredPoStProof
	SectorNumber abi.SectorNumber
	CommR        [32]byte // of the sector, from the chain
	Randomness   [32]byte // of the window, as drawn
	CommC        [32]byte // as the prover claims it
	CommRLast    [32]byte // as the prover claims it
	Challenges   int      // openings demanded; 0 means DefaultChallenges
}

// Opening is one leaf of the tree over the replica and its path: for each level,
// bottom up, the siblings in order, the own place left out.
type Opening struct {
	Leaf [32]byte
	Path [][][32]byte
}

// SectorError says which sector of a proof, and which of its challenges, is the
// first that does not hold, and why.
type SectorError struct {
	Sector    abi.SectorNumber
	Challenge int    // from 0; -1 if the sector's commitments are at fault
	Leaf      uint64 // the challenged leaf
	Err       error
}

func (e *SectorError) Error() string {
	if e.Challenge < 0 {
		return fmt.Sprintf("sector %d: %v", e.Sector, e.Err)
	}
	return fmt.Sprintf("sector %d: challenge %d (leaf %d): %v", e.Sector, e.Challenge, e.Leaf, e.Err)
}

// Unwrap returns the reason.
func (e *SectorError) Unwrap() error { return e.Err }

// VerifySector checks that the openings answer the challenges of a sector: as
// many as are demanded, each at the leaf that the randomness names, with a path
// of the exact form that hashes up to CommRLast, and that CommC and CommRLast
// give CommR. What does not hold is a [*SectorError], except for an unknown proof
// type ([ErrProofType]).
func VerifySector(in SectorInput, openings []Opening) error {
	tree, err := replicaOf(in.ProofType)
	if err != nil {
		return fmt.Errorf("verify sector %d: %w", in.SectorNumber, err)
	}
	return tree.verifySector(in, openings)
}

func (t replica) verifySector(in SectorInput, openings []Opening) error {
	bad := func(challenge int, leaf uint64, err error) error {
		return fmt.Errorf("verify window: %w", &SectorError{in.SectorNumber, challenge, leaf, err})
	}
	count, err := challenges(in.Challenges)
	if err != nil {
		return bad(-1, 0, err)
	}
	if len(openings) != count {
		return bad(-1, 0, fmt.Errorf("%d openings, want %d: %w", len(openings), count, ErrChallenges))
	}
	if err := porep.CheckCommR(in.CommR, in.CommC, in.CommRLast); err != nil {
		return bad(-1, 0, err)
	}
	hasher := merkle.NewMemo(poseidon.Tree{})
	for i, leaf := range Leaves(in.Randomness, in.SectorNumber, t.nodes, count) {
		root, err := merkle.Root(hasher, t.shape, t.nodes, leaf, openings[i].Leaf, openings[i].Path)
		if err != nil {
			return bad(i, leaf, err)
		}
		if root != in.CommRLast {
			return bad(i, leaf, merkle.ErrOpening)
		}
	}
	return nil
}
