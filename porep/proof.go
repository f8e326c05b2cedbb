package porep

import (
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep/graph"
)

// A proof is
//
//	kind 'S' (1 byte) || version 1 (1 byte) || CommC (32) || CommRLast (32) || openings
//
// and the openings of a challenge are, in this order and each only as far as
// nothing before has shown it (see merkle.TrailWriter):
//
//	the data node, and its siblings in the tree of CommD;
//	for each of the 14 parents: its column of labels, and the siblings in the tree of CommC;
//	the siblings of the challenge's own column;
//	the siblings of its replica node in the tree of CommRLast.
//
// The column and the replica node of the challenge are computed, never sent.
const (
	proofKind    = 'S'
	proofVersion = 1
	headerSize   = 2 + 2*NodeSize
)

// SealInput is the statement of a seal proof: what the chain knows of a sector,
// and which of its challenges a proof answers.
type SealInput struct {
	ProofType abi.RegisteredSealProof
	MinerID   uint64           // actor number of the miner
	Number    abi.SectorNumber // sector number
	Ticket    [32]byte         // randomness from before sealing, as drawn
	Seed      [32]byte         // randomness from after CommR was committed
	CommD     [32]byte         // root over the padded data
	CommR     [32]byte         // root over the sealed sector
	First     int              // number of the first challenge of this part, counted over all parts
	Count     int              // challenges of this part, 1 to MaxPartChallenges
}

// Errors that name what is wrong with a proof, or with a part of it.
var (
	ErrFormat     = errors.New("not a seal proof of this version")
	ErrLength     = errors.New("proof has not the exact length")
	ErrCommitment = errors.New("CommC and CommRLast do not give CommR")
)

// ChallengeError says which challenge of a proof is the first that does not
// hold, and why.
type ChallengeError struct {
	Index int    // number of the challenge, counted over all parts
	Node  uint64 // the challenged node
	Err   error
}

func (e *ChallengeError) Error() string {
	return fmt.Sprintf("challenge %d (node %d): %v", e.Index, e.Node, e.Err)
}

// Unwrap returns the reason.
func (e *ChallengeError) Unwrap() error { return e.Err }

// MaxProofSize returns the size in bytes of a proof of count challenges that
// share nothing: no valid proof is longer.
func (p Params) MaxProofSize(count int) (int, error) {
	data, err := merkle.Binary.Arities(p.Nodes)
	if err != nil {
		return 0, err
	}
	sealed, err := p.Shape.Arities(p.Nodes)
	if err != nil {
		return 0, err
	}
	path := 0
	for _, arity := range sealed {
		path += arity - 1
	}
	nodes := 1 + len(data) + graph.Degree*(p.Layers+path) + 2*path
	return headerSize + count*nodes*NodeSize, nil
}

// Source reads a sealed sector for [Params.Prove].
type Source struct {
	CommC, CommRLast [32]byte
	TreeD            merkle.RowReader // binary tree over the padded data
	TreeC            merkle.RowReader // tree over the columns
	TreeRLast        merkle.RowReader // tree over the replica
	Column           func(node uint64, labels []merkle.Node) error
}

// part is what prover and verifier of one proof both compute from its input.
type part struct {
	params     Params
	graph      *graph.Graph
	replicaID  [32]byte
	challenges []uint64
}

func newPart(p Params, in SealInput) (*part, error) {
	if in.Count < 1 || in.Count > MaxPartChallenges {
		return nil, fmt.Errorf("%d challenges in a part, want 1 to %d", in.Count, MaxPartChallenges)
	}
	if p.Layers < 1 || p.Layers > MaxLayers {
		return nil, fmt.Errorf("%d layers, want 1 to %d", p.Layers, MaxLayers)
	}
	g, err := graph.New(p.ID, p.Nodes)
	if err != nil {
		return nil, err
	}
	replicaID := ReplicaID(p, in.MinerID, in.Number, in.Ticket, in.CommD)
	challenges, err := Challenges(replicaID, in.Seed, p.Nodes, in.First, in.Count)
	if err != nil {
		return nil, err
	}
	return &part{params: p, graph: g, replicaID: replicaID, challenges: challenges}, nil
}

// Prove opens the challenges of a sealed sector and returns the proof bytes. It
// does not check the sector: [Params.Verify] the result before sending it. The
// statement's ProofType and CommR are not read.
func (p Params) Prove(in SealInput, from Source) ([]byte, error) {
	shared, err := newPart(p, in)
	if err != nil {
		return nil, fmt.Errorf("prove seal: %w", err)
	}
	w := &writer{part: shared, from: from, sent: make(map[uint64]bool)}
	if w.data, err = merkle.NewTrailWriter(merkle.Binary, p.Nodes); err != nil {
		return nil, fmt.Errorf("prove seal: %w", err)
	}
	if w.columns, err = merkle.NewTrailWriter(p.Shape, p.Nodes); err != nil {
		return nil, fmt.Errorf("prove seal: %w", err)
	}
	if w.replica, err = merkle.NewTrailWriter(p.Shape, p.Nodes); err != nil {
		return nil, fmt.Errorf("prove seal: %w", err)
	}
	w.out = append(w.out, proofKind, proofVersion)
	w.out = append(w.out, from.CommC[:]...)
	w.out = append(w.out, from.CommRLast[:]...)
	for i, node := range shared.challenges {
		if err := w.challenge(node); err != nil {
			return nil, fmt.Errorf("prove seal: %w", &ChallengeError{in.First + i, node, err})
		}
	}
	return w.out, nil
}

// writer writes the openings of one proof.
type writer struct {
	*part
	from    Source
	out     []byte
	data    *merkle.TrailWriter
	columns *merkle.TrailWriter
	replica *merkle.TrailWriter
	sent    map[uint64]bool // columns that the verifier has
}

func (w *writer) challenge(node uint64) error {
	if !w.data.Known(node) {
		var leaf [1]merkle.Node
		if err := w.from.TreeD(0, node, leaf[:]); err != nil {
			return err
		}
		w.out = merkle.AppendNodes(w.out, leaf[:])
	}
	if err := w.open(w.data, node, w.from.TreeD); err != nil {
		return err
	}
	var parents [graph.Degree]uint32
	w.graph.Parents(uint32(node), &parents)
	for _, parent := range parents {
		if err := w.column(uint64(parent)); err != nil {
			return err
		}
	}
	w.sent[node] = true
	if err := w.open(w.columns, node, w.from.TreeC); err != nil {
		return err
	}
	return w.open(w.replica, node, w.from.TreeRLast)
}

// column sends the labels of a parent and opens its column.
func (w *writer) column(node uint64) error {
	if w.sent[node] {
		return nil
	}
	w.sent[node] = true
	labels := make([]merkle.Node, w.params.Layers)
	if err := w.from.Column(node, labels); err != nil {
		return err
	}
	w.out = merkle.AppendNodes(w.out, labels)
	return w.open(w.columns, node, w.from.TreeC)
}

func (w *writer) open(trail *merkle.TrailWriter, node uint64, read merkle.RowReader) error {
	siblings, err := trail.Open(node, read)
	w.out = merkle.AppendNodes(w.out, siblings)
	return err
}
