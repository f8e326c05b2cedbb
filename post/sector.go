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

// Opening is one leaf of the tree over the replica, a node of the sealed sector as
// it is stored, and its path. Path[level] has the siblings of the node on the way
// at that level, bottom up: all children of its parent from left to right but
// the node itself. In an octree these are 7 a level. Sectors of 32 GiB have 9
// levels of 7 in a base tree and then one of 7 that joins the 8 base trees;
// sectors of 64 GiB have one more of 1. Where the node itself belongs is not said,
// for it follows from the index of the challenged leaf.
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
// many as are demanded, each at the leaf that [Leaves] names, in the same order,
// with a path of the exact form that hashes up to CommRLast, and that CommC and
// CommRLast give CommR. What does not hold is a [*SectorError], except for an
// unknown proof type ([ErrProofType]).
func VerifySector(in SectorInput, openings []Opening) error {
	tree, err := TreeOf(in.ProofType)
	if err != nil {
		return fmt.Errorf("verify sector %d: %w", in.SectorNumber, err)
	}
	return tree.VerifySector(in, openings)
}

// VerifySector is the package's [VerifySector] for this tree.
func (t Tree) VerifySector(in SectorInput, openings []Opening) error {
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
	leaves := Leaves(in.Randomness, in.SectorNumber, t.Nodes, count)
	if t.openTogether(in.CommRLast, leaves, openings) == nil {
		return nil
	}
	// Something is wrong; one by one says what.
	hasher := merkle.NewMemo(poseidon.Tree{})
	for i, leaf := range leaves {
		root, err := merkle.Root(hasher, t.Shape, t.Nodes, leaf, openings[i].Leaf, openings[i].Path)
		if err != nil {
			return bad(i, leaf, err)
		}
		if root != in.CommRLast {
			return bad(i, leaf, merkle.ErrOpening)
		}
	}
	return nil
}

// openTogether checks openings at leaves under a root in one batch.
func (t Tree) openTogether(root [32]byte, leaves []uint64, openings []Opening) error {
	batch := merkle.NewBatch(poseidon.Tree{})
	tree, err := batch.Tree(t.Shape, t.Nodes, root)
	if err != nil {
		return err
	}
	for i, leaf := range leaves {
		if err := tree.OpenPath(leaf, openings[i].Leaf, openings[i].Path); err != nil {
			return err
		}
	}
	return batch.Check()
}
