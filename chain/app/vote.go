package app

import (
	"bytes"
	"context"
	"fmt"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// ExtendVote implements abci.Application: a vote for a height carries the
// contribution to the beacon of the next one, if this validator is drawn.
func (a *App) ExtendVote(_ context.Context, req *abci.RequestExtendVote) (*abci.ResponseExtendVote, error) {
	empty := &abci.ResponseExtendVote{}
	if len(a.secret) == 0 || req.Height < 1 {
		return empty, nil
	}
	v, err := a.over(req.Height)
	if err != nil {
		return nil, a.fail(fmt.Errorf("extend vote: %w", err))
	}
	c, ok, err := a.contributionTo(chain.Height(req.Height)+1, v)
	if err != nil {
		return nil, a.fail(fmt.Errorf("extend vote: %w", err))
	}
	if !ok || !bytes.Equal(c.validator.PubKey, a.key) {
		return empty, nil
	}
	signature, err := consensus.SignBeacon(a.secret, c.message)
	if err != nil {
		return nil, a.fail(fmt.Errorf("extend vote: sign beacon: %w", err))
	}
	return &abci.ResponseExtendVote{VoteExtension: signature}, nil
}

// VerifyVoteExtension implements abci.Application: it refuses extensions of
// others than the contributor, and contributions that are wrong. An absent
// contribution is no reason to refuse a vote: the rules charge for it.
func (a *App) VerifyVoteExtension(_ context.Context, req *abci.RequestVerifyVoteExtension) (*abci.ResponseVerifyVoteExtension, error) {
	status := abci.ResponseVerifyVoteExtension_REJECT
	ok, err := a.extensionHolds(req)
	if err != nil {
		return nil, a.fail(fmt.Errorf("verify vote extension: %w", err))
	}
	if ok {
		status = abci.ResponseVerifyVoteExtension_ACCEPT
	}
	return &abci.ResponseVerifyVoteExtension{Status: status}, nil
}

func (a *App) extensionHolds(req *abci.RequestVerifyVoteExtension) (bool, error) {
	if len(req.VoteExtension) == 0 {
		return true, nil
	}
	if req.Height < 1 {
		return false, nil
	}
	v, err := a.tip()
	if err != nil {
		return false, err
	}
	c, ok, err := a.contributionTo(chain.Height(req.Height)+1, v)
	if err != nil {
		return false, err
	}
	return ok && c.by(req.ValidatorAddress) && a.checkContribution(c, req.VoteExtension) == nil, nil
}
