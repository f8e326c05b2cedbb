package porep

import (
	"crypto/sha256"
	"encoding/binary"
)

const (
	labelPrefix  = 64 // replica id, layer, node, zeros
	labelParents = 37 // parents hashed: those of the node over and over
	labelBytes   = labelPrefix + labelParents*NodeSize
)

// Labeler computes the labels of one sector in a buffer of its own. It is not
// safe for concurrent use.
type Labeler struct {
	buf [labelBytes]byte
}

// NewLabeler returns a labeler for a replica id.
func NewLabeler(replicaID [32]byte) *Labeler {
	l := new(Labeler)
	copy(l.buf[:], replicaID[:])
	return l
}

// Label returns the label of a node in a layer (the first is 1) from the labels
// of its parents: none for node 0; the six base parents in this layer, for layer
// 1; those and the eight expander parents in the layer before, for the others.
// Order and duplicates are those of [graph.Graph.Parents].
func (l *Labeler) Label(layer uint32, node uint64, parents ...[32]byte) [32]byte {
	for i := range parents {
		copy(l.parent(i), parents[i][:])
	}
	return l.sum(layer, node, len(parents))
}

// parent returns the place of the i-th hashed parent.
func (l *Labeler) parent(i int) []byte {
	return l.buf[labelPrefix+i*NodeSize:][:NodeSize]
}

// sum hashes the prefix and the n parents that stand in the buffer, repeated.
func (l *Labeler) sum(layer uint32, node uint64, n int) [32]byte {
	binary.BigEndian.PutUint32(l.buf[32:], layer)
	binary.BigEndian.PutUint64(l.buf[36:], node)
	if n == 0 {
		return trim(sha256.Sum256(l.buf[:labelPrefix]))
	}
	parents := l.buf[labelPrefix:]
	for have := n * NodeSize; have < len(parents); have *= 2 {
		copy(parents[have:], parents[:have])
	}
	return trim(sha256.Sum256(l.buf[:]))
}
