package sha256lanes

import (
	"encoding/binary"
	"fmt"

	"github.com/minio/sha256-simd"
)

const (
	// BaseParents is the number of parents of a node in its own layer.
	BaseParents = 6
	// ExpanderParents is the number of parents of a node in the layer before.
	ExpanderParents = 8
	// Parents is the number of parents of a node, base parents first.
	Parents = BaseParents + ExpanderParents
	// ExpanderBytes is the size of the labels of a node's expander parents.
	ExpanderBytes = ExpanderParents * NodeSize

	labelPrefix  = 64 // replica id, layer, node, zeros
	labelParents = 37 // parents hashed: those of the node over and over
	labelBytes   = labelPrefix + labelParents*NodeSize
)

// Run is a run of consecutive nodes of one layer, the same for every lane.
type Run struct {
	Layer   uint32            // the first is 1
	First   uint32            // first node of the run
	Parents [][Parents]uint32 // of each node of the run; all base parents are below the node, for node 0 none is read
}

// Lane is one sector of a run.
type Lane struct {
	ReplicaID [NodeSize]byte
	// Current is the layer: the labels of all nodes before the run stand there, those of the run are
	// written there.
	Current [][NodeSize]byte
	// Expander holds, for each node of the run, the labels of its expander parents in the layer
	// before, in order: ExpanderParents a node. The first layer has none and does not read it.
	Expander [][NodeSize]byte
}

// LabelKernel is one way to compute labels.
type LabelKernel struct {
	Name  string
	Lanes int // Label takes exactly as many
	Label func(run *Run, lanes []Lane)
}

// Labels computes the labels of a run for every lane (see porep/SPEC.md), by whatever is fastest
// for as many. Lanes that do not hold what the run needs, and base parents that are not below their
// node, are a mistake of the calling code and panic.
func Labels(run *Run, lanes []Lane) {
	run.check(lanes)
	labels(run, lanes)
}

// check is what stands between the arguments and code that checks no index.
func (r *Run) check(lanes []Lane) {
	for i := range lanes {
		l := &lanes[i]
		if end := uint64(r.First) + uint64(len(r.Parents)); end > uint64(len(l.Current)) {
			panic(fmt.Sprintf("sha256lanes: labels up to node %d in a layer of %d", end, len(l.Current)))
		}
		if r.Layer > 1 && len(l.Expander) < len(r.Parents)*ExpanderParents {
			panic(fmt.Sprintf("sha256lanes: %d expander labels for %d nodes", len(l.Expander), len(r.Parents)))
		}
	}
	for i := range r.Parents {
		node := r.First + uint32(i)
		if p := r.Parents[i][:BaseParents]; node > 0 && max(p[0], p[1], p[2], p[3], p[4], p[5]) >= node {
			panic(fmt.Sprintf("sha256lanes: base parents %d of node %d", p, node))
		}
	}
}

// portableKernel needs nothing of the processor.
var portableKernel = LabelKernel{"portable", 1, checked(portableLabels)}

// checked makes a kernel for callers outside.
func checked(label func(run *Run, lanes []Lane)) func(run *Run, lanes []Lane) {
	return func(run *Run, lanes []Lane) {
		run.check(lanes)
		label(run, lanes)
	}
}

func portableLabels(run *Run, lanes []Lane) {
	for i := range lanes {
		labelsPortable(run, &lanes[i])
	}
}

// firstLabel is the label of node 0, which has no parents.
func firstLabel(layer uint32, lane *Lane) [NodeSize]byte {
	var buf [labelPrefix]byte
	copy(buf[:], lane.ReplicaID[:])
	binary.BigEndian.PutUint32(buf[NodeSize:], layer)
	return trim(sha256.Sum256(buf[:]))
}

// labelsPortable computes the labels of one lane in a buffer that is filled once a node.
func labelsPortable(run *Run, lane *Lane) {
	var buf [labelBytes]byte
	copy(buf[:], lane.ReplicaID[:])
	binary.BigEndian.PutUint32(buf[32:], run.Layer)
	parents := View(buf[labelPrefix:])
	for i := range run.Parents {
		node := run.First + uint32(i)
		binary.BigEndian.PutUint64(buf[36:], uint64(node))
		if node == 0 {
			lane.Current[0] = trim(sha256.Sum256(buf[:labelPrefix]))
			continue
		}
		n := BaseParents
		for j := range n {
			parents[j] = lane.Current[run.Parents[i][j]]
		}
		if run.Layer > 1 {
			n += copy(parents[n:], lane.Expander[i*ExpanderParents:][:ExpanderParents])
		}
		for ; n < labelParents; n *= 2 {
			copy(parents[n:], parents[:n])
		}
		lane.Current[node] = trim(sha256.Sum256(buf[:]))
	}
}
