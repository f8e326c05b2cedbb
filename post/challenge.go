// Package post checks proofs of spacetime: that a miner still holds the sealed
// sectors that it committed to.
//
// Once a proving period each sector answers a few challenges, drawn from a
// beacon that nobody could foresee, by opening the tree over its replica
// (CommRLast) at the challenged leaves. Whoever threw the sector away cannot seal
// it again within the window in which the proof is due.
//
// There are two ways to check a proof, and they ask for the same:
//
//   - [VerifySector] takes one sector in parts: CommC, CommRLast, and for each
//     challenge the leaf and its path. That is what the reference
//     implementation calls a vanilla proof; extern/vanilla reads its files.
//   - [Verify] takes the proof of a whole partition as it travels in a message,
//     in which no node is sent twice; [Prove] makes it.
//
// Both know the registered proofs. [Tree] has the same methods for trees of any
// shape, such as those of large sectors with few nodes. [Leaves] gives the
// challenges: those of Filecoin's Window PoSt V1_1, which depend on the sector
// and the randomness, never on the place of the sector in a list. [Schedule] says
// when which deadline is open.
//
// SPEC.md beside this file has the bytes. The package is pure; post/prove reads
// sealed files and builds proofs.
package post

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"
)

const (
	// DefaultChallenges is the number of challenges of a sector where nothing
	// else is said.
	DefaultChallenges = 10
	// MaxChallenges bounds the challenges of a sector.
	MaxChallenges = 128
)

var (
	// ErrProofType says that a registered proof is not one that this network takes.
	ErrProofType = errors.New("unknown window proof type")
	// ErrChallenges says that a number of challenges is out of range.
	ErrChallenges = errors.New("number of challenges out of range")
)

// Leaves returns the leaves that the challenges of a sector name, of the nodes
// nodes of its replica: count numbers below nodes, which may repeat. The
// randomness is taken as drawn; its two top bits are cleared here.
func Leaves(randomness [32]byte, sector abi.SectorNumber, nodes uint64, count int) []uint64 {
	if nodes == 0 || count <= 0 {
		return nil
	}
	randomness[31] &= 0x3f
	var in [32 + 8 + 8]byte
	copy(in[:], randomness[:])
	binary.LittleEndian.PutUint64(in[32:], uint64(sector))
	leaves := make([]uint64, count)
	for i := range leaves {
		binary.LittleEndian.PutUint64(in[40:], uint64(i))
		digest := sha256.Sum256(in[:])
		leaves[i] = binary.LittleEndian.Uint64(digest[:]) % nodes
	}
	return leaves
}

// SealProof returns the registered seal proof of the sectors that a registered
// window proof of version V1_1 speaks of. For any other it fails with
// [ErrProofType].
func SealProof(proof abi.RegisteredPoStProof) (abi.RegisteredSealProof, error) {
	switch proof {
	case abi.RegisteredPoStProof_StackedDrgWindow2KiBV1_1:
		return abi.RegisteredSealProof_StackedDrg2KiBV1_1, nil
	case abi.RegisteredPoStProof_StackedDrgWindow8MiBV1_1:
		return abi.RegisteredSealProof_StackedDrg8MiBV1_1, nil
	case abi.RegisteredPoStProof_StackedDrgWindow512MiBV1_1:
		return abi.RegisteredSealProof_StackedDrg512MiBV1_1, nil
	case abi.RegisteredPoStProof_StackedDrgWindow32GiBV1_1:
		return abi.RegisteredSealProof_StackedDrg32GiBV1_1, nil
	case abi.RegisteredPoStProof_StackedDrgWindow64GiBV1_1:
		return abi.RegisteredSealProof_StackedDrg64GiBV1_1, nil
	}
	return 0, fmt.Errorf("window proof %d: %w", proof, ErrProofType)
}

// WindowProof returns the registered window proof for sectors of a registered
// seal proof, the reverse of [SealProof].
func WindowProof(proof abi.RegisteredSealProof) (abi.RegisteredPoStProof, error) {
	const first, last = abi.RegisteredPoStProof_StackedDrgWindow2KiBV1_1, abi.RegisteredPoStProof_StackedDrgWindow64GiBV1_1
	for window := first; window <= last; window++ {
		if seal, err := SealProof(window); err == nil && seal == proof {
			return window, nil
		}
	}
	return 0, fmt.Errorf("window proof of seal proof %d: %w", proof, ErrProofType)
}

// challenges resolves a number of challenges that may be left zero.
func challenges(n int) (int, error) {
	if n == 0 {
		n = DefaultChallenges
	}
	if n < 0 || n > MaxChallenges {
		return 0, fmt.Errorf("%d challenges, want 1 to %d: %w", n, MaxChallenges, ErrChallenges)
	}
	return n, nil
}
