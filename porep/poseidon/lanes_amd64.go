package poseidon

import "golang.org/x/sys/cpu"

// hasEight says whether the processor can run permute8.
var hasEight = cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512IFMA

// hashEight hashes up to eight groups of nodes to out, step nodes apart from each other, of which in
// holds the nodes of the first. It returns false, and nothing is written, if any is no field element.
func (h *Hasher) hashEight(in *[maxArity]*[32]byte, step int, out [][32]byte) bool {
	used := uint8(1<<len(out) - 1)
	p := h.eight
	return permute8(&p.constants[0], &p.matrix[0], h.width, len(h.partial), in, step*len(out[0]), used, &out[0]) == 0xff
}
