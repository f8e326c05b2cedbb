// Package porep says what a sealed sector is and how to check that it was
// sealed.
//
// A sector of N nodes (32 bytes each) is sealed along the Stacked DRG graph: L
// layers of labels, each the hash of its parents' labels and of the sector's
// replica id; the last layer is added to the data and gives the replica. Three
// roots commit to the work: CommD to the data, CommC to the columns of labels,
// CommRLast to the replica; CommR is the hash of the last two and, with CommD,
// all that the chain keeps.
//
// A seal proof opens the trees at challenged nodes, and [Verify] computes
// everything else again: the challenges, the parents, the labels, the column and
// the replica node. It is sound on its own: no part of a proof is believed.
//
// The construction is Filecoin's, bit for bit, for the registered proofs V1_1,
// so commitments mean what they mean in every Filecoin tool. SPEC.md beside this
// file has the formulas and the bytes. The package is pure: porep/seal makes
// sealed sectors and reads them.
package porep

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/internal/merkle"
)

// NodeSize is the size of a node, a label and a commitment in bytes.
const NodeSize = merkle.NodeSize

// MaxLayers is the largest number of layers of any registered proof.
const MaxLayers = 11

// ErrProofType says that a registered proof is not one that this network takes.
var ErrProofType = errors.New("unknown seal proof type")

// Params are what a registered seal proof fixes. Take them from [ParamsOf];
// other values (the shapes of large sectors at small sizes) are for tests.
type Params struct {
	ID     [32]byte     // porep_id: separates the graphs and replica ids of registered proofs
	Nodes  uint64       // nodes of a sector
	Layers int          // layers of labels, 1 to MaxLayers
	Shape  merkle.Shape // of the trees over columns and over the replica
}

// SectorSize returns the size of a sector in bytes, of the replica and of the
// padded data alike.
func (p Params) SectorSize() uint64 { return p.Nodes * NodeSize }

// registered lists the accepted proofs.
var registered = [...]struct {
	proof  abi.RegisteredSealProof
	size   uint64
	layers int
	shape  merkle.Shape
}{
	{abi.RegisteredSealProof_StackedDrg2KiBV1_1, 2 << 10, 2, merkle.Octree},
	{abi.RegisteredSealProof_StackedDrg8MiBV1_1, 8 << 20, 2, merkle.Octree},
	{abi.RegisteredSealProof_StackedDrg512MiBV1_1, 512 << 20, 2, merkle.Octree},
	{abi.RegisteredSealProof_StackedDrg32GiBV1_1, 32 << 30, 11, merkle.Shape{Base: 8, Sub: 8}},
	{abi.RegisteredSealProof_StackedDrg64GiBV1_1, 64 << 30, 11, merkle.Shape{Base: 8, Sub: 8, Top: 2}},
}

// ParamsOf returns the parameters of a registered proof of version V1_1. For any
// other it fails with [ErrProofType].
func ParamsOf(proof abi.RegisteredSealProof) (Params, error) {
	for _, r := range registered {
		if r.proof == proof {
			return Params{ID: ID(proof), Nodes: r.size / NodeSize, Layers: r.layers, Shape: r.shape}, nil
		}
	}
	return Params{}, fmt.Errorf("seal proof %d: %w", proof, ErrProofType)
}

// ProofOfSize returns the registered proof of sectors of a size in bytes, or
// fails with [ErrProofType].
func ProofOfSize(size uint64) (abi.RegisteredSealProof, error) {
	for _, r := range registered {
		if r.size == size {
			return r.proof, nil
		}
	}
	return 0, fmt.Errorf("seal proof of sectors of %d bytes: %w", size, ErrProofType)
}

// ID returns the porep_id of a registered proof: its number in 8 bytes, little
// endian, a nonce of 8 bytes that is 0, and 16 bytes of zero.
func ID(proof abi.RegisteredSealProof) (id [32]byte) {
	binary.LittleEndian.PutUint64(id[:], uint64(proof))
	return id
}
