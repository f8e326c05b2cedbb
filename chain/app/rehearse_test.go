package app

import (
	"bytes"
	"reflect"
	"testing"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// TestSameBlock changes each part of a block: every change is another block.
func TestSameBlock(t *testing.T) {
	base := func() *consensus.Block {
		return &consensus.Block{Height: 1, Time: 2, Proposer: []byte("p"), Beacon: []byte{}, Messages: [][]byte{{1}, {2, 3}},
			Evidence: []consensus.Evidence{{Address: []byte("a"), Height: 1}}}
	}
	if !sameBlock(base(), base()) {
		t.Error("a block is not the same as itself")
	}
	for name, change := range map[string]func(*consensus.Block){
		"Height": func(b *consensus.Block) { b.Height++ }, "Time": func(b *consensus.Block) { b.Time++ },
		"Proposer": func(b *consensus.Block) { b.Proposer = []byte("q") }, "Beacon": func(b *consensus.Block) { b.Beacon = []byte("b") },
		"Messages": func(b *consensus.Block) { b.Messages = b.Messages[:1] },
		"absent":   func(b *consensus.Block) { b.Beacon = nil },
		"cut":      func(b *consensus.Block) { b.Messages = [][]byte{{1, 2}, {3}} },
		"order":    func(b *consensus.Block) { b.Messages = [][]byte{{2, 3}, {1}} },
		"Evidence": func(b *consensus.Block) { b.Evidence = nil },
		"offender": func(b *consensus.Block) { b.Evidence[0].Address = []byte("b") },
		"offence":  func(b *consensus.Block) { b.Evidence[0].Height++ },
	} {
		b := base()
		if change(b); sameBlock(b, base()) || sameBlock(base(), b) {
			t.Errorf("%s: another block is taken for the same", name)
		}
	}
	if fields := reflect.TypeFor[consensus.Block]().NumField(); fields != 6 {
		t.Errorf("a block has %d fields, sameBlock and this test know of 6", fields)
	}
}

// TestExecutedOnce: a block that was judged is not executed again, unless a
// check says no; either way the result is the one of a node that only finalizes.
func TestExecutedOnce(t *testing.T) {
	for text, reused := range map[string]bool{"ok": true, "no": false} {
		e := newMiner(t, 2)
		raw := e.windowProof(minerAccount, text)
		txs := [][]byte{raw, e.transfer(1, 2, 0, 5)}
		judged, fresh := e.members[0], e.members[1]
		if !e.accepts(judged, txs) {
			t.Fatalf("%s: a valid block is refused", text)
		}
		b := blockOf(e.height+1, e.time(), e.proposer().address, nil, txs)
		before := judged.app.rehearsals.find(b)
		update, _, err := judged.app.execute(judged.store.View(), b)
		if err != nil {
			t.Fatal(err)
		}
		if (update == before.update) != reused {
			t.Errorf("%s: the rehearsal was the execution: %t", text, !reused)
		}
		a, c := e.finalize(judged, txs), e.finalize(fresh, txs)
		if !bytes.Equal(a.AppHash, c.AppHash) || !reflect.DeepEqual(a.TxResults, c.TxResults) {
			t.Errorf("%s: a node that judged the block has another result than one that did not", text)
		}
		if failed := a.TxResults[0].Code != 0; failed == reused {
			t.Errorf("%s: result %v", text, a.TxResults[0])
		}
		e.vote()
		e.decide(txs)
		if judged.app.rehearsals.find(b) != nil {
			t.Errorf("%s: the rehearsal is kept after the block", text)
		}
	}
}

// TestProposalsOfOneHeight: failed rounds leave several blocks of one height
// behind; whichever is decided has its own result.
func TestProposalsOfOneHeight(t *testing.T) {
	e := newEngine(t, 1)
	m := e.members[0]
	var blocks [][][]byte
	for amount := range uint64(rehearsalsKept + 2) {
		blocks = append(blocks, [][]byte{e.transfer(1, 2, 0, amount+1)})
		if !e.accepts(m, blocks[amount]) {
			t.Fatal("a valid block is refused")
		}
	}
	if n := len(m.app.rehearsals.blocks); n != rehearsalsKept {
		t.Errorf("%d rehearsals are kept, want %d", n, rehearsalsKept)
	}
	e.decide(blocks[1])
	want, err := chain.PDR(1000).Add(chain.Atto(2))
	if err != nil {
		t.Fatal(err)
	}
	if got := e.account(2).Balance; got != want {
		t.Errorf("the recipient has %s, want %s", got, want)
	}
	if _, err := m.app.FinalizeBlock(t.Context(), &abci.RequestFinalizeBlock{Height: 2, Time: e.time(),
		ProposerAddress: m.address, Txs: blocks[1]}); err != nil {
		t.Fatal(err)
	}
}
