package sha256lanes

import (
	"fmt"

	"github.com/minio/sha256-simd"
)

// Pairs writes to dst[i] the parent of src[2i] and src[2i+1]: SHA-256 of the two, the two top bits
// of the last byte cleared. Src must have twice as many nodes as dst, anything else is a mistake of
// the calling code and panics. Dst may be the front of src.
func Pairs(dst, src [][NodeSize]byte) {
	mustPair(dst, src)
	pairs(dst, src)
}

func mustPair(dst, src [][NodeSize]byte) {
	if len(src) != 2*len(dst) {
		panic(fmt.Sprintf("sha256lanes: %d parents for %d nodes", len(dst), len(src)))
	}
}

// PairKernel is one of the ways to compute [Pairs].
type PairKernel struct {
	// Name says what of the processor it uses.
	Name string
	// Lanes is how many parents are computed in step.
	Lanes int
	// Hash does the same as Pairs.
	Hash func(dst, src [][NodeSize]byte)
}

// PairKernels returns the kernels that this processor can run, first the one that Pairs chooses.
func PairKernels() []PairKernel {
	kernels := append(machineKernels(), PairKernel{"sha256-simd", 1, pairsPortable})
	for i, k := range kernels {
		kernels[i].Hash = func(dst, src [][NodeSize]byte) {
			mustPair(dst, src)
			k.Hash(dst, src)
		}
	}
	return kernels
}

// pairsPortable is Pairs one after the other.
func pairsPortable(dst, src [][NodeSize]byte) {
	all := Bytes(src)
	for i := range dst {
		dst[i] = trim(sha256.Sum256(all[2*NodeSize*i:][:2*NodeSize]))
	}
}

// trim clears the two top bits of a digest, which makes it a field element.
func trim(digest [NodeSize]byte) [NodeSize]byte {
	digest[NodeSize-1] &= 0x3f
	return digest
}
