package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// xmm lists the vector registers. The first is the operand of SHA256RNDS2 that is not written
// down: two words of the schedule with their round constants.
var xmm = []reg.VecPhysical{
	reg.X0, reg.X1, reg.X2, reg.X3, reg.X4, reg.X5, reg.X6, reg.X7,
	reg.X8, reg.X9, reg.X10, reg.X11, reg.X12, reg.X13, reg.X14, reg.X15,
}

// words is the register of the schedule's words for the next two rounds.
var words = xmm[0]

// A state is the eight working variables of one hash, in the order of the instruction: abef holds
// a, b, e, f from the highest word down, cdgh the others.
type state struct{ abef, cdgh reg.VecPhysical }

// states are n states in registers, after skip others.
func states(skip, n int) []state {
	s := make([]state, n)
	for i := range s {
		s[i] = state{xmm[1+2*(skip+i)], xmm[2+2*(skip+i)]}
	}
	return s
}

// rounds are the 64 rounds of one block for every state, four at a step. The schedule is where the
// layout says. Loading twice is cheaper than shuffling the upper words down: the shuffle would take
// a turn of a unit that the rounds need.
func rounds(s []state, schedule Mem, at layout) stream {
	var out stream
	for quad := range quads {
		for lane := range s {
			out = append(out, func() {
				MOVQ(schedule.Offset(at(lane, 2*quad)), words)
				SHA256RNDS2(words, s[lane].abef, s[lane].cdgh)
				MOVQ(schedule.Offset(at(lane, 2*quad+1)), words)
				SHA256RNDS2(words, s[lane].cdgh, s[lane].abef)
			})
		}
	}
	return out
}

// roundsLoop generates the loop that measures the instruction itself: blocks times 64 rounds in
// each of some independent chains, all in registers.
func roundsLoop(chains int) {
	TEXT(fmt.Sprintf("rounds%d", chains), attr.NOSPLIT, "func(blocks int)")
	Doc("Runs the rounds of a number of blocks in chains that do not depend on each other.")
	blocks := Load(Param("blocks"), GP64())
	s := states(0, chains)
	for i := range 1 + 2*chains {
		VPXOR(xmm[i], xmm[i], xmm[i])
	}
	Label("block")
	for range quads {
		for _, c := range s {
			SHA256RNDS2(words, c.abef, c.cdgh)
		}
		for _, c := range s {
			SHA256RNDS2(words, c.cdgh, c.abef)
		}
	}
	DECQ(blocks)
	JNZ(LabelRef("block"))
	RET()
}
