package explorer

import (
	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// Validator is a member of the vote set.
type Validator struct {
	Address      string `json:"address"`             // consensus address, hexadecimal
	ConsensusKey string `json:"consensusKey"`        // ed25519, hexadecimal
	BeaconKey    string `json:"beaconKey,omitempty"` // BLS12-381 G1, hexadecimal; absent: never contributes
	Votes        uint64 `json:"votes"`
	Miner        string `json:"miner,omitempty"` // absent: a genesis validator
	Reward       string `json:"reward"`          // receives tips, is charged for skips
}

// Validators is who votes for a block.
type Validators struct {
	Next  chain.Height `json:"next"`  // height of that block
	Votes uint64       `json:"votes"` // of all
	Items []Validator  `json:"items"` // in the order of draws
	AsOf
}

func (a *API) validatorRoutes() []route {
	return []route{{path: "/v1/validators", handle: a.validators}}
}

// validators answers with the vote set of the next block.
func (a *API) validators(q *query) (any, error) {
	if err := q.ready(); err != nil {
		return nil, err
	}
	out := &Validators{Next: q.global.Height + 1, Items: []Validator{}, AsOf: q.asOf()}
	voters, err := consensus.Voters(q.view, out.Next)
	if err != nil {
		return nil, err
	}
	for _, v := range voters {
		item := Validator{Address: hexText(consensus.ConsensusAddress(v.PubKey)), ConsensusKey: hexText(v.PubKey),
			BeaconKey: hexText(v.BeaconKey), Votes: v.Power, Reward: q.address(v.Reward)}
		if v.Miner != 0 {
			item.Miner = q.minerText(v.Miner)
		}
		out.Votes += v.Power
		out.Items = append(out.Items, item)
	}
	return out, nil
}
