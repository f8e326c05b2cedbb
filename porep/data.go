package porep

import (
	"crypto/sha256"
	"fmt"

	"github.com/perdure/perdure/internal/merkle"
)

// dataTree hashes the nodes of the tree over the data: SHA-256, trimmed.
type dataTree struct{}

func (dataTree) Hash(children []merkle.Node) (merkle.Node, error) {
	if len(children) != 2 {
		return merkle.Node{}, fmt.Errorf("data tree: %d children, want 2", len(children))
	}
	var in [2 * NodeSize]byte
	copy(in[:], children[0][:])
	copy(in[NodeSize:], children[1][:])
	return trim(sha256.Sum256(in[:])), nil
}
