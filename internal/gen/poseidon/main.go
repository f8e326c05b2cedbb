// Command poseidon writes the Poseidon permutation of eight states in step for AVX-512 IFMA. Run it
// from the module's root:
//
//	go run ./internal/gen/poseidon -out porep/poseidon/eight_amd64.s -stubs porep/poseidon/eight_amd64.go -pkg poseidon
package main

import (
	. "github.com/mmcloughlin/avo/build"
)

func main() {
	field()
	lanes()
	permute()
	Generate()
}
