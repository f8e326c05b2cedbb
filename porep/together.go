package porep

import (
	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep/graph"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/porep/poseidon"
)

// holds checks the openings of a proof, whose header is right, hashing those of all
// challenges together. It asks for exactly what oneByOne asks for; its error does
// not say which challenge is wrong.
func (p *part) holds(commD [32]byte, proof []byte) error {
	t, err := newTogether(p, commD, proof)
	if err != nil {
		return err
	}
	for _, node := range p.challenges {
		if err := t.challenge(node); err != nil {
			return err
		}
	}
	if len(t.left) != 0 {
		return ErrLength
	}
	return t.check()
}

// together takes the openings of a proof apart before it hashes them. What the
// challenges are to be checked with is known by then: every label and data node
// stands in the proof or is computed from labels that do.
type together struct {
	*part
	left    []merkle.Node // what is not read yet
	labeler *Labeler

	dataBatch *merkle.Batch[piece.Tree]
	data      *merkle.BatchTree[piece.Tree]
	batch     *merkle.Batch[poseidon.Tree]
	columns   *merkle.BatchTree[poseidon.Tree]
	replica   *merkle.BatchTree[poseidon.Tree]

	labels map[uint64][]merkle.Node // columns that were shown or computed
	hash   []merkle.Node            // the labels of the columns to hash, one column after the other
	into   []*merkle.Node           // where their hashes belong
}

func newTogether(p *part, commD [32]byte, proof []byte) (*together, error) {
	body := proof[headerSize:]
	nodes, rest, err := merkle.ParseNodes(body, len(body)/NodeSize)
	if err != nil {
		return nil, err
	}
	if len(rest) != 0 {
		return nil, ErrLength
	}
	t := &together{
		part:      p,
		left:      nodes,
		labeler:   NewLabeler(p.replicaID),
		dataBatch: merkle.NewBatch(piece.Tree{}),
		batch:     merkle.NewBatch(poseidon.Tree{}),
		labels:    make(map[uint64][]merkle.Node),
	}
	if t.data, err = t.dataBatch.Tree(merkle.Binary, p.params.Nodes, commD); err != nil {
		return nil, err
	}
	commC, commRLast := roots(proof)
	if t.columns, err = t.batch.Tree(p.params.Shape, p.params.Nodes, commC); err != nil {
		return nil, err
	}
	t.replica, err = t.batch.Tree(p.params.Shape, p.params.Nodes, commRLast)
	return t, err
}

// take reads the next n nodes of the proof.
func (t *together) take(n int) ([]merkle.Node, error) {
	if n > len(t.left) {
		return nil, ErrLength
	}
	nodes := t.left[:n]
	t.left = t.left[n:]
	return nodes, nil
}

// challenge takes the openings of one challenge apart.
func (t *together) challenge(node uint64) error {
	data, err := t.dataNode(node)
	if err != nil {
		return err
	}
	var parents [graph.Degree]uint32
	t.graph.Parents(uint32(node), &parents)
	var columns [graph.Degree][]merkle.Node
	for i, parent := range parents {
		if columns[i], err = t.column(uint64(parent)); err != nil {
			return err
		}
	}
	own := ownColumn(t.labeler, node, &columns)
	if err := t.openColumn(node, own); err != nil {
		return err
	}
	replica, err := Encode(own[len(own)-1], data)
	if err != nil {
		return err
	}
	leaf, err := t.replica.Open(node, t.take)
	if err != nil {
		return err
	}
	*leaf = replica
	return nil
}

// dataNode returns the data of a node.
func (t *together) dataNode(node uint64) (merkle.Node, error) {
	if leaf, ok := t.data.Known(node); ok {
		return *leaf, nil
	}
	shown, err := t.take(1)
	if err != nil {
		return merkle.Node{}, err
	}
	leaf, err := t.data.Open(node, t.take)
	if err != nil {
		return merkle.Node{}, err
	}
	*leaf = shown[0]
	return *leaf, nil // Encode refuses what is no element
}

// column returns the labels of a node.
func (t *together) column(node uint64) ([]merkle.Node, error) {
	if labels, ok := t.labels[node]; ok {
		return labels, nil
	}
	labels, err := t.take(t.params.Layers)
	if err != nil {
		return nil, err
	}
	return labels, t.openColumn(node, labels)
}

// openColumn opens a column, whose hash is to be computed with the others.
func (t *together) openColumn(node uint64, labels []merkle.Node) error {
	t.labels[node] = labels
	leaf, err := t.columns.Open(node, t.take)
	t.hash = append(t.hash, labels...)
	t.into = append(t.into, leaf)
	return err
}

// check hashes all columns, then all paths.
func (t *together) check() error {
	hashes := make([]merkle.Node, len(t.into))
	if err := (poseidon.Tree{}).HashRow(t.params.Layers, t.hash, hashes); err != nil {
		return err
	}
	for i, leaf := range t.into {
		*leaf = hashes[i]
	}
	if err := t.dataBatch.Check(); err != nil {
		return err
	}
	return t.batch.Check()
}
