package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/chain/state"
)

// CheckIndex checks the index of a home whose node does not run: against itself,
// and against the state that the home has. See index.Check.
func CheckIndex(ctx context.Context, home string) (report *index.Report, err error) {
	_, genesis, err := LoadGenesis(home)
	if err != nil {
		return nil, err
	}
	states, err := state.Open(state.Config{Dir: stateDir(home), Params: &genesis.Params})
	if err != nil {
		return nil, fmt.Errorf("check index: %w", err)
	}
	defer func() { err = errors.Join(err, states.Close()) }()
	x, err := index.Open(index.Config{Dir: indexDir(home), ChainID: genesis.Params.ChainID, Params: &genesis.Params})
	if err != nil {
		return nil, fmt.Errorf("check index: %w", err)
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	return x.Check(ctx, states)
}
