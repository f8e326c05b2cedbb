package app

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// TestOneBeaconForAll makes blocks with rounds that failed, proposers that leave
// the contribution out, and a validator that is found guilty on the way. A node
// that only finalizes what was decided, as block sync does, has the same values
// and app hashes; a vote that is extended again says the same.
func TestOneBeaconForAll(t *testing.T) {
	e := newEngine(t, 4)
	var decided []*abci.RequestFinalizeBlock
	skips := 0
	for range 24 {
		txs := e.propose()
		if e.height%3 == 0 { // nobody decides on the first proposal: another round, the same votes
			for _, m := range e.members {
				e.accepts(m, txs)
			}
			e.vote()
			first := e.votes
			e.vote()
			for i := range first {
				if !bytes.Equal(first[i].VoteExtension, e.votes[i].VoteExtension) {
					t.Fatalf("height %d: validator %d extends its vote in two ways", e.height+1, i)
				}
			}
		} else {
			e.vote()
		}
		if e.height%5 == 4 {
			txs = Messages(txs)
			skips++
		}
		if e.offences = nil; e.height == 9 {
			e.offences = []abci.Misbehavior{{Type: abci.MisbehaviorType_DUPLICATE_VOTE, Height: 8,
				Validator: abci.Validator{Address: e.members[3].address, Power: 10}}}
		}
		decided = append(decided, &abci.RequestFinalizeBlock{Height: e.height + 1, Time: e.time(),
			ProposerAddress: e.proposer().address, Misbehavior: e.offences, Txs: txs})
		e.decide(txs)
	}
	voters, err := consensus.Voters(e.members[0].store.View(), chain.Height(e.height))
	if err != nil || len(voters) != 3 {
		t.Fatalf("%d vote after evidence about one of four, %v", len(voters), err)
	}

	late := &member{fs: vfs.NewCrashableMem()}
	e.open(late)
	defer late.store.Close()
	if _, err := late.app.InitChain(t.Context(), &abci.RequestInitChain{ChainId: testChain, AppStateBytes: e.genesis, InitialHeight: 1}); err != nil {
		t.Fatal(err)
	}
	for _, req := range decided {
		if _, err := late.app.FinalizeBlock(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		if _, err := late.app.Commit(t.Context(), &abci.RequestCommit{}); err != nil {
			t.Fatal(err)
		}
	}
	skipped := 0
	for h := chain.Height(1); h <= chain.Height(e.height); h++ {
		one, err := e.members[0].store.At(h)
		if err != nil {
			t.Fatal(err)
		}
		other, err := late.store.At(h)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one.AppHash(), other.AppHash()) {
			t.Fatalf("height %d: a node that was away has another app hash", h)
		}
		if e.beacon(int64(h)).Skipped {
			skipped++
		}
	}
	if skipped < skips || skipped > skips+4 { // height 1 always; a guilty one that is drawn before it is out
		t.Errorf("%d heights skipped, proposers left out %d", skipped, skips)
	}
}
