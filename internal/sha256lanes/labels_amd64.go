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

// laneKernels are the kernels for one lane, two and so on. Schedules come from the instructions for
// them.
var laneKernels = [...]kernel{labels1, labels2, labels3, labels4}

// maxLanes is the most lanes of a kernel.
const maxLanes = len(laneKernels)

// What the processor can run: the kernels use short vectors in three operands beside the
// instructions for SHA-256.
var (
	hasLabels = hasSHA && cpuid.CPU.Supports(cpuid.AVX)
	hasSliced = hasLabels && hasAVX512
)

// LabelKernels returns the ways to compute labels on this processor.
func LabelKernels() []LabelKernel {
	out := []LabelKernel{portableKernel}
	if hasLabels {
		for i, k := range laneKernels {
			out = append(out, LabelKernel{fmt.Sprintf("sha x%d", i+1), i + 1, checked(k.labels)})
		}
	}
	if hasSliced {
		out = append(out, LabelKernel{fmt.Sprintf("sha+avx512 x%d", maxLanes), maxLanes, checked(kernel(labels4Sliced).labels)})
	}
	return out
}

// labels computes the labels of a run that has been checked. Lanes are split evenly: a kernel for
// one lane more saves less than a kernel for one less costs.
func labels(run *Run, lanes []Lane) {
	if !hasLabels {
		portableLabels(run, lanes)
		return
	}
	for groups := (len(lanes) + maxLanes - 1) / maxLanes; groups > 0; groups-- {
		n := len(lanes) / groups
		k := laneKernels[n-1]
		// In the first layer there are too few schedules to compute for slices to pay.
		if n == maxLanes && hasSliced && run.Layer > 1 {
			k = labels4Sliced
		}
		k.labels(run, lanes[:n])
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
	if !hasLabels || loop == nil {
		return false
	}
	for ; blocks > 0; blocks -= callNodes {
		loop(min(blocks, callNodes))
	}
	return true
}
