// Package sha256lanes computes SHA-256 over the two kinds of message that sealing is made of, many
// of them in step: pairs of nodes, of which trees over data consist, and labels, whose message
// repeats the labels of a node's parents.
//
// A single hash is a chain of instructions that each wait for the one before; several in step fill
// the waiting. The machine code is chosen once, by what the processor can do, and the results are
// always those of crypto/sha256 with the two top bits of the last byte cleared (a node is a field
// element: see porep/SPEC.md). The package is pure: it starts no goroutine and keeps nothing.
package sha256lanes

import "unsafe"

// NodeSize is the size of a node in bytes.
const NodeSize = 32

// View returns the nodes that stand in b one after the other, without copying them: writing to one
// writes to the other. Bytes after the last whole node are left out.
func View(b []byte) [][NodeSize]byte {
	return unsafe.Slice((*[NodeSize]byte)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/NodeSize)
}

// Bytes is the reverse of [View].
func Bytes(nodes [][NodeSize]byte) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(nodes))), len(nodes)*NodeSize)
}
