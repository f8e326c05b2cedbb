package porep

import (
	"fmt"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep/graph"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/porep/poseidon"
)

// Verify checks that the sector of a statement was sealed, as far as the
// challenges of this part go. It computes the replica id, the challenges and
// their parents itself and demands, for each challenge in turn, that
//
//   - the data node is in CommD;
//   - the columns of all 14 parents are in CommC;
//   - the labels of the challenge, computed from those columns, form a column
//     that is in CommC;
//   - the last label plus the data node is in CommRLast,
//
// with every path of the exact length hashed again, every node a canonical field
// element, and CommC and CommRLast together giving CommR. Nothing may follow the
// last opening.
//
// A challenge that does not hold gives a [*ChallengeError] that names the first
// one; other errors concern the statement or the proof as a whole. Only
// registered proofs of version V1_1 are accepted ([ErrProofType]).
func Verify(in SealInput, proof []byte) error {
	params, err := ParamsOf(in.ProofType)
	if err != nil {
		return fmt.Errorf("verify seal: %w", err)
	}
	return params.Verify(in, proof)
}

// Verify is the package's [Verify] for given parameters, whatever the proof type
// of the statement.
func (p Params) Verify(in SealInput, proof []byte) error {
	shared, err := newPart(p, in)
	if err != nil {
		return fmt.Errorf("verify seal: %w", err)
	}
	if err := p.checkHeader(in, proof); err != nil {
		return fmt.Errorf("verify seal: %w", err)
	}
	// A proof is checked as a whole first, which is fast. One that does not hold is
	// read once more, to name what is wrong: a forger pays for it with the proof.
	if shared.holds(in.CommD, proof) == nil {
		return nil
	}
	if err := shared.oneByOne(in, proof); err != nil {
		return fmt.Errorf("verify seal: %w", err)
	}
	return nil
}

// checkHeader checks all that comes before the openings, and that the proof is not
// too long.
func (p Params) checkHeader(in SealInput, proof []byte) error {
	most, err := p.MaxProofSize(in.Count)
	if err != nil {
		return err
	}
	if len(proof) < headerSize || len(proof) > most {
		return fmt.Errorf("%d bytes: %w", len(proof), ErrLength)
	}
	if proof[0] != proofKind || proof[1] != proofVersion {
		return ErrFormat
	}
	commC, commRLast := roots(proof)
	return CheckCommR(in.CommR, commC, commRLast)
}

// roots returns CommC and CommRLast from the header of a proof.
func roots(proof []byte) (commC, commRLast [32]byte) {
	return [32]byte(proof[2:]), [32]byte(proof[2+NodeSize:])
}

// oneByOne checks the openings of a proof, whose header is right, in their order
// and hash by hash, and names the first challenge that does not hold.
func (p *part) oneByOne(in SealInput, proof []byte) error {
	r, err := newReader(p, in.CommD, proof)
	if err != nil {
		return err
	}
	for i, node := range p.challenges {
		if err := r.challenge(node); err != nil {
			return &ChallengeError{in.First + i, node, err}
		}
	}
	if len(r.rest) != 0 {
		return fmt.Errorf("%d bytes after the last opening: %w", len(r.rest), ErrLength)
	}
	return nil
}

// reader checks the openings of one proof as it comes to them.
type reader struct {
	*part
	rest    []byte // what is not read yet
	labeler *Labeler
	data    *merkle.TrailReader[piece.Tree]
	columns *merkle.TrailReader[poseidon.Tree]
	replica *merkle.TrailReader[poseidon.Tree]
	labels  map[uint64][]merkle.Node // columns that are known to be in CommC
}

func newReader(shared *part, commD [32]byte, proof []byte) (*reader, error) {
	p := shared.params
	commC, commRLast := roots(proof)
	r := &reader{
		part:    shared,
		rest:    proof[headerSize:],
		labeler: NewLabeler(shared.replicaID),
		labels:  make(map[uint64][]merkle.Node),
	}
	var err error
	if r.data, err = merkle.NewTrailReader(piece.Tree{}, merkle.Binary, p.Nodes, commD); err != nil {
		return nil, err
	}
	if r.columns, err = merkle.NewTrailReader(poseidon.Tree{}, p.Shape, p.Nodes, commC); err != nil {
		return nil, err
	}
	r.replica, err = merkle.NewTrailReader(poseidon.Tree{}, p.Shape, p.Nodes, commRLast)
	return r, err
}

// CheckCommR fails with [ErrCommitment] unless commR is the hash of commC and
// commRLast; both must be field elements.
func CheckCommR(commR, commC, commRLast [32]byte) error {
	sum, err := poseidon.Hash([]merkle.Node{commC, commRLast})
	if err != nil {
		return fmt.Errorf("hash CommC and CommRLast: %w", err)
	}
	if sum != commR {
		return ErrCommitment
	}
	return nil
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

func (r *reader) challenge(node uint64) error {
	data, err := r.dataNode(node)
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	var parents [graph.Degree]uint32
	r.graph.Parents(uint32(node), &parents)
	var columns [graph.Degree][]merkle.Node
	for i, parent := range parents {
		if columns[i], err = r.column(uint64(parent)); err != nil {
			return fmt.Errorf("column of parent %d: %w", parent, err)
		}
	}

	own := ownColumn(r.labeler, node, &columns)
	leaf, err := poseidon.Hash(own)
	if err != nil {
		return fmt.Errorf("column: %w", err)
	}
	if err := r.columns.Check(node, leaf, r.take); err != nil {
		return fmt.Errorf("column: %w", err)
	}
	r.labels[node] = own

	replica, err := Encode(own[len(own)-1], data)
	if err != nil {
		return fmt.Errorf("replica: %w", err)
	}
	if err := r.replica.Check(node, replica, r.take); err != nil {
		return fmt.Errorf("replica: %w", err)
	}
	return nil
}

// dataNode returns the data of a node, which is in CommD.
func (r *reader) dataNode(node uint64) (merkle.Node, error) {
	if leaf, ok := r.data.Known(node); ok {
		return leaf, nil
	}
	leaf, err := r.take(1)
	if err != nil {
		return merkle.Node{}, err
	}
	if !IsElement(leaf[0]) {
		return merkle.Node{}, ErrElement
	}
	return leaf[0], r.data.Check(node, leaf[0], r.take)
}

// column returns the labels of a node, whose column is in CommC.
func (r *reader) column(node uint64) ([]merkle.Node, error) {
	if labels, ok := r.labels[node]; ok {
		return labels, nil
	}
	labels, err := r.take(r.params.Layers)
	if err != nil {
		return nil, err
	}
	leaf, err := poseidon.Hash(labels)
	if err != nil {
		return nil, err
	}
	if err := r.columns.Check(node, leaf, r.take); err != nil {
		return nil, err
	}
	r.labels[node] = labels
	return labels, nil
}

// ownColumn computes the labels of a challenged node from its parents' columns:
// base parents count in the same layer, expander parents in the layer before,
// which the first layer does not have.
func ownColumn(labeler *Labeler, node uint64, columns *[graph.Degree][]merkle.Node) []merkle.Node {
	own := make([]merkle.Node, len(columns[0]))
	var parents [graph.Degree]merkle.Node
	for layer := range own {
		n := graph.BaseDegree
		for i := range graph.BaseDegree {
			parents[i] = columns[i][layer]
		}
		if layer > 0 {
			n = graph.Degree
			for i := graph.BaseDegree; i < n; i++ {
				parents[i] = columns[i][layer-1]
			}
		}
		own[layer] = labeler.Label(uint32(layer)+1, node, parents[:n]...)
	}
	return own
}
