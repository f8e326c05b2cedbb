package app

import (
	"errors"
	"testing"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// TestTooOld announces rules that this program does not know: it makes blocks up
// to the height before them, then every node stops and its error says why.
func TestTooOld(t *testing.T) {
	e := newEngine(t, 4)
	at := chain.Height(e.height) + chain.Height(e.params.Notice()) + 4
	e.submit(e.sign(0, chain.Message{MaxFee: chain.PDR(1)}, &chain.Propose{RuleVersion: consensus.NewestRules + 1, Effective: at}))
	e.block()
	for from := byte(1); from < 3; from++ {
		e.submit(e.sign(from, chain.Message{MaxFee: chain.PDR(1)}, &chain.Approve{Proposal: 1}))
	}
	e.block()
	for chain.Height(e.height) < at-1 {
		e.block()
	}
	m := e.members[0]
	_, err := m.app.FinalizeBlock(t.Context(), &abci.RequestFinalizeBlock{Height: int64(at), Time: e.time(), ProposerAddress: m.address})
	var old *consensus.TooOldError
	if !errors.As(err, &old) || old.Height != at || old.Version != consensus.NewestRules+1 {
		t.Fatalf("block %d: %v", at, err)
	}
	select {
	case err := <-m.app.Failed():
		if !errors.As(err, &old) {
			t.Errorf("the node is told of %v", err)
		}
	default:
		t.Error("the node is not told to stop")
	}
	if h := m.store.View().Height(); h != at-1 {
		t.Errorf("the state is at height %d, want %d", h, at-1)
	}
}
