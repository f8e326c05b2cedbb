// Command poseidon writes the Poseidon permutation for AVX-512 IFMA: of eight states in step, and of
// one as fast as it goes. Run it from the module's root:
//
//	go run ./internal/gen/poseidon -out porep/poseidon/permute_kernels_amd64.s \
//	    -stubs porep/poseidon/permute_kernels_amd64.go -pkg poseidon
package main

import (
	. "github.com/mmcloughlin/avo/build"
)

func main() {
	field()
	lanes()
	permuteEight()
	permuteOne("permuteNarrow", 1)
	permuteOne("permuteWide", 2)
	Generate()
}
