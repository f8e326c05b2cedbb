package porep

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// EncodeNodes is [Encode] over many nodes, in place: nodes holds data nodes one
// after the other and becomes the replica nodes under the labels at the same
// places. Both have the same length, whole nodes. It fails with [ErrElement] at
// the first node or label that is no element, and names its place; nodes before
// it are encoded then.
func EncodeNodes(labels, nodes []byte) error {
	if err := paired(labels, nodes); err != nil {
		return fmt.Errorf("encode nodes: %w", err)
	}
	for at := 0; at < len(nodes); at += NodeSize {
		label, node := labels[at:][:NodeSize], nodes[at:][:NodeSize]
		l0, l1, l2, l3 := words(label)
		n0, n1, n2, n3 := words(node)
		_, _, _, _, labelLess := lessModulus(l0, l1, l2, l3)
		_, _, _, _, nodeLess := lessModulus(n0, n1, n2, n3)
		if labelLess&nodeLess == 0 {
			return fmt.Errorf("encode node %d: %w", at/NodeSize, ErrElement)
		}
		// Two elements add up to less than 2^256, so nothing is carried out.
		s0, carry := bits.Add64(l0, n0, 0)
		s1, carry := bits.Add64(l1, n1, carry)
		s2, carry := bits.Add64(l2, n2, carry)
		s3, _ := bits.Add64(l3, n3, carry)
		r0, r1, r2, r3, keep := lessModulus(s0, s1, s2, s3)
		// All ones where the sum was an element already; data decide, so a branch
		// would be guessed wrong every other time.
		mask := -keep
		putWords(node, r0^mask&(r0^s0), r1^mask&(r1^s1), r2^mask&(r2^s2), r3^mask&(r3^s3))
	}
	return nil
}

// DecodeNodes is the reverse of [EncodeNodes]: nodes holds replica nodes and
// becomes the data nodes.
func DecodeNodes(labels, nodes []byte) error {
	if err := paired(labels, nodes); err != nil {
		return fmt.Errorf("decode nodes: %w", err)
	}
	for at := 0; at < len(nodes); at += NodeSize {
		label, node := labels[at:][:NodeSize], nodes[at:][:NodeSize]
		l0, l1, l2, l3 := words(label)
		n0, n1, n2, n3 := words(node)
		_, _, _, _, labelLess := lessModulus(l0, l1, l2, l3)
		_, _, _, _, nodeLess := lessModulus(n0, n1, n2, n3)
		if labelLess&nodeLess == 0 {
			return fmt.Errorf("decode node %d: %w", at/NodeSize, ErrElement)
		}
		d0, borrow := bits.Sub64(n0, l0, 0)
		d1, borrow := bits.Sub64(n1, l1, borrow)
		d2, borrow := bits.Sub64(n2, l2, borrow)
		d3, borrow := bits.Sub64(n3, l3, borrow)
		mask := -borrow // all ones where the modulus must be added back
		d0, carry := bits.Add64(d0, modulus[0]&mask, 0)
		d1, carry = bits.Add64(d1, modulus[1]&mask, carry)
		d2, carry = bits.Add64(d2, modulus[2]&mask, carry)
		d3, _ = bits.Add64(d3, modulus[3]&mask, carry)
		putWords(node, d0, d1, d2, d3)
	}
	return nil
}

// paired checks that labels and nodes are whole nodes, as many of each.
func paired(labels, nodes []byte) error {
	if len(labels) != len(nodes) || len(nodes)%NodeSize != 0 {
		return fmt.Errorf("%d bytes of labels for %d bytes of nodes", len(labels), len(nodes))
	}
	return nil
}

// lessModulus subtracts the modulus; borrow is 1 if the number was below it.
func lessModulus(x0, x1, x2, x3 uint64) (d0, d1, d2, d3, borrow uint64) {
	d0, borrow = bits.Sub64(x0, modulus[0], 0)
	d1, borrow = bits.Sub64(x1, modulus[1], borrow)
	d2, borrow = bits.Sub64(x2, modulus[2], borrow)
	d3, borrow = bits.Sub64(x3, modulus[3], borrow)
	return d0, d1, d2, d3, borrow
}

// words reads a node as four words, lowest first.
func words(node []byte) (x0, x1, x2, x3 uint64) {
	return binary.LittleEndian.Uint64(node), binary.LittleEndian.Uint64(node[8:]),
		binary.LittleEndian.Uint64(node[16:]), binary.LittleEndian.Uint64(node[24:])
}

func putWords(node []byte, x0, x1, x2, x3 uint64) {
	binary.LittleEndian.PutUint64(node, x0)
	binary.LittleEndian.PutUint64(node[8:], x1)
	binary.LittleEndian.PutUint64(node[16:], x2)
	binary.LittleEndian.PutUint64(node[24:], x3)
}
