package node

import (
	"context"
	"errors"
	"fmt"

	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/app"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/state"
	"github.com/perdure/perdure/chain/state/proof"
)

// pendingError says that a height did not come as long as somebody waited.
type pendingError struct {
	height chain.Height
	why    error // of the context
}

// Error implements error.
func (e *pendingError) Error() string { return fmt.Sprintf("height %d is not committed yet", e.height) }

// Unwrap is why nobody waits any longer.
func (e *pendingError) Unwrap() error { return e.why }

// reached returns once a height is committed. The engine has stored a block
// before the application commits its state.
func (n *Node) reached(ctx context.Context, h chain.Height) error {
	for {
		changed := n.store.Changed()
		if v := n.store.Visit(); v != nil && v.Height() >= h {
			return nil
		}
		select {
		case <-changed:
		case <-n.life.Done():
			return n.life.Err()
		case <-ctx.Done():
			return &pendingError{h, ctx.Err()}
		}
	}
}

// tip is the height of the newest block.
func (n *Node) tip() (chain.Height, error) {
	if v := n.store.Visit(); v != nil && v.Height() > 0 {
		return v.Height(), nil
	}
	return 0, app.ErrNotReady
}

// lightBlock returns header, votes and validators of a committed height.
func (n *Node) lightBlock(h chain.Height) ([]byte, error) {
	blocks, height := n.comet.BlockStore(), int64(h)
	if base := blocks.Base(); height < base {
		return nil, &rpc.PrunedError{Oldest: chain.Height(base)}
	}
	meta := blocks.LoadBlockMeta(height)
	commit := blocks.LoadBlockCommit(height) // as the next block has it
	if commit == nil {
		commit = blocks.LoadSeenCommit(height)
	}
	if meta == nil || commit == nil {
		return nil, fmt.Errorf("header of height %d: %w", h, rpc.ErrNotFound)
	}
	voters, err := n.votes.LoadValidators(height)
	if err != nil {
		return nil, fmt.Errorf("validators of height %d: %w", h, err)
	}
	light := types.LightBlock{SignedHeader: &types.SignedHeader{Header: &meta.Header, Commit: commit}, ValidatorSet: voters}
	p, err := light.ToProto()
	if err != nil {
		return nil, fmt.Errorf("encode header of height %d: %w", h, err)
	}
	return p.Marshal()
}

// Header implements rpc.Backend.
func (n *Node) Header(ctx context.Context, h chain.Height) ([]byte, error) {
	if h == 0 {
		tip, err := n.tip()
		if err != nil {
			return nil, err
		}
		h = tip
	}
	if err := n.reached(ctx, h); err != nil {
		return nil, err
	}
	return n.lightBlock(h)
}

// Prove implements rpc.Backend and explorer.Backend.
func (n *Node) Prove(ctx context.Context, k chain.Key, at chain.Height) (*proof.Bundle, error) {
	if at == rpc.Newest {
		tip, err := n.tip()
		if err != nil {
			return nil, err
		}
		at = tip - 1
	}
	if err := n.reached(ctx, at+1); err != nil {
		return nil, err
	}
	light, err := n.lightBlock(at + 1)
	if err != nil {
		return nil, err
	}
	tree, err := n.store.At(at)
	if errors.Is(err, state.ErrPruned) {
		return nil, &rpc.PrunedError{Oldest: n.store.Oldest()}
	}
	if err != nil {
		return nil, err
	}
	path, err := tree.Proof(k)
	if err != nil {
		return nil, err
	}
	return &proof.Bundle{Version: proof.BundleVersion, Headers: []proof.Header{{Light: light}},
		Table: k.Table, ID: []byte(k.ID), Path: path}, nil
}

// StateBlock implements rpc.Backend.
func (n *Node) StateBlock(c cid.Cid) ([]byte, error) {
	b, err := n.store.Blocks().Block(c)
	if errors.Is(err, proof.ErrNoBlock) {
		return nil, fmt.Errorf("%w: %w", err, rpc.ErrNotFound)
	}
	return b, err
}

// Report implements rpc.Backend.
func (n *Node) Report(raw []byte) error {
	var p cmtproto.Evidence
	if err := p.Unmarshal(raw); err != nil {
		return fmt.Errorf("decode evidence: %w", err)
	}
	e, err := types.EvidenceFromProto(&p)
	if err == nil {
		err = e.ValidateBasic()
	}
	if err != nil {
		return fmt.Errorf("decode evidence: %w", err)
	}
	if err := n.comet.EvidencePool().AddEvidence(e); err != nil {
		return fmt.Errorf("take evidence: %w", err)
	}
	return nil
}
