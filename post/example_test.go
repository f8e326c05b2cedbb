package post_test

import (
	"fmt"
	"slices"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/porep/poseidon"
	"github.com/perdure/perdure/post"
)

// A sector of 2 KiB has a replica of 64 nodes and a tree of two levels of 8. Here the replica is all
// zeros, so that the nodes of each row are the same and every path is.
func ExampleVerifySector() {
	var leaf, commC [32]byte
	row1, err := poseidon.Hash(slices.Repeat([][32]byte{leaf}, 8))
	if err != nil {
		panic(err)
	}
	commRLast, err := poseidon.Hash(slices.Repeat([][32]byte{row1}, 8))
	if err != nil {
		panic(err)
	}
	commR, err := poseidon.Hash([][32]byte{commC, commRLast})
	if err != nil {
		panic(err)
	}
	in := post.SectorInput{
		ProofType:    abi.RegisteredPoStProof_StackedDrgWindow2KiBV1_1,
		SectorNumber: 132,
		CommR:        commR,
		Randomness:   [32]byte{1, 2, 3},
		CommC:        commC,
		CommRLast:    commRLast,
		Challenges:   4,
	}
	var openings []post.Opening
	for range post.Leaves(in.Randomness, in.SectorNumber, 64, in.Challenges) { // the prover opens these
		openings = append(openings, post.Opening{Leaf: leaf, Path: [][][32]byte{
			slices.Repeat([][32]byte{leaf}, 7), // siblings of the leaf
			slices.Repeat([][32]byte{row1}, 7), // siblings of its parent, which is a child of the root
		}})
	}
	fmt.Println(post.VerifySector(in, openings))

	openings[2].Path[1][5] = leaf
	fmt.Println(post.VerifySector(in, openings))
	// Output:
	// <nil>
	// verify window: sector 132: challenge 2 (leaf 23): opening does not lead to the root
}
