package post

import (
	"errors"
	"fmt"
	"slices"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/internal/merkle"
)

// MaxSectors is the largest number of sectors of a partition, which one proof
// covers.
const MaxSectors = 32

// A proof is
//
//	kind 'W' (1 byte) || version 1 (1 byte) || sectors in the order of the statement
//	sector: CommC (32) || CommRLast (32) || for each challenge its opening
//	opening: the leaf, and its siblings, as far as no opening of this sector before
//	has shown them (see merkle.TrailWriter)
const (
	proofKind    = 'W'
	proofVersion = 1
	headerSize   = 2
)

// Errors that concern a proof as a whole.
var (
	ErrFormat  = errors.New("not a window proof of this version")
	ErrLength  = errors.New("proof has not the exact length")
	ErrSectors = errors.New("number of sectors out of range")
)

// WindowInput is the statement of a window proof: that the sectors of a partition
// were held. Skipped sectors are simply not listed.
type WindowInput struct {
	ProofType  abi.RegisteredPoStProof
	Randomness [32]byte // of the window, as drawn
	Challenges int      // of each sector; 0 means DefaultChallenges
	Sectors    []Sector // 1 to MaxSectors
}

// Sector is one sector of a statement.
type Sector struct {
	Number abi.SectorNumber
	CommR  [32]byte
}

// Source reads the replica of one sector for [Prove].
type Source struct {
	CommC, CommRLast [32]byte
	TreeRLast        merkle.RowReader
}

// Check fails unless the statement has a possible number of sectors and of
// challenges.
func (in WindowInput) Check() error {
	_, err := in.check()
	return err
}

// check is Check and resolves the number of challenges.
func (in WindowInput) check() (count int, err error) {
	if len(in.Sectors) < 1 || len(in.Sectors) > MaxSectors {
		return 0, fmt.Errorf("%d sectors, want 1 to %d: %w", len(in.Sectors), MaxSectors, ErrSectors)
	}
	return challenges(in.Challenges)
}

// Prove opens the challenged leaves of the sectors of a statement, which from
// gives in the same order, and returns the proof bytes. It checks nothing that it
// reads: [Verify] the result before sending it. An error of one sector is a
// [*SectorError].
func Prove(in WindowInput, from []Source) ([]byte, error) {
	tree, err := TreeOf(in.ProofType)
	if err != nil {
		return nil, fmt.Errorf("prove window: %w", err)
	}
	return tree.Prove(in, from)
}

// Prove is the package's [Prove] for this tree.
func (t Tree) Prove(in WindowInput, from []Source) ([]byte, error) {
	if len(from) != len(in.Sectors) {
		return nil, fmt.Errorf("prove window: %d sources for %d sectors: %w", len(from), len(in.Sectors), ErrSectors)
	}
	parts := make([][]byte, len(from))
	for i := range from {
		var err error
		if parts[i], err = t.ProveSector(in, i, from[i]); err != nil {
			return nil, fmt.Errorf("prove window: %w", err)
		}
	}
	return t.Join(in, parts)
}

// ProveSector makes the part of a proof that concerns one sector of the
// statement, the one at index i. The parts of all sectors, which may be made in
// any order and at the same time, are a proof when joined: see [Tree.Join]. Errors
// of reading are a [*SectorError].
func (t Tree) ProveSector(in WindowInput, i int, from Source) ([]byte, error) {
	count, err := in.check()
	if err != nil {
		return nil, err
	}
	number := in.Sectors[i].Number
	trail, err := merkle.NewTrailWriter(t.Shape, t.Nodes)
	if err != nil {
		return nil, err
	}
	most, err := t.MaxProofSize(1, count)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, most)
	out = append(append(out, from.CommC[:]...), from.CommRLast[:]...)
	for challenge, index := range Leaves(in.Randomness, number, t.Nodes, count) {
		sent, err := trail.OpenLeaf(index, from.TreeRLast)
		if err != nil {
			return nil, &SectorError{number, challenge, index, err}
		}
		out = merkle.AppendNodes(out, sent)
	}
	return out, nil
}

// Join makes a proof from the parts of the sectors of a statement, in its order.
func (t Tree) Join(in WindowInput, parts [][]byte) ([]byte, error) {
	if _, err := in.check(); err != nil {
		return nil, fmt.Errorf("prove window: %w", err)
	}
	if len(parts) != len(in.Sectors) {
		return nil, fmt.Errorf("prove window: parts of %d sectors, want %d: %w", len(parts), len(in.Sectors), ErrSectors)
	}
	return slices.Concat([]byte{proofKind, proofVersion}, slices.Concat(parts...)), nil
}
