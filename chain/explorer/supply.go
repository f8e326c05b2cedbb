package explorer

import (
	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/state"
)

// Supply sums all money, in attoPDR: minted = accounts + locked + burned.
type Supply struct {
	Minted   chain.Amount `json:"minted"`
	Burned   chain.Amount `json:"burned"`
	Accounts chain.Amount `json:"accounts"` // free, of accounts and miners
	Locked   chain.Amount `json:"locked"`   // in orders, deals, pledge, deposits and channels
	Unissued chain.Amount `json:"unissued"` // still to be issued
}

func supplyOf(g *chain.Global) Supply {
	s := &g.Supply
	return Supply{s.Minted, s.Burned, s.Accounts, s.Locked, g.Issuance.Unissued}
}

// SupplyDetail is the money at a height and what the next block issues.
type SupplyDetail struct {
	Supply
	Emission   chain.Amount `json:"emission"`   // of the next block, at most
	PowerBytes uint64       `json:"powerBytes"` // proven bytes that share in it
	AsOf
}

func (a *API) supply(q *query) (any, error) {
	_, g, err := q.treeAt()
	if err != nil {
		return nil, err
	}
	emission, err := a.params.Emission(g.Issuance.Unissued)
	if err != nil {
		return nil, err
	}
	return &SupplyDetail{supplyOf(g), emission, g.Power, AsOf{g.Height, clock(g.Time)}}, nil
}

// treeAt returns the state of the height that the query names, or the newest one.
func (q *query) treeAt() (*state.Tree, *chain.Global, error) {
	if err := q.ready(); err != nil {
		return nil, nil, err
	}
	if !q.given("height") {
		return &q.view.Tree, q.global, nil
	}
	h, err := parseNumber("height", q.values.Get("height"))
	if err != nil {
		return nil, nil, err
	}
	tree, err := q.api.node.Store().At(chain.Height(h))
	if err != nil {
		return nil, nil, err
	}
	global, err := tree.Global()
	return tree, global, err
}
