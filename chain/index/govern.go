package index

import (
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// Amendment is a proposal that came into force.
type Amendment struct {
	Height      chain.Height // last one with what was before
	Index       uint64       // among the block's
	Time        uint64       // Unix seconds of the block
	Proposal    uint64
	RuleVersion uint64             // of the rules from then on; 0: parameters changed
	Values      []chain.ParamValue `cborgen:"maxlen=64"` // what they became
	Before      []chain.ParamValue `cborgen:"maxlen=64"` // what they had been, in the same order; empty: as genesis has them
}

var amendmentPrefix = []byte{'g'}

// inForce is the reason of the event that ends a proposal by its effect.
const inForce = "in force"

// amended writes what came into force with the block. These rows stay: what
// governs a chain is worth knowing for as long as it lives, and changes seldom.
func (f *figures) amended(batch *pebble.Batch) error {
	n := uint64(0)
	var known []chain.ParamValue
	for i := range f.b.u.Events {
		e := &f.b.u.Events[i]
		if e.Kind != consensus.EventProposalEnded || e.Reason != inForce {
			continue
		}
		at, ok := f.b.at[chain.ProposalKey(e.Index)]
		if !ok {
			continue
		}
		p := formerly[chain.Proposal](&f.b.changes[at])
		if p == nil { // the index does not know what was proposed
			continue
		}
		if n == 0 {
			known = f.paramsBefore()
		}
		a := &Amendment{Height: f.b.u.Height, Index: n, Time: f.b.u.Time, Proposal: p.ID, RuleVersion: p.RuleVersion, Values: p.Values}
		for _, v := range p.Values {
			if i := slices.IndexFunc(known, func(k chain.ParamValue) bool { return k.Name == v.Name }); i >= 0 {
				a.Before = append(a.Before, known[i])
				known[i] = v
			}
		}
		if err := put(batch, in(amendmentPrefix, a.Height, uint32(n)), a); err != nil {
			return err
		}
		n++
	}
	return nil
}

// paramsBefore lists what the parameters were before the block; nil if they were
// those of genesis.
func (f *figures) paramsBefore() []chain.ParamValue {
	i, ok := f.b.at[chain.ParamsKey()]
	if !ok {
		return nil
	}
	p := formerly[consensus.Params](&f.b.changes[i])
	if p == nil {
		return nil
	}
	return p.Amendments()
}

// Amendments lists what came into force, the newest first.
func (s *Snapshot) Amendments(p Page, each func(*Amendment) (bool, error)) ([]byte, error) {
	return nouns(s, amendmentPrefix, 12, p, each)
}
