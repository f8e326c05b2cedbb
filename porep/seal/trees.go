package seal

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/internal/sha256lanes"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/poseidon"
)

// discardedRows returns how many rows above the leaves a stored tree over the
// replica leaves out, by the number of rows that a base tree has, leaves and root
// counted; the leaves are the replica itself. The reference implementation does
// the same.
func discardedRows(rows int) int {
	switch {
	case rows <= 2:
		return 0
	case rows == 3:
		return 1
	}
	return min(rows-2, 2)
}

// forest is the geometry of the trees of a shape: base trees over equal,
// contiguous parts of the nodes, joined by the upper levels.
type forest struct {
	shape  merkle.Shape
	base   merkle.Shape
	trees  int
	leaves uint64 // of one base tree
	levels int    // of one base tree
}

func newForest(p porep.Params) (forest, error) {
	f := forest{shape: p.Shape, base: merkle.Shape{Base: p.Shape.Base}, trees: baseTrees(p.Shape)}
	if p.Nodes%uint64(f.trees) != 0 {
		return f, fmt.Errorf("%d nodes in %d base trees", p.Nodes, f.trees)
	}
	f.leaves = p.Nodes / uint64(f.trees)
	arities, err := f.base.Arities(f.leaves)
	f.levels = len(arities)
	return f, err
}

// discard is the number of rows that stored trees over the replica leave out.
func (f forest) discard() int { return discardedRows(f.levels + 1) }

// join computes the rows above the base trees from their roots, which are the
// first of them; the last is the root of all.
func (f forest) join(roots []merkle.Node) ([][]merkle.Node, error) {
	rows := [][]merkle.Node{roots}
	for _, arity := range []int{f.shape.Sub, f.shape.Top} {
		if arity == 0 {
			continue
		}
		below := rows[len(rows)-1]
		row := make([]merkle.Node, len(below)/arity)
		for i := range row {
			node, err := poseidon.Hash(below[i*arity : (i+1)*arity])
			if err != nil {
				return nil, err
			}
			row[i] = node
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// buildForest builds the base trees over leaves into files, the rows from firstRow up.
func (s *Sector) buildForest(ctx context.Context, names []string, firstRow int, leaves merkle.Leaves) error {
	f, err := newForest(s.params)
	if err != nil {
		return err
	}
	for i, name := range names {
		if s.has(name) {
			continue
		}
		first := uint64(i) * f.leaves
		part := func(at uint64, out []merkle.Node) error { return leaves(first+at, out) }
		if err := s.write(name, func(file *os.File) error {
			write, err := f.base.Writer(f.leaves, firstRow, file)
			if err != nil {
				return err
			}
			_, err = merkle.Build(poseidon.Tree{}, f.base, f.leaves, part, write, s.runner(ctx))
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// buildTreeC builds the trees over the columns.
func (s *Sector) buildTreeC(ctx context.Context) error {
	layers, err := s.openLayers()
	if err != nil {
		return err
	}
	defer closeAll(layers)
	columns, err := columnLeaves(layers)
	if err != nil {
		return err
	}
	leaves := metered(columns, s.meter(StepTreeC, s.params.Nodes))
	return s.buildForest(ctx, baseFiles(treeCFile, s.params.Shape), 0, leaves)
}

// columnLeaves hashes the columns of a run of nodes: it reads the run of each
// layer in one piece, and holds no other.
func columnLeaves(layers []*os.File) (merkle.Leaves, error) {
	hasher, err := poseidon.New(len(layers))
	if err != nil {
		return nil, fmt.Errorf("hash columns of %d layers: %w", len(layers), err)
	}
	scratch := sync.Pool{New: func() any { return &columns{rows: make([][]merkle.Node, len(layers))} }}
	return func(first uint64, out []merkle.Node) error {
		c := scratch.Get().(*columns)
		defer scratch.Put(c)
		c.resize(len(out))
		for i, layer := range layers {
			if err := readAt(layer, sha256lanes.Bytes(c.rows[i]), int64(first*porep.NodeSize)); err != nil {
				return err
			}
		}
		if err := hasher.HashColumns(c.rows, out); err != nil {
			return fmt.Errorf("columns from node %d: %w", first, err)
		}
		return nil
	}, nil
}

// columns holds the labels of a run of nodes, layer by layer.
type columns struct{ rows [][]merkle.Node }

func (c *columns) resize(nodes int) {
	for i := range c.rows {
		c.rows[i] = slices.Grow(c.rows[i][:0], nodes)[:nodes]
	}
}

// buildTreeRLast builds the trees over the replica, without the rows that are
// cheap to compute again.
func (s *Sector) buildTreeRLast(ctx context.Context) error {
	replica, err := openSized(s.path(sealedFile), s.params.SectorSize())
	if err != nil {
		return err
	}
	defer replica.Close()
	f, err := newForest(s.params)
	if err != nil {
		return err
	}
	leaves := metered(merkle.LeavesAt(replica), s.meter(StepTreeRLast, s.params.Nodes))
	return s.buildForest(ctx, baseFiles(treeRLastFile, s.params.Shape), f.discard()+1, leaves)
}

// forestRoot joins the roots of stored base trees.
func (s *Sector) forestRoot(names []string) (root [32]byte, err error) {
	f, err := newForest(s.params)
	if err != nil {
		return root, err
	}
	roots := make([]merkle.Node, len(names))
	for i, name := range names {
		if roots[i], err = rootOf(s.path(name)); err != nil {
			return root, err
		}
	}
	rows, err := f.join(roots)
	if err != nil {
		return root, err
	}
	return rows[len(rows)-1][0], nil
}

// commit computes CommR, writes p_aux and notes the result.
func (s *Sector) commit(context.Context) error {
	commD, err := rootOf(s.path(treeDFile))
	if err != nil {
		return err
	}
	commC, err := s.forestRoot(baseFiles(treeCFile, s.params.Shape))
	if err != nil {
		return err
	}
	commRLast, err := s.forestRoot(baseFiles(treeRLastFile, s.params.Shape))
	if err != nil {
		return err
	}
	commR, err := poseidon.Hash([]merkle.Node{commC, commRLast})
	if err != nil {
		return err
	}
	replicaID, err := s.replicaID()
	if err != nil {
		return err
	}
	if err := s.write(auxFile, func(file *os.File) error {
		_, err := file.Write(merkle.AppendNodes(nil, []merkle.Node{commC, commRLast}))
		return err
	}); err != nil {
		return err
	}
	s.record.Result = &resultRecord{
		CommD: commD, CommR: commR, CommC: commC, CommRLast: commRLast, ReplicaID: replicaID,
	}
	return s.saveRecord()
}

// openLayers opens the labels of all layers.
func (s *Sector) openLayers() ([]*os.File, error) {
	layers := make([]*os.File, 0, s.params.Layers)
	for layer := 1; layer <= s.params.Layers; layer++ {
		file, err := openSized(s.path(layerFile(layer)), s.params.SectorSize())
		if err != nil {
			closeAll(layers)
			return nil, err
		}
		layers = append(layers, file)
	}
	return layers, nil
}

func closeAll(files []*os.File) {
	for _, file := range files {
		file.Close()
	}
}
