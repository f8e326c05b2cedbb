package node

import (
	"context"

	"github.com/cometbft/cometbft/p2p"
)

// door is a reactor that lets no peer in before all reactors run. CometBFT
// starts them one after the other, in any order, and the one that looks for
// peers dials as soon as it is started. A reactor that is not running yet
// passes over a new peer for as long as that stays connected: consensus then
// hears the peer, but never tells it a vote, and two validators that need each
// other stand still although they are connected.
type door struct {
	p2p.BaseReactor
	life   context.Context // of the node
	opened chan struct{}   // closed when all reactors run
}

func newDoor(life context.Context) *door {
	d := &door{life: life, opened: make(chan struct{})}
	d.BaseReactor = *p2p.NewBaseReactor("Door", d)
	return d
}

// InitPeer implements p2p.Reactor. The switch asks all reactors before it
// starts a peer.
func (d *door) InitPeer(p p2p.Peer) p2p.Peer {
	select {
	case <-d.opened:
	case <-d.life.Done():
		p.CloseConn() // nobody would end what the switch starts now
	}
	return p
}

// open is called once, when the engine has started.
func (d *door) open() { close(d.opened) }
