package app

import (
	"context"
	"fmt"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/perdure/perdure/chain"
)

// Play executes and commits a block that comes from a caller and not from the
// engine, by the engine's own two calls: for chains that are made or measured
// without one. Messages are encoded; one that fails or has no effect is no error.
func (a *App) Play(ctx context.Context, h chain.Height, at time.Time, proposer []byte, messages [][]byte) error {
	_, err := a.FinalizeBlock(ctx, &abci.RequestFinalizeBlock{Height: int64(h), Time: at, ProposerAddress: proposer, Txs: messages})
	if err == nil {
		_, err = a.Commit(ctx, &abci.RequestCommit{})
	}
	if err != nil {
		return fmt.Errorf("play block %d: %w", h, err)
	}
	return nil
}
