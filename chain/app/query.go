package app

import (
	"context"
	"errors"
	"strings"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/proto/tendermint/crypto"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/state"
)

// ProofOpType names the proof in a query's answer: a CAR for proof.Verify,
// against the app hash in the header of the height after the answer's.
const ProofOpType = "perdure:car"

// queryPath is followed by a table's name.
const queryPath = "/record/"

// QueryPath is the path by which a query asks for records of a table.
func QueryPath(t chain.Table) string { return queryPath + t.String() }

// Query implements abci.Application: path "/record/TABLE", data the key's ID.
// Height 0 is the newest.
func (a *App) Query(_ context.Context, req *abci.RequestQuery) (*abci.ResponseQuery, error) {
	r := &abci.ResponseQuery{Key: req.Data, Codespace: codespace}
	if err := a.query(req, r); err != nil {
		r.Code, r.Log = 1, err.Error()
	}
	return r, nil
}

func (a *App) query(req *abci.RequestQuery, r *abci.ResponseQuery) error {
	name, ok := strings.CutPrefix(req.Path, queryPath)
	table, known := chain.ParseTable(name)
	if !ok || !known {
		return errors.New("want the path /record/TABLE, such as /record/account, and the key as data")
	}
	tree, err := a.treeAt(req.Height)
	if err != nil {
		return err
	}
	k := chain.Key{Table: table, ID: string(req.Data)}
	if r.Value, err = tree.Record(k); err != nil {
		return err
	}
	r.Height = int64(tree.Height())
	if !req.Prove {
		return nil
	}
	car, err := tree.Proof(k)
	if err != nil {
		return err
	}
	r.ProofOps = &crypto.ProofOps{Ops: []crypto.ProofOp{{Type: ProofOpType, Key: req.Data, Data: car}}}
	return nil
}

func (a *App) treeAt(height int64) (*state.Tree, error) {
	v, err := a.tip()
	if err != nil {
		return nil, err
	}
	if height <= 0 || chain.Height(height) == v.Height() {
		return &v.Tree, nil
	}
	return a.store.At(chain.Height(height))
}
