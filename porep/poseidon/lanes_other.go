//go:build !amd64

package poseidon

// hasEight says that there is no machine code for this processor.
const hasEight = false

func (h *Hasher) hashEight(in *[maxArity]*[32]byte, step int, out [][32]byte) bool {
	panic("poseidon: no machine code for this processor")
}

func (h *Hasher) hashOne(in, out *[32]byte) bool {
	panic("poseidon: no machine code for this processor")
}
