package node

import (
	"fmt"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/app"
	"github.com/perdure/perdure/chain/consensus"
)

// Block returns the block of a height as the engine recorded it: what the rules
// made the state of that height from.
func (n *Node) Block(h chain.Height) (*consensus.Block, error) {
	b := n.comet.BlockStore().LoadBlock(int64(h))
	if b == nil {
		return nil, fmt.Errorf("block %d is not kept", h)
	}
	return app.Recorded(b), nil
}
