package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// cacheLine is the alignment of what is on the stack, which comes with eight bytes.
const cacheLine = 64

func (k *kernel) arguments() {
	k.row = Load(Param("parents"), GP64()).(reg.GPVirtual)
	k.nodes = Load(Param("nodes"), GP64()).(reg.GPVirtual)
	k.rows = Load(Param("rows"), GP64()).(reg.GPVirtual)
	k.layer = Load(Param("layer"), GP64()).(reg.GPVirtual)
	k.node = Load(Param("first"), GP64()).(reg.GPVirtual)
	k.lane = Load(Param("lanes"), GP64()).(reg.GPVirtual)
}

// frame lays the stack out.
func (k *kernel) frame() {
	blocks := distinctLater + 1
	parts := []struct {
		place *Mem
		size  int
	}{
		{&k.sources, blocks * k.lanes * sourceBytes},
		{&k.chained, k.lanes * nodeBytes},
		{&k.prefix, k.lanes * nodeBytes},
		{&k.prefixSlot, k.lanes * slotBytes},
		{&k.slots, blocks * k.lanes * slotBytes},
	}
	if k.sliced {
		parts = append(parts[:3], []struct {
			place *Mem
			size  int
		}{
			{&k.replicaIDs, 8 * half},
			{&k.ring, ringBytes},
			{&k.prefixSlot, pairBytes},
			{&k.slots, blocks / 2 * pairBytes},
		}...)
	}
	total := cacheLine
	for _, p := range parts {
		total += (p.size + cacheLine - 1) &^ (cacheLine - 1)
	}
	base := GP64()
	LEAQ(AllocLocal(total).Offset(cacheLine-1), base)
	ANDQ(I32(-cacheLine), base)
	place := Mem{Base: base}
	for _, p := range parts {
		*p.place = place
		place = place.Offset((p.size + cacheLine - 1) &^ (cacheLine - 1))
	}
}

// slot is where the schedules of a block stand; block 1 is the first with parents.
func (k *kernel) slot(block int) Mem {
	if k.sliced {
		return k.slots.Offset((block-1)/2*pairBytes + (block-1)%2*half)
	}
	return k.slots.Offset((block - 1) * k.lanes * slotBytes)
}

// advance moves from one slot to the next.
func (k *kernel) advance(slot reg.GPVirtual) {
	if !k.sliced {
		ADDQ(I32(int32(k.lanes*slotBytes)), slot)
		return
	}
	first := GP64()
	LEAQ(Mem{Base: slot}.Offset(pairBytes-half), first)
	TESTQ(I32(half), slot)
	LEAQ(Mem{Base: slot}.Offset(half), slot)
	CMOVQNE(first, slot)
}

// source is where the addresses of the nodes in a block stand, lane by lane.
func (k *kernel) source(block int) Mem {
	return k.sources.Offset((block - 1) * k.lanes * sourceBytes)
}
