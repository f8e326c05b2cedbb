package p2p

import (
	"context"
	"errors"

	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/bitswap/server"
	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
)

// What bitswap may take up. Blocks wait in memory until they are sent, so a
// peer that asks for much and takes little holds at most maxPeerBytes.
const (
	bitswapWorkers = 8
	maxPeerBytes   = 4 << 20
	maxPeerWants   = 4096
	maxCIDBytes    = 128
	maxBlockBytes  = 2 << 20
)

// ServeBitswap gives the blocks of a store to every peer that asks by bitswap, as
// IPFS nodes do, until the host is closed. Whatever the store has is given: it
// must hold only what is free to everybody. It is called once at most.
func (h *Host) ServeBitswap(store blockstore.Blockstore) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.bitswap != nil {
		return errors.New("serve bitswap: the host is closed, or serves it already")
	}
	network := bsnet.NewFromIpfsHost(h.host)
	h.bitswap = server.New(h.ctx, network, bounded{store},
		server.TaskWorkerCount(bitswapWorkers), server.EngineTaskWorkerCount(bitswapWorkers),
		server.EngineBlockstoreWorkerCount(bitswapWorkers), server.MaxOutstandingBytesPerPeer(maxPeerBytes),
		server.MaxQueuedWantlistEntriesPerPeer(maxPeerWants), server.MaxCidSize(maxCIDBytes))
	network.Start(h.bitswap)
	h.stopBitswap = network.Stop
	return nil
}

// bounded hides blocks that no peer would take.
type bounded struct{ blockstore.Blockstore }

// Get implements blockstore.Blockstore.
func (b bounded) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	if _, err := b.GetSize(ctx, c); err != nil {
		return nil, err
	}
	return b.Blockstore.Get(ctx, c)
}

// GetSize implements blockstore.Blockstore.
func (b bounded) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	n, err := b.Blockstore.GetSize(ctx, c)
	if err == nil && n > maxBlockBytes {
		return 0, ipld.ErrNotFound{Cid: c}
	}
	return n, err
}
