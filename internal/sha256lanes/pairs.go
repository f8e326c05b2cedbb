package sha256lanes

import (
	"fmt"

	"github.com/minio/sha256-simd"
)

// Pairs writes to dst[i] the parent of src[2i] and src[2i+1]: SHA-256 of the two, the two top bits
// of the last byte cleared. Src must have twice as many nodes as dst, anything else is a mistake of
// the calling code and panics. Dst may be the front of src.
func Pairs(dst, src [][NodeSize]byte) {
	if len(src) != 2*len(dst) {
		panic(fmt.Sprintf("sha256lanes: %d parents for %d nodes", len(dst), len(src)))
	}
	pairsPortable(dst, src)
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
