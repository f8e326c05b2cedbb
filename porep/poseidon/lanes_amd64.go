package poseidon

import "golang.org/x/sys/cpu"

// hasEight says whether the processor can run permute8.
var hasEight = cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512IFMA

// hashEight hashes one to eight groups; see [Kernel.hash].
func (h *Hasher) hashEight(in *groups, step int, out [][32]byte) bool {
	var nodes [maxArity]*[32]byte
	for i := range h.arity {
		nodes[i] = &in[i][0]
	}
	used := uint8(1<<len(out) - 1)
	p := h.eight
	return permute8(&p.constants[0], &p.matrix[0], h.width, len(h.partial), &nodes, step*len(out[0]), used, &out[0]) == 0xff
}
