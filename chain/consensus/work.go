package consensus

import (
	"math/bits"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/graph"
)

// The work of checking proofs, in units. It is what the worst proof of that
// statement takes: openings that share nothing.

// labelHashes is what computing one label costs in hashes of two nodes: its
// input is two nodes and 37 parents.
const labelHashes = 20

// sealUnits is the work of checking count PoRep challenges of a sector:
//
//	count * ((levels*16 + 15) Poseidon + (log2 nodes + labelHashes*layers + 1) SHA-256) + 1 Poseidon
//
// that is, columns and paths of the challenge and its 14 parents, the path of
// the replica node, the path of the data node, the labels, the draw; and CommR.
func (p *Params) sealUnits(proof abi.RegisteredSealProof, count uint64) uint64 {
	seal, levels := treeOf(proof)
	columns := uint64(graph.Degree + 1)
	poseidon := columns + (columns+1)*levels
	hashes := uint64(bits.Len64(seal.Nodes)-1) + labelHashes*uint64(seal.Layers) + 1
	return count*(poseidon*p.UnitPoseidon+hashes*p.UnitHash) + p.UnitPoseidon
}

// windowUnits is the work of checking a window proof of sectors sectors:
//
//	sectors * (WindowChallenges * (levels Poseidon + 1 SHA-256) + 1 Poseidon)
func (p *Params) windowUnits(proof abi.RegisteredSealProof, sectors uint64) uint64 {
	_, levels := treeOf(proof)
	return sectors * (p.WindowChallenges*(levels*p.UnitPoseidon+p.UnitHash) + p.UnitPoseidon)
}

// ordinaryUnits is more than any message without a proof takes.
const ordinaryUnits = 400_000

// MostUnits bounds what a message of a kind takes, whatever it says, for
// whoever signs a MaxFee before a node works the fee out.
func (p *Params) MostUnits(k chain.Kind) uint64 {
	most := uint64(ordinaryUnits)
	for _, proof := range p.SealProofs {
		switch k {
		case chain.KindProveCommit:
			most = max(most, p.sealUnits(proof, min(PartChallenges, p.PoRepChallenges))+ordinaryUnits)
		case chain.KindSubmitWindowProof:
			most = max(most, p.windowUnits(proof, chain.PartitionSectors)+ordinaryUnits)
		}
	}
	return most
}

// treeOf returns what a registered proof fixes and the levels of its sealed
// trees. Miners have none but registered ones.
func treeOf(proof abi.RegisteredSealProof) (porep.Params, uint64) {
	seal, err := porep.ParamsOf(proof)
	if err != nil {
		return porep.Params{}, 0
	}
	arities, err := seal.Shape.Arities(seal.Nodes)
	if err != nil {
		return porep.Params{}, 0
	}
	return seal, uint64(len(arities))
}
