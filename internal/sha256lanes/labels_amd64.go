package sha256lanes

import (
	"fmt"
	"unsafe"

	"github.com/klauspost/cpuid/v2"
)

// callNodes is the most nodes in one call of machine code, which the scheduler cannot interrupt:
// about a millisecond.
const callNodes = 1024

// kernelLane is a lane as the machine code reads it.
type kernelLane struct {
	replicaID [NodeSize]byte
	current   *[NodeSize]byte
	expander  *[NodeSize]byte // labels of the first node of the call
}

// A kernel computes the labels of nodes, first and later ones, of as many lanes as it is made for.
// No node is node 0. Base parents are read wherever parents say, below the first node and those
// computed. There are rows of parents, at least as many as nodes: those after the nodes are only
// fetched into the caches.
type kernel func(parents *[Parents]uint32, nodes, rows, layer, first int, lanes *[unsafe.Sizeof(kernelLane{})]byte)

// Kernels for one lane, two and so on, nil where there is none.
var (
	quadKernels   = [...]kernel{labels1, labels2, labels3, labels4, labels5} // schedules by the instructions for them
	slicedKernels = [...]kernel{nil, labels2Sliced, labels3Sliced, labels4Sliced}
)

// What the processor can run: the kernels use short vectors in three operands beside the
// instructions for SHA-256.
var (
	hasQuads  = hasSHA && cpuid.CPU.Supports(cpuid.AVX)
	hasSliced = hasQuads && hasAVX512
)

// maxLanes is the most lanes of a kernel.
const maxLanes = len(quadKernels)

// LabelKernels returns the ways to compute labels on this processor.
func LabelKernels() []LabelKernel {
	out := []LabelKernel{portableKernel}
	add := func(name string, can bool, kernels []kernel) {
		for i, k := range kernels {
			if can && k != nil {
				out = append(out, LabelKernel{fmt.Sprintf("%s x%d", name, i+1), i + 1, checked(k.labels)})
			}
		}
	}
	add("sha", hasQuads, quadKernels[:])
	add("sha+avx512", hasSliced, slicedKernels[:])
	return out
}

// labels computes the labels of a run that has been checked.
func labels(run *Run, lanes []Lane) {
	if !hasQuads {
		portableLabels(run, lanes)
		return
	}
	for groups := (len(lanes) + len(quadKernels) - 1) / len(quadKernels); groups > 0; groups-- {
		n := len(lanes) / groups
		quadKernels[n-1].labels(run, lanes[:n])
		lanes = lanes[n:]
	}
}

// labels runs the kernel for exactly these lanes, in calls of bounded length.
func (k kernel) labels(run *Run, lanes []Lane) {
	var args [maxLanes]kernelLane
	first := 0
	if len(run.Parents) > 0 && run.First == 0 {
		// Node 0 has no parents: its message is a block, and its label the work of no kernel.
		for i := range lanes {
			lanes[i].Current[0] = firstLabel(run.Layer, &lanes[i])
		}
		first = 1
	}
	for ; first < len(run.Parents); first += callNodes {
		for i := range lanes {
			args[i] = kernelLane{replicaID: lanes[i].ReplicaID, current: unsafe.SliceData(lanes[i].Current)}
			if run.Layer > 1 {
				args[i].expander = &lanes[i].Expander[first*ExpanderParents]
			}
		}
		rest := run.Parents[first:]
		k(&rest[0], min(callNodes, len(rest)), len(rest), int(run.Layer), int(run.First)+first,
			(*[unsafe.Sizeof(kernelLane{})]byte)(unsafe.Pointer(&args[0])))
	}
}

// Rounds runs the 64 rounds of a number of blocks in each of 1, 2 or 4 chains, with the processor's
// instruction for two rounds and nothing else: what it takes is the least that hashing as many
// blocks can take. With one chain that is the instruction's latency (32 a block, each waiting for
// the one before), with four its throughput. It reports whether the processor has the instruction
// and the number of chains is one of those.
func Rounds(chains, blocks int) bool {
	loop := map[int]func(int){1: rounds1, 2: rounds2, 4: rounds4}[chains]
	if !hasQuads || loop == nil {
		return false
	}
	for ; blocks > 0; blocks -= callNodes {
		loop(min(blocks, callNodes))
	}
	return true
}
