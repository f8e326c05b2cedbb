package post

import (
	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
)

// Tree is the tree over the replicas of sectors of one size: all of the size that
// proofs of spacetime depend on. The package's functions take that of a
// registered proof from [TreeOf]. Its methods are the same checks for any tree,
// whatever the proof type of the statement; tests use them with the shapes of
// large sectors and few nodes:
//
//	tree := post.Tree{Nodes: params.Nodes, Shape: params.Shape} // of any porep.Params
type Tree struct {
	Nodes uint64       // leaves, of 32 bytes each
	Shape merkle.Shape // arities, which the leaves must fill exactly
}

// TreeOf returns the tree of a registered window proof of version V1_1. For any
// other it fails with [ErrProofType].
func TreeOf(proof abi.RegisteredPoStProof) (Tree, error) {
	seal, err := SealProof(proof)
	if err != nil {
		return Tree{}, err
	}
	params, err := porep.ParamsOf(seal)
	return Tree{Nodes: params.Nodes, Shape: params.Shape}, err
}

// MaxProofSize returns the size in bytes of a proof in which no opening shares
// anything: no valid proof of that many sectors and challenges (0 means
// DefaultChallenges) is longer.
func MaxProofSize(proof abi.RegisteredPoStProof, sectors, count int) (int, error) {
	tree, err := TreeOf(proof)
	if err != nil {
		return 0, err
	}
	return tree.MaxProofSize(sectors, count)
}

// MaxProofSize is the package's [MaxProofSize] for this tree.
func (t Tree) MaxProofSize(sectors, count int) (int, error) {
	count, err := challenges(count)
	if err != nil {
		return 0, err
	}
	arities, err := t.Shape.Arities(t.Nodes)
	if err != nil {
		return 0, err
	}
	nodes := 1
	for _, arity := range arities {
		nodes += arity - 1
	}
	return headerSize + sectors*(2+count*nodes)*merkle.NodeSize, nil
}
