package app

import (
	"context"
	"errors"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/mempool"
	"github.com/perdure/perdure/chain/state"
)

// Submit admits a message to the mempool. A message that waits already is
// admitted again without more ado. The error of one that is refused is a
// *consensus.Refusal.
func (a *App) Submit(ctx context.Context, raw []byte) error {
	hash := chain.HashBytes(raw)
	a.mu.Lock()
	known := a.pool.Has(hash)
	a.mu.Unlock()
	if known {
		return nil
	}
	v, err := a.tip()
	if err != nil {
		return err
	}
	admission, err := a.validate(ctx, v, raw)
	if err != nil {
		return err
	}
	return a.add(&mempool.Tx{Admission: *admission, Raw: raw})
}

// add puts an admitted message into the pool, as of the newest state: blocks
// may have gone by since it was validated.
func (a *App) add(tx *mempool.Tx) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	v, err := a.tip()
	if err != nil {
		return err
	}
	account, err := a.stillDue(v, tx)
	if err != nil {
		return err
	}
	err = a.pool.Add(tx, account)
	if err == nil || errors.Is(err, mempool.ErrKnown) {
		a.admitted.add(tx.Hash)
		return nil
	}
	a.counters.refused.Add(1)
	code := consensus.CodeNoRoom
	switch {
	case errors.Is(err, mempool.ErrGap):
		code = consensus.CodeBadNonce
	case errors.Is(err, mempool.ErrUnderpriced), errors.Is(err, mempool.ErrUnfunded):
		code = consensus.CodeUnderfunded
	}
	return &consensus.Refusal{Code: code, Text: err.Error()}
}

// stillDue refuses what a block has used up since a message was validated, and
// returns the account of an ordinary message's sender.
func (a *App) stillDue(v *state.View, tx *mempool.Tx) (mempool.Account, error) {
	if tx.Proof {
		proven, err := v.Record(tx.Replay)
		if err == nil && proven != nil {
			err = &consensus.Refusal{Code: consensus.CodeReplay, Text: "the partition was proven by a block just committed"}
		}
		return mempool.Account{}, err
	}
	account, err := accountOf(v, tx.From)
	if err == nil && tx.Nonce < account.Nonce {
		err = &consensus.Refusal{Code: consensus.CodeBadNonce, Text: "the nonce was used by a block just committed"}
	}
	return account, err
}

// codeOf is the ABCI code of an admission: what may be right later is worth
// another try, so CometBFT forgets that it has seen it.
func codeOf(err error) uint32 {
	code := uint32(consensus.CodeOf(err))
	switch consensus.Code(code) {
	case consensus.CodeOK, consensus.CodeMalformed, consensus.CodeBadSignature:
		return code
	}
	return abci.CodeTypeRetry + code
}

// CheckTx implements abci.Application: a message from this node's RPC.
func (a *App) CheckTx(ctx context.Context, req *abci.RequestCheckTx) (*abci.ResponseCheckTx, error) {
	err := a.Submit(ctx, req.Tx)
	r := &abci.ResponseCheckTx{Code: codeOf(err)}
	if err != nil {
		r.Log, r.Codespace = err.Error(), codespace
	}
	return r, nil
}

// codespace names whose codes they are.
const codespace = "perdure"

// InsertTx implements abci.Application: a message from a peer.
func (a *App) InsertTx(ctx context.Context, req *abci.RequestInsertTx) (*abci.ResponseInsertTx, error) {
	return &abci.ResponseInsertTx{Code: codeOf(a.Submit(ctx, req.Tx))}, nil
}

// gossipBytes bounds one round of gossip if the engine names no bound.
const gossipBytes = 1 << 20

// ReapTxs implements abci.Application: what peers should be given now, own and
// foreign messages alike.
func (a *App) ReapTxs(_ context.Context, req *abci.RequestReapTxs) (*abci.ResponseReapTxs, error) {
	v := a.store.View()
	if v == nil {
		return &abci.ResponseReapTxs{}, nil
	}
	limit := req.MaxBytes
	if limit == 0 {
		limit = gossipBytes
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	r := &abci.ResponseReapTxs{}
	for _, tx := range a.pool.Gossip(v.Height(), limit) {
		r.Txs = append(r.Txs, tx.Raw)
	}
	return r, nil
}

// Lost reports whether a message was admitted not long ago and waits no more:
// it has a receipt, or it was dropped.
func (a *App) Lost(h chain.Hash) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.admitted.has(h) && !a.pool.Has(h)
}

// Pending returns the nonce that a new message of an account should have:
// after those that wait.
func (a *App) Pending(from chain.Address) (uint64, error) {
	v, err := a.tip()
	if err != nil {
		return 0, err
	}
	account, err := accountOf(v, from)
	if err != nil {
		return 0, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pool.Pending(from, account.Nonce), nil
}
