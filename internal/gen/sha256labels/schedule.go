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
	nodeBytes = 32
)

// A layout says where in a slot the two words of a lane for a pair of rounds stand.
type layout func(lane, pair int) int

// quadsAt is the layout of lanes side by side, four words at a time, in the order in which the
// rounds read them.
func quadsAt(lanes int) layout {
	return func(lane, pair int) int { return (pair/2*lanes+lane)*quadBytes + pair%2*8 }
}

// message registers hold the sixteen words of the schedule that were computed last.
var (
	message = [4]reg.VecPhysical{xmm[11], xmm[12], xmm[13], xmm[14]}
	temp    = xmm[15]
)

// A schedule is the message schedule of one block of one lane, by the instructions for it: the
// words, each with the constant of its round added, go to a slot.
type schedule struct {
	lanes, lane int
	slot        Mem
	load        func() // fills the message registers, word 0 lowest
}

// steps computes the schedule, four words at a step.
func (s schedule) steps() stream {
	at := quadsAt(s.lanes)
	out := stream{s.load}
	for quad := range quads {
		out = append(out, func() {
			if quad >= 4 {
				extend(quad)
			}
			VPADDD(constants.round.Offset(quad*quadBytes), message[quad%4], temp)
			VMOVDQU(temp, s.slot.Offset(at(s.lane, 2*quad)))
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

// quadsBlock is the schedules of one block of parents for all lanes.
func (k *kernel) quadsBlock(slot, source Mem) stream {
	var out stream
	for lane := range k.lanes {
		load := func() {
			for half := range 2 {
				node := GP64()
				MOVQ(source.Offset(lane*sourceBytes+8*half), node)
				loadMessage(Mem{Base: node}, half)
			}
		}
		out = append(out, schedule{k.lanes, lane, slot, load}.steps()...)
	}
	return out
}

// loadMessage fills half of the message registers.
func loadMessage(from Mem, half int) {
	for i := range 2 {
		m := message[2*half+i]
		VMOVDQU(from.Offset(16*i), m)
		VPSHUFB(constants.flipWords, m, m)
	}
}

// quadsPrefix is the schedules of the first block of the node for all lanes: replica id, layer,
// node as a word of 64 bits, zeros.
func (k *kernel) quadsPrefix() stream {
	var out stream
	for lane := range k.lanes {
		load := func() {
			loadMessage(k.replicaID(lane), 0)
			VMOVQ(k.layer, message[2])
			VMOVQ(k.node, message[3])
			VPUNPCKLQDQ(message[3], message[2], message[2])
			VPXOR(message[3], message[3], message[3])
		}
		out = append(out, schedule{k.lanes, lane, k.prefixSlot, load}.steps()...)
	}
	return out
}
