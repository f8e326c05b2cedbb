// Command sha256pairs writes the machine code of sha256lanes.Pairs: SHA-256 of messages of 64 bytes,
// many in step. Run it from the module's root:
//
//	go run ./internal/gen/sha256pairs -out internal/sha256lanes/pairs_kernels_amd64.s \
//	    -stubs internal/sha256lanes/pairs_kernels_amd64.go -pkg sha256lanes
//
// Such a message makes two blocks, itself and a padding block that is the same for all, so that the
// second block has no message schedule: its words, added to the round constants, are a table. The
// kernels expect at least one message and write the digests with the two top bits of the last byte
// cleared. They read every message of a step before they write its digests, so that these may take
// the place of messages that are done.
package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
)

// Sizes in bytes.
const (
	message = 64
	digest  = 32
	word    = 4
)

func main() {
	tables := newTables()
	pairsSHA(tables)
	pairsAVX512(tables)
	Generate()
}

// tables are the constants of both kernels, in memory.
type tables struct {
	initial   operand.Mem // state before the first block, a first
	constants operand.Mem // round constants
	padding   operand.Mem // round constants plus the words of the padding block
	swap      operand.Mem // byte shuffle that turns the bytes of each word around
	swapPairs operand.Mem // the same for each pair of words
	trim      operand.Mem // mask of the last four words of a digest in memory
}

func newTables() tables {
	return tables{
		initial:   words("initial", initialState()),
		constants: words("constants", roundConstants()),
		padding:   words("padding", paddingConstants()),
		swap:      words("swap", []uint32{0x00010203, 0x04050607, 0x08090a0b, 0x0c0d0e0f}),
		swapPairs: words("swapPairs", []uint32{0x04050607, 0x00010203, 0x0c0d0e0f, 0x08090a0b}),
		trim:      words("trim", []uint32{1<<32 - 1, 1<<32 - 1, 1<<32 - 1, 0x3fffffff}),
	}
}

// words declares a table of words.
func words(name string, values []uint32) operand.Mem {
	m := GLOBL(name, attr.RODATA|attr.NOPTR)
	for i, v := range values {
		DATA(word*i, operand.U32(v))
	}
	return m
}
