// Command sha256labels writes the machine code that labels sectors with the SHA-256 instructions of
// amd64: one kernel for each number of sectors (lanes) hashed in step, and the loops that measure
// what the instructions can do at most. Run it from the module's root:
//
//	go run ./internal/gen/sha256labels \
//		-out internal/sha256lanes/labels_kernels_amd64.s \
//		-stubs internal/sha256lanes/labels_kernels_amd64.go -pkg sha256lanes
//
// The message of a label is twenty blocks. The first holds replica id, layer and node; then come
// the node's parents, two a block, over and over (seven blocks that recur, three in the first
// layer); the last is a parent again and the padding. A kernel therefore computes the message
// schedule of at most nine blocks, into slots on its stack, and runs the rounds of all twenty from
// there. The rounds of a lane wait for each other; what fills the waiting are the rounds of the
// other lanes and the schedule of the block after, woven in between.
package main

import (
	. "github.com/mmcloughlin/avo/build"
)

// maxLanes is where the instructions are busy all the time: each takes four cycles and one can start
// in each. (Registers would last for five.)
const maxLanes = 4

func main() {
	ConstraintExpr("amd64")
	writeConstants()
	for lanes := 1; lanes <= maxLanes; lanes++ {
		newKernel(lanes).generate()
	}
	newSlicedKernel(columns).generate()
	for _, chains := range []int{1, 2, 4} {
		roundsLoop(chains)
	}
	Generate()
}
