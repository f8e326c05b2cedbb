package explorer

import (
	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/index"
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
	Ended       chain.Height `json:"ended,omitempty"`       // block at whose end it took effect or came to nothing; absent: it waits
	Reason      string       `json:"reason,omitempty"`      // how it ended: in force, not adopted, or what stood against it
}

// Proposals are a page of those that wait or, if all are asked for, of those that
// ended, too.
type Proposals struct {
	Items     []*Proposal `json:"items"`          // by ID
	Next      string      `json:"next,omitempty"` // cursor of the next page; absent at the end
	Amendable []string    `json:"amendable"`      // the parameters that may change
	AsOf
}

// proposals answers with the proposals that wait for approval or for their
// height, or with all that the history knows.
func (a *API) proposals(q *query) (any, error) {
	state, err := q.choice("state", "open", "all")
	if err != nil {
		return nil, err
	}
	s, err := q.indexed()
	if err != nil {
		return nil, err
	}
	out, err := listOf(q, func(p index.Page, add func(*Proposal)) ([]byte, error) {
		if p.Upward, err = q.upward(true); err != nil {
			return nil, err
		}
		return s.Records(index.All(chain.TableProposal), p, func(r *index.Record) (bool, error) {
			if r.Gone != 0 && state <= 0 {
				return false, nil
			}
			p := new(chain.Proposal)
			if err := r.Decode(p); err != nil {
				return false, err
			}
			item := q.proposalOf(p)
			item.Ended, item.Reason = r.Ended, r.Reason
			add(item)
			return true, nil
		})
	})
	if err != nil {
		return nil, err
	}
	l, paged := out.(*List[*Proposal])
	if !paged { // it is read as a whole
		return out, nil
	}
	return &Proposals{Items: l.Items, Next: l.Next, Amendable: consensus.Amendable(), AsOf: l.AsOf}, nil
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

// ParamChange is a parameter that became another.
type ParamChange struct {
	Name string       `json:"name"`
	From chain.Amount `json:"from"` // attoPDR, or a number
	To   chain.Amount `json:"to"`
}

// Amendment is a proposal that came into force.
type Amendment struct {
	Height      chain.Height  `json:"height"` // first one with what it brought
	Time        string        `json:"time"`   // of the block before
	Proposal    uint64        `json:"proposal"`
	RuleVersion uint64        `json:"ruleVersion,omitempty"` // of the rules from there on; absent: parameters changed
	Values      []ParamChange `json:"values"`
}

// paramHistory lists what came into force, the newest first.
func (a *API) paramHistory(q *query) (any, error) {
	s, err := q.indexed()
	if err != nil {
		return nil, err
	}
	genesis := a.genesis.Amendments()
	return listOf(q, func(p index.Page, add func(*Amendment)) ([]byte, error) {
		return s.Amendments(p, func(m *index.Amendment) (bool, error) {
			out := &Amendment{m.Height + 1, clock(m.Time), m.Proposal, m.RuleVersion, []ParamChange{}}
			for _, v := range m.Values {
				out.Values = append(out.Values, ParamChange{v.Name, valueOf(v.Name, m.Before, genesis), v.Value})
			}
			add(out)
			return true, nil
		})
	})
}

// valueOf is a parameter's value in the first list that has it.
func valueOf(name string, lists ...[]chain.ParamValue) chain.Amount {
	for _, list := range lists {
		for i := range list {
			if list[i].Name == name {
				return list[i].Value
			}
		}
	}
	return chain.Amount{}
}
