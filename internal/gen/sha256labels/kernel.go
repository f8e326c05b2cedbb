package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Blocks of a message whose schedules recur, and all that have parents only.
const (
	distinctFirst = 3 // first layer: six base parents
	distinctLater = 7 // later layers: eight expander parents besides
	parentBlocks  = 18
)

// A kernel is the code for a number of lanes, and where it keeps what.
type kernel struct {
	lanes  int
	sliced bool // how schedules are computed
	at     layout
	state  []state
	// ahead says that the first block of the next node is hashed beside a block of this one, which
	// takes it off the chain of rounds that wait for each other. It needs registers for twice the
	// states, and helps only if the chain is what bounds the speed.
	ahead bool

	// Arguments.
	row   reg.GPVirtual // parents of the node
	nodes reg.GPVirtual // nodes left
	rows  reg.GPVirtual // rows of parents left, at least nodes
	layer reg.GPVirtual
	node  reg.GPVirtual
	lane  reg.GPVirtual // the lanes

	expander reg.GPVirtual // offset of the node's expander labels
	last     reg.GPVirtual // slot of the last block, which stands behind the distinct ones

	// On the stack.
	prefixSlot Mem // schedules of the first block
	slots      Mem // of the distinct blocks, and of the last
	chained    Mem // state before the block, to be added after it
	prefix     Mem // state after the first block of the next node, if hashed ahead
	sources    Mem // for each block with parents and each lane, addresses of two nodes
	ring       Mem // of slices
	replicaIDs Mem // in slices
}

// newKernel returns the kernel that computes schedules by the instructions for them.
func newKernel(lanes int) *kernel {
	return &kernel{lanes: lanes, at: quadsAt(lanes), state: states(0, lanes), ahead: lanes <= 3}
}

// newSlicedKernel returns the kernel that computes schedules in slices.
func newSlicedKernel(lanes int) *kernel {
	return &kernel{lanes: lanes, at: slicedAt, state: states(0, lanes), sliced: true}
}

func (k *kernel) generate() {
	name := fmt.Sprintf("labels%d", k.lanes)
	if k.sliced {
		name += "Sliced"
	}
	TEXT(name, 0, "func(parents *[14]uint32, nodes, rows, layer, first int, lanes *[48]byte)")
	Doc(fmt.Sprintf("%s computes labels in step, as many lanes as its name says.", name))
	Pragma("noescape")
	VZEROUPPER()
	k.arguments()
	k.frame()
	k.prefetchFirst()
	k.fixedSources()
	if k.sliced {
		k.generateSliced()
	} else {
		k.generateQuads()
	}
	VZEROUPPER()
	RET()
}

// generateQuads is the loop over nodes with a schedule computed beside the block before.
func (k *kernel) generateQuads() {
	emit(k.quadsPrefix())
	if k.ahead {
		emit(k.prefixAhead(k.state))
	}
	Label("node")
	k.gather()
	if k.ahead {
		emit(k.quadsBlock(k.slot(1), k.source(1)))
		k.enterPrefix()
	} else {
		weave(k.hashPrefix(k.state, k.chained), k.quadsBlock(k.slot(1), k.source(1)))
	}

	slot, source := GP64(), GP64()
	LEAQ(k.slot(1), slot)
	LEAQ(k.source(2), source)
	Label("distinct")
	here := Mem{Base: slot}
	weave(k.block(here), k.quadsBlock(here.Offset(k.lanes*slotBytes), Mem{Base: source}))
	ADDQ(I32(int32(k.lanes*slotBytes)), slot)
	ADDQ(I32(int32(k.lanes*sourceBytes)), source)
	CMPQ(slot, k.last)
	JNE(LabelRef("distinct"))

	ADDQ(Imm(1), k.node)
	weave(k.block(k.slot(1)), k.quadsPrefix())
	if k.ahead {
		weave(k.block(k.slot(2)), k.prefixAhead(states(k.lanes, k.lanes)))
	} else {
		emit(k.block(k.slot(2)))
	}
	k.recurring(2)
	k.finish()
	k.nextNode()
}

// generateSliced is the loop over nodes with the schedules of two blocks computed beside the two
// before.
func (k *kernel) generateSliced() {
	k.sliceReplicaIDs()
	emit(k.slicedPrefix())
	Label("node")
	k.gather()
	weave(k.hashPrefix(k.state, k.chained), k.slicedPair(k.slot(1), k.source(1)))

	slot, source, next := GP64(), GP64(), GP64()
	LEAQ(k.slot(1), slot)
	LEAQ(k.source(3), source)
	Label("distinct")
	here := Mem{Base: slot}
	weave(append(k.block(here), k.block(here.Offset(half))...),
		k.slicedPair(here.Offset(pairBytes), Mem{Base: source}))
	ADDQ(I32(pairBytes), slot)
	ADDQ(I32(int32(2*k.lanes*sourceBytes)), source)
	LEAQ(here.Offset(half), next)
	CMPQ(next, k.last)
	JNE(LabelRef("distinct"))

	ADDQ(Imm(1), k.node)
	weave(append(k.block(here), k.block(k.slot(1))...), k.slicedPrefix())
	k.recurring(1)
	k.finish()
	k.nextNode()
}

// recurring hashes the blocks whose schedules are there already, after some that recurred, and the
// last.
func (k *kernel) recurring(done int) {
	slot, left, first := GP64(), GP64(), GP64()
	LEAQ(k.slot(1), first)
	LEAQ(k.slot(done), slot)
	MOVQ(U32(parentBlocks-distinctFirst-done+1), left)
	ahead := k.rowAhead()
	CMPQ(k.layer, Imm(1))
	JEQ(LabelRef("recurring"))
	MOVQ(U32(parentBlocks-distinctLater-done+1), left)
	Label("recurring")
	k.prefetchOne(ahead, left)
	k.advance(slot)
	CMPQ(slot, k.last)
	CMOVQEQ(first, slot)
	CMPQ(left, Imm(1))
	CMOVQEQ(k.last, slot)
	emit(k.block(Mem{Base: slot}))
	DECQ(left)
	JNZ(LabelRef("recurring"))
}

// hashPrefix hashes the first block, whose schedule is there, and keeps the states.
func (k *kernel) hashPrefix(s []state, to Mem) stream {
	var out stream
	out = append(out, func() {
		for _, s := range s {
			VMOVDQU(constants.initial, s.abef)
			VMOVDQU(constants.initial.Offset(16), s.cdgh)
		}
	})
	out = append(out, rounds(s, k.prefixSlot, k.at)...)
	return append(out, func() {
		for _, s := range s {
			VPADDD(constants.initial, s.abef, s.abef)
			VPADDD(constants.initial.Offset(16), s.cdgh, s.cdgh)
		}
		save(s, to)
	})
}

// prefixAhead hashes the first block of the next node.
func (k *kernel) prefixAhead(s []state) stream { return k.hashPrefix(s, k.prefix) }

// enterPrefix takes up the states after the first block, hashed ahead.
func (k *kernel) enterPrefix() {
	for i, s := range k.state {
		VMOVDQU(k.prefix.Offset(32*i), s.abef)
		VMOVDQU(k.prefix.Offset(32*i+16), s.cdgh)
	}
	save(k.state, k.chained)
}

// block hashes a block whose schedule is there.
func (k *kernel) block(slot Mem) stream {
	return append(rounds(k.state, slot, k.at), func() {
		for i, s := range k.state {
			VPADDD(k.chained.Offset(32*i), s.abef, s.abef)
			VPADDD(k.chained.Offset(32*i+16), s.cdgh, s.cdgh)
		}
		save(k.state, k.chained)
	})
}

func save(s []state, to Mem) {
	for i, s := range s {
		VMOVDQU(s.abef, to.Offset(32*i))
		VMOVDQU(s.cdgh, to.Offset(32*i+16))
	}
}
