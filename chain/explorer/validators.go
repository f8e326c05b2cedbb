package explorer

import (
	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/index"
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
	Items []*Validator `json:"items"` // in the order of draws
	AsOf
}

func (a *API) validatorRoutes() []route {
	return []route{
		{path: "/v1/validators", query: []string{"height", "format"}, handle: a.validators, indexed: true},
		{path: "/v1/validators/{address}", handle: a.validator, indexed: true, cost: 3},
	}
}

func (n names) validatorOf(v *chain.Validator) *Validator {
	return &Validator{hexText(consensus.ConsensusAddress(v.PubKey)), hexText(v.PubKey), hexText(v.BeaconKey), v.Power, n.minerOrNone(v.Miner), n.address(v.Reward)}
}

// validators answers with the vote set of the next block, or of one of the history.
func (a *API) validators(q *query) (any, error) {
	return q.fromIndex(func(s *index.Snapshot, at AsOf) (any, error) {
		h := s.Height + 1
		if err := optional(q, "height", &h, parseHeight); err != nil {
			return nil, err
		}
		if h != s.Height+1 {
			b, err := blockAt(s, h)
			if err != nil {
				return nil, err
			}
			q.settle(h, b.Time)
			at = q.asOf()
		}
		_, set, err := s.Voters(h)
		if err != nil {
			return nil, err
		}
		if set == nil {
			return nil, notFound("the index does not know who votes at height %d", h)
		}
		out := &Validators{Next: h, Votes: votesOf(set), Items: []*Validator{}, AsOf: at}
		for i := range set.Validators {
			out.Items = append(out.Items, q.validatorOf(&set.Validators[i]))
		}
		return entire(q, out, out.Items)
	})
}
