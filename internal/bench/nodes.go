package bench

import (
	"math/rand/v2"

	"github.com/perdure/perdure/internal/sha256lanes"
)

// randomNodes returns n nodes that are field elements.
func randomNodes(n int) [][sha256lanes.NodeSize]byte {
	random := rand.NewChaCha8([32]byte{byte(n)})
	nodes := make([][sha256lanes.NodeSize]byte, n)
	random.Read(sha256lanes.Bytes(nodes))
	for i := range nodes {
		nodes[i][sha256lanes.NodeSize-1] &= 0x3f
	}
	return nodes
}
