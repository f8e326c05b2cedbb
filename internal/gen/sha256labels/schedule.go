package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	quads     = 16     // steps of four rounds in a block
	quadBytes = 16     // four words of a schedule
	slotBytes = 64 * 4 // the schedule of one block and lane
	halfBlock = 32     // a node
)

// quadOffset says where in a slot four words of a lane stand: quad by quad, the lanes side by side,
// in the order in which the rounds read them.
func quadOffset(lanes, lane, quad int) int { return (quad*lanes + lane) * quadBytes }

// message registers hold the sixteen words of the schedule that were computed last.
var (
	message = [4]reg.VecPhysical{xmm[11], xmm[12], xmm[13], xmm[14]}
	temp    = xmm[15]
)

// A schedule is the message schedule of one block of one lane: the words, each with the constant of
// its round added, go to a slot.
type schedule struct {
	lanes, lane int
	slot        Mem
	load        func() // fills the message registers, word 0 lowest
}

// steps computes the schedule, four words at a step.
func (s schedule) steps() stream {
	out := stream{s.load}
	for quad := range quads {
		out = append(out, func() {
			if quad >= 4 {
				extend(quad)
			}
			VPADDD(constants.round.Offset(quad*quadBytes), message[quad%4], temp)
			VMOVDQU(temp, s.slot.Offset(quadOffset(s.lanes, s.lane, quad)))
		})
	}
	return out
}

// extend replaces the oldest four words by the next four.
func extend(quad int) {
	w16, w12, w8, w4 := message[quad%4], message[(quad+1)%4], message[(quad+2)%4], message[(quad+3)%4]
	SHA256MSG1(w12, w16)
	VPALIGNR(Imm(4), w8, w4, temp)
	PADDD(temp, w16)
	SHA256MSG2(w4, w16)
}

// loadNodes fills the message registers with the two nodes whose addresses stand at from.
func loadNodes(from Mem) func() {
	return func() {
		for half := range 2 {
			node := GP64()
			MOVQ(from.Offset(8*half), node)
			for i := range 2 {
				m := message[2*half+i]
				VMOVDQU(Mem{Base: node}.Offset(16*i), m)
				PSHUFB(constants.flipWords, m)
			}
		}
	}
}

// loadPrefix fills the message registers with the first block of a label: replica id, layer, node
// as a word of 64 bits, zeros.
func loadPrefix(replicaID Mem, layer, node reg.Register) func() {
	return func() {
		for i := range 2 {
			VMOVDQU(replicaID.Offset(16*i), message[i])
			PSHUFB(constants.flipWords, message[i])
		}
		VMOVQ(layer, message[2])
		VMOVQ(node, message[3])
		VPUNPCKLQDQ(message[3], message[2], message[2])
		VPXOR(message[3], message[3], message[3])
	}
}
