package post

import (
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/poseidon"
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

// MaxProofSize returns the size in bytes of a proof in which no opening shares
// anything: no valid proof of that many sectors and challenges (0 means
// DefaultChallenges) is longer.
func MaxProofSize(proof abi.RegisteredPoStProof, sectors, count int) (int, error) {
	tree, err := replicaOf(proof)
	if err != nil {
		return 0, err
	}
	if count, err = challenges(count); err != nil {
		return 0, err
	}
	return tree.maxProofSize(sectors, count)
}

func (t replica) maxProofSize(sectors, count int) (int, error) {
	arities, err := t.shape.Arities(t.nodes)
	if err != nil {
		return 0, err
	}
	nodes := 1
	for _, arity := range arities {
		nodes += arity - 1
	}
	return headerSize + sectors*(2+count*nodes)*merkle.NodeSize, nil
}

// check resolves the statement's number of challenges and bounds its sectors.
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
	tree, err := replicaOf(in.ProofType)
	if err != nil {
		return nil, fmt.Errorf("prove window: %w", err)
	}
	return tree.prove(in, from)
}

func (t replica) prove(in WindowInput, from []Source) ([]byte, error) {
	count, err := in.check()
	if err != nil {
		return nil, fmt.Errorf("prove window: %w", err)
	}
	if len(from) != len(in.Sectors) {
		return nil, fmt.Errorf("prove window: %d sources for %d sectors: %w", len(from), len(in.Sectors), ErrSectors)
	}
	out := []byte{proofKind, proofVersion}
	for i, sector := range in.Sectors {
		if out, err = t.proveSector(out, in.Randomness, sector.Number, count, from[i]); err != nil {
			return nil, fmt.Errorf("prove window: %w", err)
		}
	}
	return out, nil
}

// proveSector appends the part of one sector to out.
func (t replica) proveSector(out []byte, randomness [32]byte, number abi.SectorNumber, count int, from Source) ([]byte, error) {
	trail, err := merkle.NewTrailWriter(t.shape, t.nodes)
	if err != nil {
		return nil, err
	}
	out = append(append(out, from.CommC[:]...), from.CommRLast[:]...)
	for i, index := range Leaves(randomness, number, t.nodes, count) {
		if !trail.Known(index) {
			var leaf [1]merkle.Node
			if err := from.TreeRLast(0, index, leaf[:]); err != nil {
				return nil, &SectorError{number, i, index, err}
			}
			out = merkle.AppendNodes(out, leaf[:])
		}
		siblings, err := trail.Open(index, from.TreeRLast)
		if err != nil {
			return nil, &SectorError{number, i, index, err}
		}
		out = merkle.AppendNodes(out, siblings)
	}
	return out, nil
}

// Verify checks that the sectors of a statement were held: for each sector in
// turn, that CommC and CommRLast give its CommR and that every challenge is
// answered by a leaf and a path of exact length that hashes up to CommRLast.
// Nothing may follow the last opening. The first sector and challenge that do not
// hold are named by a [*SectorError]; other errors concern the statement or the
// proof as a whole.
func Verify(in WindowInput, proof []byte) error {
	tree, err := replicaOf(in.ProofType)
	if err != nil {
		return fmt.Errorf("verify window: %w", err)
	}
	return tree.verify(in, proof)
}

func (t replica) verify(in WindowInput, proof []byte) error {
	count, err := in.check()
	if err != nil {
		return fmt.Errorf("verify window: %w", err)
	}
	most, err := t.maxProofSize(len(in.Sectors), count)
	if err != nil {
		return fmt.Errorf("verify window: %w", err)
	}
	if len(proof) < headerSize || len(proof) > most {
		return fmt.Errorf("verify window: %d bytes: %w", len(proof), ErrLength)
	}
	if proof[0] != proofKind || proof[1] != proofVersion {
		return fmt.Errorf("verify window: %w", ErrFormat)
	}
	r := &reader{replica: t, rest: proof[headerSize:]}
	for _, sector := range in.Sectors {
		if err := r.sector(in.Randomness, sector, count); err != nil {
			return fmt.Errorf("verify window: %w", err)
		}
	}
	if len(r.rest) != 0 {
		return fmt.Errorf("verify window: %d bytes after the last opening: %w", len(r.rest), ErrLength)
	}
	return nil
}

// reader checks the sectors of one proof as it comes to them.
type reader struct {
	replica
	rest []byte // what is not read yet
}

// take reads the next n nodes of the proof.
func (r *reader) take(n int) ([]merkle.Node, error) {
	nodes, rest, err := merkle.ParseNodes(r.rest, n)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLength, err)
	}
	r.rest = rest
	return nodes, nil
}

func (r *reader) sector(randomness [32]byte, sector Sector, count int) error {
	bad := func(challenge int, leaf uint64, err error) error {
		return &SectorError{sector.Number, challenge, leaf, err}
	}
	roots, err := r.take(2)
	if err != nil {
		return bad(-1, 0, err)
	}
	if err := porep.CheckCommR(sector.CommR, roots[0], roots[1]); err != nil {
		return bad(-1, 0, err)
	}
	trail, err := merkle.NewTrailReader(poseidon.Tree{}, r.shape, r.nodes, roots[1])
	if err != nil {
		return bad(-1, 0, err)
	}
	for i, index := range Leaves(randomness, sector.Number, r.nodes, count) {
		if err := r.opening(trail, index); err != nil {
			return bad(i, index, err)
		}
	}
	return nil
}

// opening checks one challenge. A leaf that is known already needs nothing.
func (r *reader) opening(trail *merkle.TrailReader[poseidon.Tree], index uint64) error {
	if _, ok := trail.Known(index); ok {
		return nil
	}
	leaf, err := r.take(1)
	if err != nil {
		return err
	}
	return trail.Check(index, leaf[0], r.take)
}
