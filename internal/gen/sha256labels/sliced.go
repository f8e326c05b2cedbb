package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The instructions for the schedule hold up those for the rounds: the second is a sequence of four
// that the decoder has to look up. With AVX-512 (in its form for shorter vectors) the schedules are
// computed by plain vector instructions instead, in slices: a vector holds the same word of eight
// blocks, two blocks of four lanes each.
//
// Only vector registers from 16 up are used wider than 16 bytes. A wide value in one of the lower
// makes every instruction for rounds keep the upper half of its register, which costs a third of
// their speed.

const (
	columns    = 4               // lanes in a slice; the rest of fewer are repetitions
	sliceBytes = 2 * columns * 4 // a word of two blocks
	pairBytes  = 64 * sliceBytes // schedules of two blocks
	half       = columns * 4     // from the first block of a pair to the second
	ringBytes  = 16 * sliceBytes // the last sixteen words
)

// slicedAt is where the words of a lane stand in slices of which two at a time were interleaved.
func slicedAt(lane, pair int) int {
	return 2*pair*sliceBytes + lane/2*sliceBytes + lane%2*8
}

var (
	// window holds the last eight words; older ones are read from the ring.
	window = [8]reg.VecPhysical{reg.Y16, reg.Y17, reg.Y18, reg.Y19, reg.Y20, reg.Y21, reg.Y22, reg.Y23}
	temps  = [8]reg.VecPhysical{reg.Y24, reg.Y25, reg.Y26, reg.Y27, reg.Y28, reg.Y29, reg.Y30, reg.Y31}
)

// slices computes the schedules of the blocks in slices.
type slices struct {
	ring Mem
	slot Mem
	load func(word int) // fills the window's register of one of the first sixteen words, in order
	wide func(reg.VecPhysical) reg.VecPhysical
}

// short is for slices of one block.
func short(r reg.VecPhysical) reg.VecPhysical { return r.AsX().(reg.VecPhysical) }

// long is for slices of two blocks.
func long(r reg.VecPhysical) reg.VecPhysical { return r.AsY().(reg.VecPhysical) }

func (s slices) word(t int) reg.VecPhysical { return s.wide(window[t%8]) }
func (s slices) temp(i int) reg.VecPhysical { return s.wide(temps[i]) }
func (s slices) old(t int) Mem              { return s.ring.Offset(t % 16 * sliceBytes) }

// steps computes the schedules, a word at a step.
func (s slices) steps() stream {
	var out stream
	for t := range 64 {
		out = append(out, func() {
			if t < 16 {
				s.load(t)
			} else {
				s.extend(t)
			}
			if t+15 < 64 {
				VMOVDQU32(s.word(t), s.old(t))
			}
			if t%2 == 1 {
				s.write(t / 2)
			}
		})
	}
	return out
}

// extend computes word t: the words 16 and 7 before, and the words 15 and 2 before scrambled
// (FIPS 180-4, 6.2.2).
func (s slices) extend(t int) {
	w := s.word(t)
	VMOVDQU32(s.old(t-15), s.temp(0))
	VPADDD(s.old(t-16), s.word(t-7), w)
	s.scramble(s.temp(0), 7, 18, 3, s.temp(1), s.temp(2), s.temp(3))
	VPADDD(s.temp(3), w, w)
	s.scramble(s.word(t-2), 17, 19, 10, s.temp(4), s.temp(5), s.temp(6))
	VPADDD(s.temp(6), w, w)
}

// scramble leaves in out the sum without carry of x rotated twice and shifted.
func (s slices) scramble(x reg.VecPhysical, rotate1, rotate2, shift uint8, t1, t2, out reg.VecPhysical) {
	const xor3 = 0x96
	VPRORD(Imm(uint64(rotate1)), x, t1)
	VPRORD(Imm(uint64(rotate2)), x, t2)
	VPSRLD(Imm(uint64(shift)), x, out)
	VPTERNLOGD(Imm(xor3), t1, t2, out)
}

// write adds the constants of two rounds to their words and stores them as the rounds load them.
func (s slices) write(pair int) {
	for i := range 2 {
		VPADDD_BCST(constants.round.Offset(4*(2*pair+i)), s.word(2*pair+i), s.temp(i))
	}
	VPUNPCKLDQ(s.temp(1), s.temp(0), s.temp(2))
	VPUNPCKHDQ(s.temp(1), s.temp(0), s.temp(3))
	for i := range 2 {
		VMOVDQU32(s.temp(2+i), s.slot.Offset(slicedAt(2*i, pair)))
	}
}

// transpose leaves in the registers to, for four lanes' words in temps 0 to 3, the slices of a word.
func (s slices) transpose(to [4]reg.VecPhysical) {
	VPUNPCKLDQ(s.temp(1), s.temp(0), s.temp(4))
	VPUNPCKHDQ(s.temp(1), s.temp(0), s.temp(5))
	VPUNPCKLDQ(s.temp(3), s.temp(2), s.temp(6))
	VPUNPCKHDQ(s.temp(3), s.temp(2), s.temp(7))
	VPUNPCKLQDQ(s.temp(6), s.temp(4), to[0])
	VPUNPCKHQDQ(s.temp(6), s.temp(4), to[1])
	VPUNPCKLQDQ(s.temp(7), s.temp(5), to[2])
	VPUNPCKHQDQ(s.temp(7), s.temp(5), to[3])
}

// words4 are the window's registers of four words.
func (s slices) words4(t int) [4]reg.VecPhysical {
	return [4]reg.VecPhysical{s.word(t), s.word(t + 1), s.word(t + 2), s.word(t + 3)}
}

// slicedPair is the schedules of two blocks of parents for all lanes, whose sources stand one after
// the other.
func (k *kernel) slicedPair(slot, source Mem) stream {
	s := slices{ring: k.ring, slot: slot, wide: long}
	s.load = func(t int) {
		if t%4 != 0 {
			return
		}
		for column := range columns {
			at := source.Offset(column%k.lanes*sourceBytes + t/8*8)
			node := GP64()
			MOVQ(at, node)
			VMOVDQU32(Mem{Base: node}.Offset(t%8*4), short(temps[column]))
			MOVQ(at.Offset(k.lanes*sourceBytes), node)
			VINSERTI32X4(Imm(1), Mem{Base: node}.Offset(t%8*4), s.temp(column), s.temp(column))
			VPSHUFB(constants.flipWords, s.temp(column), s.temp(column))
		}
		s.transpose(s.words4(t))
	}
	return s.steps()
}

// sliceReplicaIDs stores the first words of all messages as slices.
func (k *kernel) sliceReplicaIDs() {
	s := slices{wide: short}
	for t := 0; t < 8; t += 4 {
		for column := range columns {
			VMOVDQU32(k.replicaID(column%k.lanes).Offset(4*t), s.temp(column))
			VPSHUFB(constants.flipWords, s.temp(column), s.temp(column))
		}
		s.transpose(s.words4(t))
		for i, w := range s.words4(t) {
			VMOVDQU32(w, k.replicaIDs.Offset((t+i)*half))
		}
	}
}

// slicedPrefix is the schedules of the first block of the node.
func (k *kernel) slicedPrefix() stream {
	s := slices{ring: k.ring, slot: k.prefixSlot, wide: short}
	s.load = func(t int) {
		switch w := s.word(t); {
		case t < 8:
			VMOVDQU32(k.replicaIDs.Offset(t*half), w)
		case t == 8:
			VPBROADCASTD(k.layer.As32(), w)
		case t == 10:
			VPBROADCASTD(k.node.As32(), w)
		default:
			VPXORD(w, w, w)
		}
	}
	return s.steps()
}
