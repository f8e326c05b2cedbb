package explorer

import "github.com/perdure/perdure/chain"

// Account is a key address and its money.
type Account struct {
	Address  string       `json:"address"`
	Exists   bool         `json:"exists"` // false: never used, all else is zero
	Nonce    uint64       `json:"nonce"`  // of the next message
	Balance  chain.Amount `json:"balance"`
	NoShows  uint64       `json:"noShows"`            // recent deals of its bids that went void before the miner had the data
	NoShowAt chain.Height `json:"noShowAt,omitempty"` // of the last one
	AsOf
	Proof *Proof `json:"proof,omitempty"`
}

func (a *API) accountRoutes() []route {
	return []route{{path: "/v1/accounts/{address}", query: proofQuery(), handle: a.account, indexed: true}}
}

func (a *API) account(q *query) (any, error) {
	who, err := parseAddress("address", q.r.PathValue("address"))
	if err != nil {
		return nil, err
	}
	if !chain.IsKeyAddress(who) {
		if id, err := chain.MinerIDOf(who); err == nil {
			return nil, badRequest("that is a miner: see /v1/miners/%s", q.minerText(id))
		}
		return nil, badRequest("address %q is not an account's", clip(q.r.PathValue("address")))
	}
	var r chain.Account
	show := func(exists bool, at AsOf, p *Proof) (any, error) {
		return &Account{q.address(who), exists, r.Nonce, r.Balance, r.NoShows, r.NoShowAt, at, p}, nil
	}
	if out, ok, err := q.prove(answerAccount, chain.AccountKey(who), &r, show); ok {
		return out, err
	}
	known, err := q.recall(chain.AccountKey(who), &r)
	if err != nil {
		return nil, err
	}
	return show(known != nil, q.asOf(), nil)
}
