package node

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cometbft/cometbft/p2p"
	bcproto "github.com/cometbft/cometbft/proto/tendermint/blocksync"

	"github.com/perdure/perdure/chain"
)

// BehindError is why a node stops that no peer can help to catch up.
type BehindError struct {
	Height chain.Height // of the node
	Oldest chain.Height // block that any peer still has
}

// Error implements error.
func (e *BehindError) Error() string {
	return fmt.Sprintf("the node is at height %d and its peers keep no blocks before %d, so it cannot catch up block by block; "+
		"start it anew from a snapshot: perdure node reset, then perdure node run --sync-from URL,URL --trust HEIGHT:HASH",
		e.Height, e.Oldest)
}

// holding are the blocks that a peer says it has.
type holding struct{ base, height chain.Height }

// peerBlocks is what peers last said they have, each when it was connected,
// and again while the engine fetches blocks.
type peerBlocks struct {
	mu sync.Mutex
	of map[p2p.ID]holding
}

// hear takes note of a line that the engine writes about a peer's status.
func (p *peerBlocks) hear(kv []any) {
	var from p2p.Peer
	var status *bcproto.StatusResponse
	for _, v := range kv {
		switch v := v.(type) {
		case p2p.Peer:
			from = v
		case *bcproto.StatusResponse:
			status = v
		}
	}
	if from == nil || status == nil || status.Base < 0 || status.Height < status.Base {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = map[p2p.ID]holding{}
	}
	p.of[from.ID()] = holding{chain.Height(status.Base), chain.Height(status.Height)}
}

// beyond reports whether all of the peers that have later blocks than a height
// lack the next one, and which is the first that any of them has.
func (p *peerBlocks) beyond(h chain.Height, connected func(p2p.ID) bool) (oldest chain.Height, lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, has := range p.of {
		switch {
		case !connected(id):
			delete(p.of, id)
		case has.height <= h:
		case has.base <= h+1:
			return 0, false
		case !lost || has.base < oldest:
			oldest, lost = has.base, true
		}
	}
	return oldest, lost
}

// patience is how long a node waits for a peer that has the blocks it lacks.
const patience = 30 * time.Second

// watchPeers stops the node when it has been beyond all its peers for long. A
// node that waits for a snapshot has no state and is not asked.
func (n *Node) watchPeers(ctx context.Context, patience time.Duration) {
	tick := time.NewTicker(patience / 10)
	defer tick.Stop()
	connected := func(id p2p.ID) bool { return n.comet.Switch().Peers().Has(id) }
	for lost := 0; lost < 10; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		v := n.store.View()
		if v == nil {
			continue
		}
		oldest, is := n.peers.beyond(v.Height(), connected)
		if lost++; !is {
			lost = 0
		}
		if lost == 10 {
			n.stop(&BehindError{Height: v.Height(), Oldest: oldest})
		}
	}
}

// stop makes Run return an error, if it is the first one.
func (n *Node) stop(err error) {
	select {
	case n.failed <- err:
	default:
	}
}
