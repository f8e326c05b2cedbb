package explorer

import (
	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// Upgrade is a later version of the rules that was agreed on.
type Upgrade struct {
	RuleVersion uint64       `json:"ruleVersion"`
	Height      chain.Height `json:"height"` // first with these rules
	Known       bool         `json:"known"`  // by this node; one that does not know them stops at that height
}

func upgradeOf(g *chain.Global) *Upgrade {
	if g.Upgrade.RuleVersion == 0 {
		return nil
	}
	return &Upgrade{g.Upgrade.RuleVersion, g.Upgrade.Height, g.Upgrade.RuleVersion <= consensus.NewestRules}
}

// ParamValue is a parameter and what it shall be: attoPDR, or a number.
type ParamValue struct {
	Name  string       `json:"name"`
	Value chain.Amount `json:"value"`
}

// Proposal is a change that waits for approval, or for its height.
type Proposal struct {
	ID          uint64       `json:"id"`
	Placed      chain.Height `json:"placed"`
	Values      []ParamValue `json:"values"`
	RuleVersion uint64       `json:"ruleVersion,omitempty"` // of an upgrade
	Effective   chain.Height `json:"effective"`             // first height with it
	Approvals   []string     `json:"approvals"`             // who approved
	Adopted     chain.Height `json:"adopted"`               // when more than two thirds of the votes had approved; 0: not yet
}

// Proposals are all that there are.
type Proposals struct {
	Items     []*Proposal `json:"items"`
	Amendable []string    `json:"amendable"` // the parameters that may change
	AsOf
}

func (a *API) proposals(q *query) (any, error) {
	if err := q.ready(); err != nil {
		return nil, err
	}
	out := &Proposals{Items: []*Proposal{}, Amendable: consensus.Amendable(), AsOf: q.asOf()}
	err := q.view.ForEach(chain.TableProposal, func(_ string, raw []byte) error {
		p := new(chain.Proposal)
		if err := chain.Decode(raw, p); err != nil {
			return err
		}
		out.Items = append(out.Items, q.proposalOf(p))
		return nil
	})
	return out, err
}

func (n names) proposalOf(p *chain.Proposal) *Proposal {
	out := &Proposal{ID: p.ID, Placed: p.Placed, Values: []ParamValue{}, RuleVersion: p.RuleVersion, Effective: p.Effective,
		Approvals: []string{}, Adopted: p.Adopted}
	for _, v := range p.Values {
		out.Values = append(out.Values, ParamValue{v.Name, v.Value})
	}
	for _, a := range p.Approvals {
		out.Approvals = append(out.Approvals, n.address(a))
	}
	return out
}
