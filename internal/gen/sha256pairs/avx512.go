package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// lanes is the number of messages that a 512-bit register holds a word of.
const lanes = 16

// Truth tables of VPTERNLOGD for its operands in the order destination, second, first.
const (
	xor3   = 0x96
	choose = 0xca // the second where the destination is 1, else the first
	major  = 0xe8
)

// pairsAVX512 hashes 16 messages at a time, one in each dword of a register.
func pairsAVX512(t tables) {
	TEXT("pairsAVX512", attr.NOSPLIT, "func(dst, src *[32]byte, groups int)")
	Pragma("noescape")
	Doc("pairsAVX512 hashes groups times 16 messages of 64 bytes from src to dst.")
	dst, src, groups := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("groups"), GP64())

	Label("group16")
	w := loadMessages(t, operand.Mem{Base: src})
	s := initial16(t)
	messageBlock(t, s, w)
	for i := range s {
		VPADDD_BCST(t.initial.Offset(word*i), s[i], s[i])
		VMOVDQA32(s[i], w[i])
	}
	paddingBlock(t, s)
	for i := range s {
		VPADDD(w[i], s[i], s[i])
	}
	storeDigests(t, s, operand.Mem{Base: dst})
	ADDQ(operand.U32(lanes*message), src)
	ADDQ(operand.U32(lanes*digest), dst)
	DECQ(groups)
	JNZ(operand.LabelRef("group16"))

	VZEROUPPER()
	RET()
}

// place says which message stands in dword j of the 128-bit quarter q of a register. Messages of
// even number and the next lie side by side in quarters, which storeDigests wants.
func place(q, j int) int { return q/2*8 + 2*j + q%2 }

// loadMessages returns the 16 words of 16 messages. Quarters of registers are filled with four words
// of a message each; a transposition within quarters makes registers of equal words.
func loadMessages(t tables, src operand.Mem) []reg.VecVirtual {
	swap := ZMM()
	VBROADCASTI32X4(t.swap, swap)
	var w []reg.VecVirtual
	for first := 0; first < message; first += 4 * word {
		var rows [4]reg.VecVirtual
		for j := range rows {
			rows[j] = ZMM()
			at := func(q int) operand.Mem { return src.Offset(place(q, j)*message + first) }
			VBROADCASTI32X4(at(0), rows[j])
			for q := 1; q < 4; q++ {
				VINSERTI32X4(operand.Imm(uint64(q)), at(q), rows[j], rows[j])
			}
			VPSHUFB(swap, rows[j], rows[j])
		}
		columns := transpose(rows)
		w = append(w, columns[:]...)
	}
	return w
}

// transpose exchanges rows and columns of the 4 x 4 dwords in the same quarter of four registers.
func transpose(rows [4]reg.VecVirtual) (columns [4]reg.VecVirtual) {
	low01, high01, low23, high23 := ZMM(), ZMM(), ZMM(), ZMM()
	VPUNPCKLDQ(rows[1], rows[0], low01)
	VPUNPCKHDQ(rows[1], rows[0], high01)
	VPUNPCKLDQ(rows[3], rows[2], low23)
	VPUNPCKHDQ(rows[3], rows[2], high23)
	for i := range columns {
		columns[i] = ZMM()
	}
	VPUNPCKLQDQ(low23, low01, columns[0])
	VPUNPCKHQDQ(low23, low01, columns[1])
	VPUNPCKLQDQ(high23, high01, columns[2])
	VPUNPCKHQDQ(high23, high01, columns[3])
	return columns
}

// storeDigests writes the digests of 16 states.
func storeDigests(t tables, s []reg.VecVirtual, dst operand.Mem) {
	trim := words("trim16", []uint32{0xffffff3f})
	VPANDD_BCST(trim, s[7], s[7])
	low, high := transpose([4]reg.VecVirtual(s[:4])), transpose([4]reg.VecVirtual(s[4:]))
	swap := ZMM()
	VBROADCASTI32X4(t.swap, swap)
	// Interleaving quarters of the halves of digests gives two whole digests a register.
	front, back := ZMM(), ZMM()
	VMOVDQU64(quadwords("front", []uint64{0, 1, 8, 9, 2, 3, 10, 11}), front)
	VMOVDQU64(quadwords("back", []uint64{4, 5, 12, 13, 6, 7, 14, 15}), back)
	for j := range low {
		VPSHUFB(swap, low[j], low[j])
		VPSHUFB(swap, high[j], high[j])
		first := ZMM()
		VMOVDQA32(low[j], first)
		VPERMT2Q(high[j], front, first)
		VPERMT2Q(high[j], back, low[j])
		VMOVDQU32(first, dst.Offset(place(0, j)*digest))
		VMOVDQU32(low[j], dst.Offset(place(2, j)*digest))
	}
}

// quadwords declares a table of 64-bit values.
func quadwords(name string, values []uint64) operand.Mem {
	m := GLOBL(name, attr.RODATA|attr.NOPTR)
	for i, v := range values {
		DATA(2*word*i, operand.U64(v))
	}
	return m
}

// initial16 returns the initial state in all lanes.
func initial16(t tables) []reg.VecVirtual {
	s := make([]reg.VecVirtual, 8)
	for i := range s {
		s[i] = ZMM()
		VPBROADCASTD(t.initial.Offset(word*i), s[i])
	}
	return s
}

// messageBlock runs the rounds of the block of words w on s. The words of the next 16 rounds take
// the place of those used; the last 16 rounds need no further ones.
func messageBlock(t tables, s, w []reg.VecVirtual) {
	k, end := GP64(), GP64()
	LEAQ(t.constants, k)
	LEAQ(t.constants.Offset((rounds-16)*word), end)
	Label("schedule")
	for i := range 16 {
		VPADDD(w[i], at(s, 7-i), at(s, 7-i))
		round16(s, i, operand.Mem{Base: k})
		nextWord(w, i)
	}
	ADDQ(operand.U32(16*word), k)
	CMPQ(k, end)
	JNE(operand.LabelRef("schedule"))
	for i := range 16 {
		VPADDD(w[i], at(s, 7-i), at(s, 7-i))
		round16(s, i, operand.Mem{Base: k})
	}
}

// paddingBlock runs the rounds of the padding block on s.
func paddingBlock(t tables, s []reg.VecVirtual) {
	k, end := GP64(), GP64()
	LEAQ(t.padding, k)
	LEAQ(t.padding.Offset(rounds*word), end)
	Label("padded")
	for i := range 16 {
		round16(s, i, operand.Mem{Base: k})
	}
	ADDQ(operand.U32(16*word), k)
	CMPQ(k, end)
	JNE(operand.LabelRef("padded"))
}

// at returns a register of a state or a schedule by its number, which counts round.
func at(ring []reg.VecVirtual, i int) reg.VecVirtual { return ring[(i+len(ring)*16)%len(ring)] }

// round16 is round i on working variables, adding constant i of k; the word is in h already. The
// variables do not move: in round i, a stands where h stood in the round before.
func round16(s []reg.VecVirtual, i int, k operand.Mem) {
	a, b, c, d := at(s, -i), at(s, 1-i), at(s, 2-i), at(s, 3-i)
	e, f, g, h := at(s, 4-i), at(s, 5-i), at(s, 6-i), at(s, 7-i)
	ternary, sum := ZMM(), ZMM()
	VPADDD_BCST(k.Offset(word*i), h, h)
	VMOVDQA32(e, ternary)
	VPTERNLOGD(operand.U8(choose), g, f, ternary)
	VPADDD(ternary, h, h)
	rotations(e, sum, 6, 11, 25)
	VPADDD(sum, h, h)
	VPADDD(h, d, d)
	ternary, sum = ZMM(), ZMM()
	VMOVDQA32(a, ternary)
	VPTERNLOGD(operand.U8(major), c, b, ternary)
	VPADDD(ternary, h, h)
	rotations(a, sum, 2, 13, 22)
	VPADDD(sum, h, h)
}

// rotations sets sum to the exclusive or of x rotated by three distances.
func rotations(x, sum reg.VecVirtual, first, second, third uint64) {
	t2, t3 := ZMM(), ZMM()
	VPRORD(operand.Imm(first), x, sum)
	VPRORD(operand.Imm(second), x, t2)
	VPRORD(operand.Imm(third), x, t3)
	VPTERNLOGD(operand.U8(xor3), t3, t2, sum)
}

// nextWord replaces word i by the one 16 rounds later.
func nextWord(w []reg.VecVirtual, i int) {
	VPADDD(at(w, i+9), w[i], w[i])
	for _, part := range []struct {
		word                int
		first, second, lost uint64
	}{{i + 1, 7, 18, 3}, {i + 14, 17, 19, 10}} {
		x, sum, t2, t3 := at(w, part.word), ZMM(), ZMM(), ZMM()
		VPRORD(operand.Imm(part.first), x, sum)
		VPRORD(operand.Imm(part.second), x, t2)
		VPSRLD(operand.Imm(part.lost), x, t3)
		VPTERNLOGD(operand.U8(xor3), t3, t2, sum)
		VPADDD(sum, w[i], w[i])
	}
}
