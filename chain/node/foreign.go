package node

import (
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
	"github.com/perdure/perdure/chain/explorer/compat"
)

// headers tells the explorer and its other forms what the consensus engine keeps.
type headers struct{ n *Node }

var (
	_ compat.Engine   = headers{}
	_ explorer.Hashes = headers{}
)

// Header implements compat.Engine.
func (e headers) Header(h chain.Height) *compat.Header {
	return headerOf(e.n.comet.BlockStore().LoadBlockMeta(int64(h)))
}

// Find implements compat.Engine.
func (e headers) Find(hash []byte) (chain.Height, bool) {
	meta := e.n.comet.BlockStore().LoadBlockMetaByHash(hash)
	if meta == nil {
		return 0, false
	}
	return chain.Height(meta.Header.Height), true
}

// HashOf implements explorer.Hashes.
func (e headers) HashOf(h chain.Height) []byte {
	meta := e.n.comet.BlockStore().LoadBlockMeta(int64(h))
	if meta == nil {
		return nil
	}
	return meta.BlockID.Hash
}

// Block implements compat.Engine. A block that the engine's store has and
// cannot read is as one that it has no more: the engine panics on it.
func (e headers) Block(h chain.Height) (block *compat.Block) {
	defer func() {
		if p := recover(); p != nil {
			e.n.log.Error("a stored block cannot be read", "height", h, "error", p)
			block = nil
		}
	}()
	header, stored := e.Header(h), e.n.comet.BlockStore().LoadBlock(int64(h))
	if header == nil || stored == nil {
		return nil
	}
	out := &compat.Block{Header: *header}
	for _, tx := range stored.Txs {
		out.Txs = append(out.Txs, tx)
	}
	if c := stored.LastCommit; c != nil {
		out.Commit = compat.Commit{Height: chain.Height(c.Height), Round: c.Round, ID: blockID(c.BlockID)}
		for _, s := range c.Signatures {
			out.Commit.Votes = append(out.Commit.Votes, compat.Vote{Flag: compat.VoteFlag(s.BlockIDFlag), Validator: s.ValidatorAddress, Time: s.Timestamp, Signature: s.Signature})
		}
	}
	return out
}

// Node implements compat.Engine.
func (e headers) Node() compat.NodeInfo {
	out := compat.NodeInfo{ID: e.n.identity.NodeID, Network: e.n.params.ChainID}
	if i, ok := e.n.comet.NodeInfo().(p2p.DefaultNodeInfo); ok {
		out = compat.NodeInfo{P2P: i.ProtocolVersion.P2P, Block: i.ProtocolVersion.Block, App: i.ProtocolVersion.App, ID: string(i.DefaultNodeID),
			Listen: i.ListenAddr, Network: i.Network, Version: i.Version, Moniker: i.Moniker, Channels: i.Channels.String()}
	}
	return out
}

func headerOf(meta *types.BlockMeta) *compat.Header {
	if meta == nil {
		return nil
	}
	h := &meta.Header
	return &compat.Header{ID: blockID(meta.BlockID), Block: h.Version.Block, App: h.Version.App, ChainID: h.ChainID, Height: chain.Height(h.Height), Time: h.Time,
		Last: blockID(h.LastBlockID), LastCommit: h.LastCommitHash, Data: h.DataHash, Validators: h.ValidatorsHash, NextValidators: h.NextValidatorsHash,
		Consensus: h.ConsensusHash, AppHash: h.AppHash, LastResults: h.LastResultsHash, Evidence: h.EvidenceHash, Proposer: h.ProposerAddress, Size: meta.BlockSize}
}

func blockID(b types.BlockID) compat.BlockID {
	return compat.BlockID{Hash: b.Hash, PartsHash: b.PartSetHeader.Hash, Parts: b.PartSetHeader.Total}
}
