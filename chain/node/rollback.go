package node

import (
	"errors"
	"fmt"

	cmtconfig "github.com/cometbft/cometbft/config"
	sm "github.com/cometbft/cometbft/state"
	"github.com/cometbft/cometbft/store"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/state"
)

// Rollback takes the newest block's effect back, of the engine's state and of
// ours, in a home whose node does not run. The block itself stays and is
// executed again when the node starts. It returns the height that the state is
// at then. A crash in between leaves a node that starts at either height.
func Rollback(home string) (h chain.Height, err error) {
	_, genesis, err := LoadGenesis(home)
	if err != nil {
		return 0, err
	}
	states, err := state.Open(state.Config{Dir: stateDir(home), Params: &genesis.Params})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, states.Close()) }()
	tip := states.View()
	if tip == nil || tip.Height() < 2 {
		return 0, errors.New("roll back: the chain has no two blocks yet")
	}
	if _, err := states.At(tip.Height() - 1); err != nil {
		return 0, fmt.Errorf("roll back: %w", err)
	}
	engine, err := rollbackEngine(home)
	if err != nil {
		return 0, fmt.Errorf("roll back the engine: %w", err)
	}
	switch {
	case tip.Height() == engine: // its block was stored and not executed
		return engine, nil
	case tip.Height() == engine+1:
		return engine, states.Rollback()
	}
	return 0, fmt.Errorf("roll back: the engine is at height %d, the state at %d", engine, tip.Height())
}

// rollbackEngine takes CometBFT's state one height back, unless it lags behind
// its blocks already.
func rollbackEngine(home string) (h chain.Height, err error) {
	c := cmtconfig.DefaultConfig()
	c.SetRoot(cometHome(home))
	c.DBBackend = engineBackend
	blocks, err := cmtconfig.DefaultDBProvider(&cmtconfig.DBContext{ID: "blockstore", Config: c})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, blocks.Close()) }()
	states, err := cmtconfig.DefaultDBProvider(&cmtconfig.DBContext{ID: "state", Config: c})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, states.Close()) }()
	at, _, err := sm.Rollback(store.NewBlockStore(blocks), sm.NewStore(states, sm.StoreOptions{DiscardABCIResponses: true}), false)
	return chain.Height(at), err
}
