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

	slots = 1 + distinctLater + 1 // prefix, distinct blocks, last block
)

// A kernel is the code for a number of lanes, and where it keeps what.
type kernel struct {
	lanes int
	state []state
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
	slots   Mem // slots of schedules, for all lanes each
	chained Mem // state before the block, to be added after it
	prefix  Mem // state after the first block of the next node
	sources Mem // for each block with parents and each lane, addresses of two nodes
}

func newKernel(lanes int) *kernel {
	return &kernel{lanes: lanes, state: states(0, lanes), ahead: lanes <= 3}
}

// slotSize is the size of a slot for all lanes.
func (k *kernel) slotSize() int { return k.lanes * slotBytes }

func (k *kernel) slot(i int) Mem { return k.slots.Offset(i * k.slotSize()) }

// source is where the addresses of a lane's nodes in a block stand; block 0 is the first with
// parents.
func (k *kernel) source(block, lane int) Mem {
	return k.sources.Offset((block*k.lanes + lane) * sourceBytes)
}

func (k *kernel) generate() {
	TEXT(fmt.Sprintf("labels%d", k.lanes), 0, "func(parents *[14]uint32, nodes, rows, layer, first int, lanes *[48]byte)")
	Doc(fmt.Sprintf("Computes labels of %d lanes in step.", k.lanes))
	Pragma("noescape")
	k.arguments()
	k.frame()
	k.prefetchFirst()
	k.fixedSources()
	emit(k.schedulePrefix())
	if k.ahead {
		k.hashPrefix(k.state)
	}

	Label("node")
	k.gather()
	k.prefetchAhead()
	if k.ahead {
		emit(k.schedule(k.slot(1), k.source(0, 0)))
		k.enterPrefix()
	} else {
		k.start(k.state)
		weave(rounds(k.state, k.slot(0)), k.schedule(k.slot(1), k.source(0, 0)))
		k.addInitial(k.state)
		k.save(k.state, k.chained)
	}
	k.distinctBlocks()
	k.recurringBlocks()
	k.block(Mem{Base: k.last})
	k.finish()
	k.nextNode()
	JNZ(LabelRef("node"))
	RET()
}

func (k *kernel) arguments() {
	k.row = Load(Param("parents"), GP64()).(reg.GPVirtual)
	k.nodes = Load(Param("nodes"), GP64()).(reg.GPVirtual)
	k.rows = Load(Param("rows"), GP64()).(reg.GPVirtual)
	k.layer = Load(Param("layer"), GP64()).(reg.GPVirtual)
	k.node = Load(Param("first"), GP64()).(reg.GPVirtual)
	k.lane = Load(Param("lanes"), GP64()).(reg.GPVirtual)
}

// frame lays the stack out, from the next boundary of a cache line on.
func (k *kernel) frame() {
	const line = 64
	sizes := []int{slots * k.slotSize(), 32 * k.lanes, 32 * k.lanes, (distinctLater + 1) * k.lanes * sourceBytes}
	total := line
	for _, size := range sizes {
		total += size
	}
	base := GP64()
	LEAQ(AllocLocal(total).Offset(line-1), base)
	ANDQ(I32(-line), base)
	place := Mem{Base: base}
	for i, part := range []*Mem{&k.slots, &k.chained, &k.prefix, &k.sources} {
		*part = place
		place = place.Offset(sizes[i])
	}
}

// schedule is the schedules of one block of parents for all lanes.
func (k *kernel) schedule(slot, source Mem) stream {
	var out stream
	for lane := range k.lanes {
		out = append(out, schedule{k.lanes, lane, slot, loadNodes(source.Offset(lane * sourceBytes))}.steps()...)
	}
	return out
}

// schedulePrefix is the schedules of the first block of the node.
func (k *kernel) schedulePrefix() stream {
	var out stream
	for lane := range k.lanes {
		out = append(out, schedule{k.lanes, lane, k.slot(0), loadPrefix(k.replicaID(lane), k.layer, k.node)}.steps()...)
	}
	return out
}

// start sets states to that before the first block.
func (k *kernel) start(s []state) {
	for _, s := range s {
		VMOVDQU(constants.initial, s.abef)
		VMOVDQU(constants.initial.Offset(16), s.cdgh)
	}
}

// addInitial ends the first block.
func (k *kernel) addInitial(s []state) {
	for _, s := range s {
		VPADDD(constants.initial, s.abef, s.abef)
		VPADDD(constants.initial.Offset(16), s.cdgh, s.cdgh)
	}
}

func (k *kernel) save(s []state, to Mem) {
	for i, s := range s {
		VMOVDQU(s.abef, to.Offset(32*i))
		VMOVDQU(s.cdgh, to.Offset(32*i+16))
	}
}

// hashPrefix hashes the first block of the node whose schedule stands in slot 0.
func (k *kernel) hashPrefix(s []state, beside ...stream) {
	k.start(s)
	weave(rounds(s, k.slot(0)), beside...)
	k.addInitial(s)
	k.save(s, k.prefix)
}

// enterPrefix takes up the states after the first block, hashed ahead.
func (k *kernel) enterPrefix() {
	for i, s := range k.state {
		VMOVDQU(k.prefix.Offset(32*i), s.abef)
		VMOVDQU(k.prefix.Offset(32*i+16), s.cdgh)
	}
	k.save(k.state, k.chained)
}

// block hashes a block whose schedule is there.
func (k *kernel) block(slot Mem, beside ...stream) {
	weave(rounds(k.state, slot), beside...)
	for i, s := range k.state {
		VPADDD(k.chained.Offset(32*i), s.abef, s.abef)
		VPADDD(k.chained.Offset(32*i+16), s.cdgh, s.cdgh)
	}
	k.save(k.state, k.chained)
}

// distinctBlocks hashes the blocks that will recur, and computes the schedule of the block after
// meanwhile: the last of the message after the last of them.
func (k *kernel) distinctBlocks() {
	slot, source := GP64(), GP64()
	LEAQ(k.slot(1), slot)
	LEAQ(k.source(1, 0), source)
	Label("distinct")
	here := Mem{Base: slot}
	k.block(here, k.schedule(here.Offset(k.slotSize()), Mem{Base: source}))
	ADDQ(I32(int32(k.slotSize())), slot)
	ADDQ(I32(int32(k.lanes*sourceBytes)), source)
	CMPQ(slot, k.last)
	JNE(LabelRef("distinct"))
}

// recurringBlocks hashes the blocks whose schedules are there already, and the first block of the
// next node beside them.
func (k *kernel) recurringBlocks() {
	ADDQ(Imm(1), k.node)
	k.block(k.slot(1), k.schedulePrefix())
	k.block(k.slot(2), k.prefixAhead()...)

	slot, left := GP64(), GP64()
	LEAQ(k.slot(3), slot)
	MOVQ(U32(parentBlocks-distinctFirst-2), left)
	CMPQ(k.layer, Imm(1))
	JEQ(LabelRef("recurring"))
	MOVQ(U32(parentBlocks-distinctLater-2), left)
	Label("recurring")
	k.block(Mem{Base: slot})
	ADDQ(I32(int32(k.slotSize())), slot)
	again := GP64()
	LEAQ(k.slot(1), again)
	CMPQ(slot, k.last)
	CMOVQEQ(again, slot)
	DECQ(left)
	JNZ(LabelRef("recurring"))
}
