package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/wallet"
)

// VoteChange is what SetVoteKeys has ordered.
type VoteChange struct {
	Miner        chain.MinerID
	ConsensusKey []byte // of the node that will vote for it
	Landed       chain.Height
	From         chain.Height // at which the keys begin to act
}

// ErrVotesAlready is returned for a miner that votes, or is about to, through
// the node that it is given.
var ErrVotesAlready = errors.New("these are its vote keys already")

// SetVoteKeys has a registered miner vote through another node, or at all: votes
// fills in that node's keys, with their proofs for the miner's owner and worker.
// Its other keys stay as they are, or as a change of them that waits will make
// them; the change waits for two vote epochs, too.
func SetVoteKeys(ctx context.Context, node *rpc.Client, owner *wallet.Sender, id chain.MinerID, votes func(*chain.Keys) error) (*VoteChange, error) {
	params, err := node.Params(ctx)
	if err != nil {
		return nil, err
	}
	name := chain.FormatMiner(id, params.Network)
	var m chain.Miner
	ok, err := node.Record(ctx, chain.MinerKey(id), &m)
	switch {
	case err != nil:
		return nil, fmt.Errorf("set vote keys of %s: %w", name, err)
	case !ok:
		return nil, fmt.Errorf("set vote keys of %s: there is no such miner", name)
	case m.Keys.Owner != owner.Address():
		return nil, fmt.Errorf("set vote keys of %s: its owner is %s, not %s", name,
			chain.FormatAddress(m.Keys.Owner, params.Network), chain.FormatAddress(owner.Address(), params.Network))
	}
	keys := m.Keys
	if m.PendingKeys != nil {
		keys = *m.PendingKeys
	}
	before := keys
	if err := votes(&keys); err != nil {
		return nil, fmt.Errorf("set vote keys of %s: %w", name, err)
	}
	if bytes.Equal(keys.ConsensusKey, before.ConsensusKey) && bytes.Equal(keys.BeaconKey, before.BeaconKey) {
		return nil, fmt.Errorf("set vote keys of %s: %w", name, ErrVotesAlready)
	}
	in, err := owner.Send(ctx, &chain.UpdateMiner{Miner: id, Keys: &keys})
	if err != nil {
		return nil, fmt.Errorf("set vote keys of %s: %w", name, err)
	}
	if _, err := node.Record(ctx, chain.MinerKey(id), &m); err != nil {
		return nil, fmt.Errorf("set vote keys of %s: read when they act: %w", name, err)
	}
	return &VoteChange{Miner: id, ConsensusKey: keys.ConsensusKey, Landed: in.Height, From: m.PendingAt}, nil
}
