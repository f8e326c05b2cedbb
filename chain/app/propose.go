package app

import (
	"context"
	"fmt"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/mempool"
	"github.com/perdure/perdure/chain/state"
)

// refills bounds how often the room of messages without effect is filled anew.
const refills = 4

// PrepareProposal implements abci.Application: the contribution to the beacon,
// then window proofs, then other messages, by fee.
func (a *App) PrepareProposal(ctx context.Context, req *abci.RequestPrepareProposal) (*abci.ResponsePrepareProposal, error) {
	if a.gate != nil {
		if err := a.gate(ctx, chain.Height(req.Height)); err != nil {
			return nil, fmt.Errorf("propose height %d: %w", req.Height, err)
		}
	}
	v, err := a.over(req.Height)
	if err != nil {
		return nil, a.fail(fmt.Errorf("propose: %w", err))
	}
	var txs [][]byte
	signature, err := a.receivedContribution(v, req)
	if err != nil {
		return nil, a.fail(fmt.Errorf("propose height %d: %w", req.Height, err))
	}
	if signature != nil {
		txs = append(txs, beaconTx(signature))
	}
	messages, err := a.choose(v, req, txs)
	if err != nil {
		return nil, a.fail(fmt.Errorf("propose height %d: %w", req.Height, err))
	}
	return &abci.ResponsePrepareProposal{Txs: append(txs, messages...)}, nil
}

// receivedContribution finds the contribution among the last height's votes.
func (a *App) receivedContribution(v consensus.View, req *abci.RequestPrepareProposal) ([]byte, error) {
	c, ok, err := a.contributionTo(chain.Height(req.Height), v)
	if err != nil || !ok {
		return nil, err
	}
	for i := range req.LocalLastCommit.Votes {
		vote := &req.LocalLastCommit.Votes[i]
		if c.by(vote.Validator.Address) && len(vote.VoteExtension) > 0 && a.checkContribution(c, vote.VoteExtension) == nil {
			return vote.VoteExtension, nil
		}
	}
	return nil, nil
}

// choose takes messages from the mempool and rehearses the block. What would
// have no effect is left out, and the mempool forgets it; others take its room,
// refills times at most. Leaving out a message without effect changes nothing
// for the rest, so that what is left can be proposed at any time: no junk keeps
// a window proof out of a block.
func (a *App) choose(v *state.View, req *abci.RequestPrepareProposal, first [][]byte) ([][]byte, error) {
	for refill := 0; ; refill++ {
		messages := a.pick(req, first)
		b := blockOf(req.Height, req.Time, req.ProposerAddress, req.Misbehavior, append(first[:len(first):len(first)], messages...))
		r, err := a.rehearse(v, b)
		if err != nil {
			return nil, err
		}
		if dropped := a.forget(r.results); dropped == 0 || refill == refills {
			return effective(messages, r.results), nil
		}
	}
}

// effective returns the messages that have an effect.
func effective(messages [][]byte, results []consensus.Result) [][]byte {
	var out [][]byte
	for i, raw := range messages {
		if hasEffect(&results[i]) {
			out = append(out, raw)
		}
	}
	return out
}

// forget takes messages without effect out of the mempool, with what their
// senders sent after them, and returns how many of the results it acted on.
// What merely found the block full waits for the next one, as does what a
// sender has behind it.
func (a *App) forget(results []consensus.Result) (dropped int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	waits := map[chain.Address]bool{}
	for i := range results {
		r := &results[i]
		tx := a.pool.Get(r.Hash)
		switch {
		case hasEffect(r) || tx == nil: // or gone already, behind another
		case r.Code == consensus.CodeNoRoom:
			waits[tx.From] = true
		case r.Code == consensus.CodeBadNonce && waits[tx.From]:
		default:
			a.pool.Drop(r.Hash)
			dropped++
		}
	}
	return dropped
}

// pick asks the mempool for what fits beside the first transactions.
func (a *App) pick(req *abci.RequestPrepareProposal, first [][]byte) [][]byte {
	proof := mempool.Room{Bytes: a.params.ProofLaneBytes(), Units: a.params.ProofLaneUnits()}
	ordinary := mempool.Room{Bytes: a.params.MaxBlockBytes - proof.Bytes, Units: a.params.MaxBlockUnits - proof.Units}
	a.mu.Lock()
	chosen := a.pool.Propose(chain.Height(req.Height), proof, ordinary)
	a.mu.Unlock()
	left := req.MaxTxBytes
	for _, tx := range first {
		left -= types.ComputeProtoSizeForTxs([]types.Tx{tx})
	}
	var out [][]byte
	for _, tx := range chosen {
		if left -= types.ComputeProtoSizeForTxs([]types.Tx{tx.Raw}); left < 0 {
			break
		}
		out = append(out, tx.Raw)
	}
	return out
}

// ProcessProposal implements abci.Application. It judges from the block and the
// previous state alone, so that all honest validators judge alike.
func (a *App) ProcessProposal(_ context.Context, req *abci.RequestProcessProposal) (*abci.ResponseProcessProposal, error) {
	v, err := a.over(req.Height)
	if err != nil {
		return nil, a.fail(fmt.Errorf("judge proposal: %w", err))
	}
	reason, err := a.judge(v, blockOf(req.Height, req.Time, req.ProposerAddress, req.Misbehavior, req.Txs))
	if err != nil {
		return nil, a.fail(fmt.Errorf("judge proposal: %w", err))
	}
	if reason != "" {
		a.counters.rejected.Add(1)
		return &abci.ResponseProcessProposal{Status: abci.ResponseProcessProposal_REJECT}, nil
	}
	return &abci.ResponseProcessProposal{Status: abci.ResponseProcessProposal_ACCEPT}, nil
}

// judge says what is wrong with a proposed block; nothing if it is empty.
func (a *App) judge(v consensus.View, b *consensus.Block) (string, error) {
	if b.Beacon != nil {
		c, ok, err := a.contributionTo(b.Height, v)
		if err != nil {
			return "", err
		}
		if !ok || a.checkContribution(c, b.Beacon) != nil {
			return "wrong contribution to the beacon", nil
		}
	}
	// Proofs may be wrong, their senders pay; signatures may not.
	rehearsed, sound, err := a.examine(v, b)
	if err != nil {
		return "", err
	}
	ordinary := false
	for i := range rehearsed.results {
		r := &rehearsed.results[i]
		switch isProof := r.Kind == chain.KindSubmitWindowProof; {
		case !hasEffect(r):
			return fmt.Sprintf("message %d has no effect: %s", i, r.Error), nil
		case isProof && ordinary:
			return fmt.Sprintf("window proof %d stands after another message", i), nil
		case !isProof:
			ordinary = true
		}
	}
	if sound {
		return "", nil
	}
	for _, c := range rehearsed.checks {
		if c.kind == checkMessage && a.memo.answer(c) != nil {
			return "a signature does not verify", nil
		}
	}
	return "", nil
}
