package poseidon

import "golang.org/x/sys/cpu"

// hasEight says whether the processor can run the kernels in machine code.
var hasEight = cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512IFMA && cpu.X86.HasBMI2

// hashEight hashes up to eight groups of nodes to out, step nodes apart from each other, of which in
// holds the nodes of the first. It returns false, and nothing is written, if any is no field element.
func (h *Hasher) hashEight(in *[maxArity]*[32]byte, step int, out [][32]byte) bool {
	used := uint8(1<<len(out) - 1)
	p := h.eight
	return permute8(&p.constants[0], &p.matrix[0], h.width, len(h.partial), in, step*len(out[0]), used, &out[0]) == 0xff
}

// hashOne hashes a group of nodes, the first of which is given, to out. It returns false, and nothing
// is written, if any is no field element.
func (h *Hasher) hashOne(in, out *[32]byte) bool {
	p := h.eight
	if h.width <= lanes {
		return permuteNarrow(&p.constants[0], &p.matrix[0], h.width, len(h.partial), in, out)
	}
	return permuteWide(&p.constants[0], &p.matrix[0], h.width, len(h.partial), in, out)
}
