package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Layouts that the Go code shares: kernelLane and rows of parents.
const (
	laneBytes    = 48
	laneReplica  = 0
	laneCurrent  = 32
	laneExpander = 40

	baseParents     = 6
	expanderParents = 8
	rowBytes        = (baseParents + expanderParents) * 4

	sourceBytes = 2 * 8
)

// distance is how many nodes ahead the base parents are fetched into the caches.
const distance = 16

func (k *kernel) replicaID(lane int) Mem {
	return Mem{Base: k.lane}.Offset(lane*laneBytes + laneReplica)
}

// current loads the address of a lane's layer.
func (k *kernel) current(lane int) reg.GPVirtual {
	r := GP64()
	MOVQ(Mem{Base: k.lane}.Offset(lane*laneBytes+laneCurrent), r)
	return r
}

// fixedSources sets what is the same for all nodes.
func (k *kernel) fixedSources() {
	k.expander, k.last = GP64(), GP64()
	XORQ(k.expander, k.expander)
	padding := GP64()
	LEAQ(constants.padding, padding)
	CMPQ(k.layer, Imm(1))
	JEQ(LabelRef("fixedFirst"))
	for lane := range k.lanes {
		MOVQ(padding, k.source(distinctLater+1).Offset(lane*sourceBytes+8))
	}
	LEAQ(k.slot(distinctLater+1), k.last)
	JMP(LabelRef("fixed"))
	Label("fixedFirst")
	for lane := range k.lanes {
		MOVQ(padding, k.source(distinctFirst+1).Offset(lane*sourceBytes+8))
	}
	LEAQ(k.slot(distinctFirst+1), k.last)
	Label("fixed")
}

// gather notes where the labels of the node's parents stand: base parents in the layer, expander
// parents in the order of nodes.
func (k *kernel) gather() {
	for block := range distinctFirst {
		parents := k.baseOffsets(block)
		for lane := range k.lanes {
			current := k.current(lane)
			for i, p := range parents {
				k.point(current, p, 0, 2*block+i, lane)
			}
			if block == 0 {
				// Right in the first layer, and written over in later ones.
				k.point(current, parents[0], 0, 2*distinctFirst, lane)
			}
		}
	}
	CMPQ(k.layer, Imm(1))
	JEQ(LabelRef("gathered"))
	for lane := range k.lanes {
		labels := GP64()
		MOVQ(Mem{Base: k.lane}.Offset(lane*laneBytes+laneExpander), labels)
		for i := range expanderParents {
			k.point(labels, k.expander, i*nodeBytes, baseParents+i, lane)
		}
		k.point(labels, k.expander, 2*nodeBytes, 2*distinctLater, lane)
	}
	Label("gathered")
}

// baseOffsets loads the offsets in a layer of the two base parents in a block.
func (k *kernel) baseOffsets(block int) [2]reg.GPVirtual {
	var out [2]reg.GPVirtual
	for i := range out {
		out[i] = GP64()
		MOVL(Mem{Base: k.row}.Offset(4*(2*block+i)), out[i].As32())
		SHLQ(Imm(5), out[i])
	}
	return out
}

// point notes the address of one of the nodes that the blocks consist of.
func (k *kernel) point(base, offset reg.Register, disp, node, lane int) {
	address := GP64()
	LEAQ(Mem{Base: base, Index: offset, Scale: 1, Disp: disp}, address)
	MOVQ(address, k.source(node/2+1).Offset(lane*sourceBytes+8*(node%2)))
}

// prefetchFirst fetches the base parents of the first nodes.
func (k *kernel) prefetchFirst() {
	row, rows, parent := GP64(), GP64(), GP64()
	MOVQ(k.row, row)
	MOVQ(U32(distance), rows)
	CMPQ(rows, k.rows)
	CMOVQGT(k.rows, rows)
	Label("prefetchFirst")
	MOVQ(U32(baseParents), parent)
	Label("prefetchParent")
	k.prefetch(row, parent)
	DECQ(parent)
	JNZ(LabelRef("prefetchParent"))
	ADDQ(Imm(rowBytes), row)
	DECQ(rows)
	JNZ(LabelRef("prefetchFirst"))
}

// rowAhead is the row whose parents are to be fetched beside a node: some rows on, or the node's
// own if the table does not go as far.
func (k *kernel) rowAhead() reg.GPVirtual {
	row := GP64()
	LEAQ(Mem{Base: k.row}.Offset(distance*rowBytes), row)
	CMPQ(k.rows, Imm(distance))
	CMOVQLE(k.row, row)
	return row
}

// prefetchOne fetches a base parent beside each of the last blocks. All at once they would hold up
// the processor, which can wait for a few cache lines only.
func (k *kernel) prefetchOne(row, left reg.GPVirtual) {
	CMPQ(left, Imm(baseParents))
	JGT(LabelRef("prefetched"))
	k.prefetch(row, left)
	Label("prefetched")
}

// prefetch fetches the labels of a base parent, numbered from 1.
func (k *kernel) prefetch(row, parent reg.GPVirtual) {
	offset := GP64()
	MOVL(Mem{Base: row, Index: parent, Scale: 4, Disp: -4}, offset.As32())
	SHLQ(Imm(5), offset)
	for lane := range k.lanes {
		PREFETCHT0(Mem{Base: k.current(lane), Index: offset, Scale: 1})
	}
}

// finish writes the labels. The node's number is one further already.
func (k *kernel) finish() {
	offset := GP64()
	MOVQ(k.node, offset)
	SHLQ(Imm(5), offset)
	for lane, s := range k.state {
		current := k.current(lane)
		label := Mem{Base: current, Index: offset, Scale: 1, Disp: -nodeBytes}
		VPUNPCKHQDQ(s.cdgh, s.abef, temp)
		VPSHUFB(constants.flipPairs, temp, temp)
		VMOVDQU(temp, label)
		VPUNPCKLQDQ(s.cdgh, s.abef, temp)
		VPSHUFB(constants.flipPairs, temp, temp)
		VPAND(constants.trim, temp, temp)
		VMOVDQU(temp, label.Offset(16))
	}
}

// nextNode moves on to the next node, if there is one.
func (k *kernel) nextNode() {
	ADDQ(Imm(rowBytes), k.row)
	ADDQ(I32(expanderParents*nodeBytes), k.expander)
	DECQ(k.rows)
	DECQ(k.nodes)
	JNZ(LabelRef("node"))
}
