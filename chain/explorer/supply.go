package explorer

import (
	"github.com/perdure/perdure/chain"
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
	Circulating chain.Amount `json:"circulating"` // minted and not burned: accounts + locked
	Emission    chain.Amount `json:"emission"`    // of the next block, at most
	PowerBytes  uint64       `json:"powerBytes"`  // proven bytes that share in it
	AsOf
	Proof *Proof `json:"proof,omitempty"`
}

func (a *API) supply(q *query) (any, error) {
	if err := q.ready(); err != nil {
		return nil, err
	}
	proven, err := q.choice("proof", "false", "true")
	if err != nil {
		return nil, err
	}
	if proven == 1 {
		g := new(chain.Global)
		out, _, err := q.prove(answerSupply, chain.GlobalKey(), g, func(_ bool, _ AsOf, p *Proof) (any, error) { return q.supplyAt(g, p) })
		return out, err
	}
	_, g, err := a.treeOf(q, false)
	if err != nil {
		return nil, err
	}
	return q.supplyAt(g, nil)
}

func (q *query) supplyAt(g *chain.Global, p *Proof) (any, error) {
	emission, err := q.params().Emission(g.Issuance.Unissued)
	if err != nil {
		return nil, err
	}
	circulating, err := g.Supply.Minted.Sub(g.Supply.Burned)
	if err != nil {
		return nil, err
	}
	return &SupplyDetail{supplyOf(g), circulating, emission, g.Power, q.at(g.Height, g.Time), p}, nil
}
