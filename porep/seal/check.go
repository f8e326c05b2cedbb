package seal

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/graph"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/porep/poseidon"
)

// sampledNodes is how many random nodes the check looks at, besides the first two
// and the last.
const sampledNodes = 32

// CheckError says what the check of a sealed sector found: the node at which the
// files do not fit together, and the step that went wrong there.
type CheckError struct {
	Step  Step
	Layer int    // of the labels, from 1; 0 for other steps
	Node  uint64 // of the sector
	Path  string // of the file that is wrong
	Again bool   // the step was sent back, and Next names it; false if it was sent back before
	Err   error
}

func (e *CheckError) Error() string {
	return fmt.Sprintf("%s: %s is wrong at node %d: %v", e.Path, e.Step, e.Node, e.Err)
}

// Unwrap returns the reason.
func (e *CheckError) Unwrap() error { return e.Err }

// check looks whether a sealed sector is what its commitments say: at random
// nodes the labels of every layer follow from those of their parents, the column
// is in CommC, the replica node is label plus data and in CommRLast, and the data
// node is in CommD; and a proof of random challenges verifies. What is wrong is
// done again once.
func (s *Sector) check(ctx context.Context) error {
	nodes, err := s.sampleNodes()
	if err != nil {
		return err
	}
	if err = s.checkNodes(ctx, nodes); err == nil {
		err = s.checkProof(ctx)
	}
	var bad *CheckError
	if errors.As(err, &bad) {
		return s.sendBack(ctx, bad)
	}
	if err != nil {
		return err
	}
	s.record.Checked = true
	return s.saveRecord()
}

// checkProof proves random challenges and verifies them as the chain does.
func (s *Sector) checkProof(ctx context.Context) error {
	var seed [32]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return err
	}
	in := s.statement(seed, 0, porep.MaxPartChallenges)
	proof, err := s.prove(ctx, in)
	if err != nil {
		return err
	}
	err = s.params.Verify(in, proof)
	if err == nil {
		return nil
	}
	// The first bad challenge says where to look for the step.
	bad := &CheckError{Step: StepLabels, Layer: 1, Path: s.cfg.Dir, Err: err}
	var challenge *porep.ChallengeError
	if errors.As(err, &challenge) {
		bad.Node = challenge.Node
		nodes, err := s.withParents(challenge.Node)
		if err == nil {
			err = s.checkNodes(ctx, nodes)
		}
		if err != nil {
			return err
		}
	}
	return bad
}

// withParents returns a node and its parents.
func (s *Sector) withParents(node uint64) ([]uint64, error) {
	g, err := s.newGraph()
	if err != nil {
		return nil, err
	}
	var parents [graph.Degree]uint32
	g.Parents(uint32(node), &parents)
	nodes := []uint64{node}
	for _, parent := range parents {
		nodes = append(nodes, uint64(parent))
	}
	return nodes, nil
}

// sendBack forgets what a bad step and those after it made, so that they are
// done again, and damaged files of earlier steps, which may be why. A step is
// sent back once in a sector's life.
func (s *Sector) sendBack(ctx context.Context, bad *CheckError) error {
	if slices.Contains(s.record.Redone, bad.Step) {
		return bad
	}
	torn, err := s.damaged(ctx, s.noted())
	if err != nil {
		return errors.Join(bad, err)
	}
	drop := torn
	reached := false
	for _, step := range s.steps() {
		if step.name != StepData && slices.ContainsFunc(step.files, func(name string) bool { return slices.Contains(torn, name) }) {
			reached = true
		}
		switch {
		case step.name == bad.Step && bad.Step == StepLabels && !reached:
			drop = append(drop, step.files[max(bad.Layer, 1)-1:]...)
			reached = true
		case step.name == bad.Step || reached:
			drop = append(drop, step.files...)
			reached = true
		}
	}
	s.record.Result = nil
	s.record.Redone = append(s.record.Redone, bad.Step)
	if err := s.remove(drop); err != nil {
		return errors.Join(bad, err)
	}
	bad.Again = true
	return bad
}

// sampler reads what the check compares.
type sampler struct {
	s        *Sector
	result   Result
	graph    *graph.Graph
	labeler  *porep.Labeler
	layers   []*os.File
	data     *os.File
	treeD    merkle.RowReader
	treeC    merkle.RowReader
	replica  *Replica
	progress *meter
}

// sampleNodes returns the nodes that the check looks at.
func (s *Sector) sampleNodes() ([]uint64, error) {
	nodes := []uint64{0, 1, s.params.Nodes - 1}
	for range sampledNodes {
		var buf [8]byte
		if _, err := rand.Read(buf[:]); err != nil {
			return nil, err
		}
		nodes = append(nodes, binary.LittleEndian.Uint64(buf[:])%s.params.Nodes)
	}
	return nodes, nil
}

// checkNodes looks at nodes, and at the roots.
func (s *Sector) checkNodes(ctx context.Context, nodes []uint64) error {
	if err := s.checkRoots(); err != nil {
		return err
	}
	c := &sampler{s: s, result: s.record.Result.result(), progress: s.meter(StepCheck, uint64(len(nodes)))}
	files, err := c.open(ctx)
	defer closeAll(files)
	if c.replica != nil {
		defer c.replica.Close()
	}
	if err != nil {
		return err
	}
	for _, node := range nodes {
		if err := c.node(node); err != nil {
			return err
		}
		c.progress.add(1)
	}
	return nil
}

// checkRoots compares p_aux with the result, and CommR with its parts.
func (s *Sector) checkRoots() error {
	var aux Replica
	if err := aux.readAux(s.path(auxFile)); err != nil {
		return err
	}
	want := s.record.Result.result()
	bad := &CheckError{Step: StepCommit, Path: s.path(auxFile)}
	if aux.CommC != want.CommC || aux.CommRLast != want.CommRLast {
		bad.Err = fmt.Errorf("CommC %x and CommRLast %x, want %x and %x", aux.CommC, aux.CommRLast, want.CommC, want.CommRLast)
		return bad
	}
	if bad.Err = porep.CheckCommR(want.CommR, want.CommC, want.CommRLast); bad.Err != nil {
		return bad
	}
	return nil
}

// open opens all files. Those that it returns are the caller's to close, and so
// is the replica, even after an error.
func (c *sampler) open(ctx context.Context) (files []*os.File, err error) {
	s := c.s
	if c.graph, err = s.newGraph(); err != nil {
		return nil, err
	}
	c.labeler = porep.NewLabeler(c.result.ReplicaID)
	if c.layers, err = s.openLayers(); err != nil {
		return nil, err
	}
	files = append(files, c.layers...)
	treeC, treeCFiles, err := s.openTreeC()
	files = append(files, treeCFiles...)
	if err != nil {
		return files, err
	}
	treeD, treeDFile, err := s.openTreeD()
	if err != nil {
		return files, err
	}
	files = append(files, treeDFile)
	if c.data, err = openSized(s.path(unsealedFile), s.params.SectorSize()); err != nil {
		return files, err
	}
	files = append(files, c.data)
	if c.replica, err = OpenReplica(s.cfg.Dir, s.params); errors.Is(err, errRoot) {
		return files, &CheckError{Step: StepTreeRLast, Path: s.path(treeRLastFile + "*.dat"), Err: err}
	} else if err != nil {
		return files, err
	}
	c.treeC, c.treeD = cancelled(ctx, treeC), cancelled(ctx, treeD)
	return files, nil
}

// node checks everything about one node.
func (c *sampler) node(v uint64) error {
	column := make([]merkle.Node, len(c.layers))
	if err := columnReader(c.layers)(v, column); err != nil {
		return err
	}
	for layer := range c.layers {
		if err := c.label(v, layer, column[layer]); err != nil {
			return err
		}
	}
	leaf, err := poseidon.Hash(column)
	if err != nil {
		return c.bad(StepLabels, 1, v, c.layers[0].Name(), err)
	}
	if err := checkPath(poseidon.Tree{}, c.s.params.Shape, c.s.params.Nodes, v, leaf, c.result.CommC, c.treeC); err != nil {
		return c.failed(StepTreeC, v, c.s.path(c.baseFile(treeCFile, v)), err)
	}
	var data [1]merkle.Node
	if err := merkle.LeavesAt(c.data)(v, data[:]); err != nil {
		return fmt.Errorf("%s: %w", c.data.Name(), err)
	}
	if err := checkPath(piece.Tree{}, merkle.Binary, c.s.params.Nodes, v, data[0], c.result.CommD, c.treeD); err != nil {
		return c.failed(StepTreeD, v, c.s.path(treeDFile), err)
	}
	return c.encoded(v, column[len(column)-1], data[0])
}

// encoded checks the replica node.
func (c *sampler) encoded(v uint64, label, data merkle.Node) error {
	want, err := porep.Encode(label, data)
	if err != nil {
		return c.bad(StepReplica, 0, v, c.s.path(sealedFile), err)
	}
	var have [1]merkle.Node
	if err := c.replica.TreeRLast(0, v, have[:]); err != nil {
		return err
	}
	if have[0] != want {
		return c.bad(StepReplica, 0, v, c.s.path(sealedFile), fmt.Errorf("%x, data and label give %x", have[0], want))
	}
	if err := checkPath(poseidon.Tree{}, c.s.params.Shape, c.s.params.Nodes, v, want, c.result.CommRLast, c.replica.TreeRLast); err != nil {
		return c.failed(StepTreeRLast, v, c.s.path(c.baseFile(treeRLastFile, v)), err)
	}
	return nil
}

// label computes a label of a layer, the first of which is 0 here, from its
// parents in the layer files, and blames the lowest layer that is wrong.
func (c *sampler) label(v uint64, layer int, have merkle.Node) error {
	var parents [graph.Degree]uint32
	c.graph.Parents(uint32(v), &parents)
	var labels [graph.Degree]merkle.Node
	n := 0
	for ; v > 0 && n < graph.Degree; n++ {
		from := c.layers[layer]
		if n >= graph.BaseDegree {
			if layer == 0 {
				break
			}
			from = c.layers[layer-1]
		}
		if err := merkle.LeavesAt(from)(uint64(parents[n]), labels[n:n+1]); err != nil {
			return fmt.Errorf("%s: %w", from.Name(), err)
		}
	}
	want := c.labeler.Label(uint32(layer)+1, v, labels[:n]...)
	if have == want {
		return nil
	}
	// The layer before may be the wrong one: to label this one anew would not help.
	for i := graph.BaseDegree; layer > 0 && i < n; i++ {
		if err := c.label(uint64(parents[i]), layer-1, labels[i]); err != nil {
			return err
		}
	}
	return c.bad(StepLabels, layer+1, v, c.layers[layer].Name(), fmt.Errorf("label %x, its parents give %x", have, want))
}

func (c *sampler) bad(step Step, layer int, node uint64, path string, err error) error {
	return &CheckError{Step: step, Layer: layer, Node: node, Path: path, Err: err}
}

// failed tells a path that does not hold from one that could not be read.
func (c *sampler) failed(step Step, node uint64, path string, err error) error {
	var wrong *pathError
	if errors.As(err, &wrong) {
		return c.bad(step, 0, node, path, err)
	}
	return err
}

// baseFile names the file of the base tree that a node is in.
func (c *sampler) baseFile(stem string, node uint64) string {
	names := baseFiles(stem, c.s.params.Shape)
	return names[node/(c.s.params.Nodes/uint64(len(names)))]
}

// pathError says that a leaf is not in a tree.
type pathError struct{ text string }

func (e *pathError) Error() string { return e.text }

// checkPath checks that a stored tree has a leaf at its place, and that the leaf
// hashes up to the root.
func checkPath[H merkle.Hasher](h H, shape merkle.Shape, leaves, index uint64, want, root merkle.Node, read merkle.RowReader) error {
	leaf, path, err := merkle.Open(shape, leaves, index, read)
	if err != nil {
		return err
	}
	if leaf != want {
		return &pathError{fmt.Sprintf("leaf %x, want %x", leaf, want)}
	}
	got, err := merkle.Root(h, shape, leaves, index, leaf, path)
	if err != nil {
		return &pathError{err.Error()}
	}
	if got != root {
		return &pathError{fmt.Sprintf("path gives the root %x, want %x", got, root)}
	}
	return nil
}
