package app

import (
	"bytes"
	"fmt"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// beaconMark is the first byte of the transaction that holds the beacon's
// contribution. No message begins with it: theirs is the head of a CBOR array.
const beaconMark = 0x00

// beaconTx is the transaction of a contribution.
func beaconTx(signature []byte) []byte { return append([]byte{beaconMark}, signature...) }

// blockOf reads a block out of what the engine agreed on. Any bytes are a block.
func blockOf(height int64, at time.Time, proposer []byte, offences []abci.Misbehavior, txs [][]byte) *consensus.Block {
	b := &consensus.Block{Height: chain.Height(height), Time: uint64(max(at.Unix(), 0)), Proposer: proposer, Messages: txs}
	for i := range offences {
		b.Evidence = append(b.Evidence, consensus.Evidence{Address: offences[i].Validator.Address,
			Height: chain.Height(max(offences[i].Height, 0))})
	}
	if len(txs) > 0 && len(txs[0]) > 0 && txs[0][0] == beaconMark {
		b.Beacon, b.Messages = txs[0][1:], txs[1:]
	}
	return b
}

// Recorded reads a block out of what the engine keeps: what FinalizeBlock was
// given of it.
func Recorded(b *types.Block) *consensus.Block {
	return blockOf(b.Height, b.Time, b.ProposerAddress, b.Evidence.Evidence.ToABCI(), b.Txs.ToSliceOfBytes())
}

// Messages returns what of a block's transactions are messages: all but the
// contribution to the beacon.
func Messages(txs [][]byte) [][]byte { return blockOf(0, time.Time{}, nil, nil, txs).Messages }

// contribution is what the contributor to a height signs, and who that is.
type contribution struct {
	validator chain.Validator
	message   []byte
}

// contributionTo draws the contributor to a height from a state that knows the
// beacon two heights before and who votes at the height before, which are the
// states of these two. It reports false if nobody contributes.
func (a *App) contributionTo(h chain.Height, v consensus.View) (*contribution, bool, error) {
	if h < 2 {
		return nil, false, nil
	}
	voters, err := consensus.Voters(v, h-1)
	if err != nil {
		return nil, false, fmt.Errorf("draw contributor: %w", err)
	}
	raw, err := v.Record(chain.BeaconKey(consensus.BeaconBase(h)))
	if err != nil {
		return nil, false, fmt.Errorf("draw contributor: %w", err)
	}
	var base chain.Beacon
	if raw == nil {
		return nil, false, nil
	}
	if err := chain.Decode(raw, &base); err != nil {
		return nil, false, fmt.Errorf("draw contributor: decode beacon: %w", err)
	}
	i, ok := consensus.Contributor(voters, h, base.Value)
	if !ok {
		return nil, false, nil
	}
	return &contribution{voters[i], consensus.BeaconMessage(a.params.ChainID, h, base.Value)}, true, nil
}

// by reports whether a consensus address is the contributor's.
func (c *contribution) by(address []byte) bool {
	return bytes.Equal(address, consensus.ConsensusAddress(c.validator.PubKey))
}

func (a *App) checkContribution(c *contribution, signature []byte) error {
	return a.memo.verifier().Beacon(c.validator.BeaconKey, c.message, signature)
}
