package post

import (
	"fmt"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/poseidon"
)

// Verify checks that the sectors of a statement were held: for each sector in
// turn, that CommC and CommRLast give its CommR and that every challenge is
// answered by a leaf and a path of exact length that hashes up to CommRLast.
// Nothing may follow the last opening. The first sector and challenge that do not
// hold are named by a [*SectorError]; other errors concern the statement or the
// proof as a whole.
func Verify(in WindowInput, proof []byte) error {
	tree, err := TreeOf(in.ProofType)
	if err != nil {
		return fmt.Errorf("verify window: %w", err)
	}
	return tree.Verify(in, proof)
}

// Verify is the package's [Verify] for this tree.
func (t Tree) Verify(in WindowInput, proof []byte) error {
	count, err := in.check()
	if err != nil {
		return fmt.Errorf("verify window: %w", err)
	}
	most, err := t.MaxProofSize(len(in.Sectors), count)
	if err != nil {
		return fmt.Errorf("verify window: %w", err)
	}
	if len(proof) < headerSize || len(proof) > most {
		return fmt.Errorf("verify window: %d bytes: %w", len(proof), ErrLength)
	}
	if proof[0] != proofKind || proof[1] != proofVersion {
		return fmt.Errorf("verify window: %w", ErrFormat)
	}
	// A proof is checked as a whole first, which is fast. One that does not hold is
	// read once more, to name what is wrong: a forger pays for it with the proof.
	if t.holds(in, count, proof[headerSize:]) == nil {
		return nil
	}
	if err := t.oneByOne(in, count, proof[headerSize:]); err != nil {
		return fmt.Errorf("verify window: %w", err)
	}
	return nil
}

// holds checks the sectors of a proof, which is given without its header, in one
// batch. Its error does not say which is wrong.
func (t Tree) holds(in WindowInput, count int, body []byte) error {
	left, rest, err := merkle.ParseNodes(body, len(body)/merkle.NodeSize)
	if err != nil {
		return err
	}
	take := func(n int) ([]merkle.Node, error) {
		if n > len(left) {
			return nil, ErrLength
		}
		taken := left[:n]
		left = left[n:]
		return taken, nil
	}
	batch := merkle.NewBatch(poseidon.Tree{})
	var roots []merkle.Node
	for _, sector := range in.Sectors {
		pair, err := take(2)
		if err != nil {
			return err
		}
		roots = append(roots, pair...)
		tree, err := batch.Tree(t.Shape, t.Nodes, pair[1])
		if err != nil {
			return err
		}
		if err := addOpenings(tree, Leaves(in.Randomness, sector.Number, t.Nodes, count), take); err != nil {
			return err
		}
	}
	if len(left) != 0 || len(rest) != 0 {
		return ErrLength
	}
	if err := checkRoots(in.Sectors, roots); err != nil {
		return err
	}
	return batch.Check()
}

// addOpenings takes apart the openings of one sector.
func addOpenings(tree *merkle.BatchTree[poseidon.Tree], leaves []uint64, take func(int) ([]merkle.Node, error)) error {
	for _, index := range leaves {
		if _, ok := tree.Known(index); ok {
			continue
		}
		shown, err := take(1)
		if err != nil {
			return err
		}
		leaf, err := tree.Open(index, take)
		if err != nil {
			return err
		}
		*leaf = shown[0]
	}
	return nil
}

// checkRoots checks that CommC and CommRLast of each sector, in turn, give its
// CommR.
func checkRoots(sectors []Sector, roots []merkle.Node) error {
	sums := make([]merkle.Node, len(sectors))
	if err := (poseidon.Tree{}).HashRow(2, roots, sums); err != nil {
		return err
	}
	for i := range sectors {
		if sums[i] != sectors[i].CommR {
			return porep.ErrCommitment
		}
	}
	return nil
}

// oneByOne checks the sectors of a proof, given without its header, in their
// order, hash by hash, and names the first that does not hold.
func (t Tree) oneByOne(in WindowInput, count int, body []byte) error {
	r := &reader{Tree: t, rest: body}
	for _, sector := range in.Sectors {
		if err := r.sector(in.Randomness, sector, count); err != nil {
			return err
		}
	}
	if len(r.rest) != 0 {
		return fmt.Errorf("%d bytes after the last opening: %w", len(r.rest), ErrLength)
	}
	return nil
}

// reader checks the sectors of one proof as it comes to them.
type reader struct {
	Tree
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
	trail, err := merkle.NewTrailReader(poseidon.Tree{}, r.Shape, r.Nodes, roots[1])
	if err != nil {
		return bad(-1, 0, err)
	}
	for i, index := range Leaves(randomness, sector.Number, r.Nodes, count) {
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
