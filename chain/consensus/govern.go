package consensus

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/perdure/perdure/chain"
)

// Governance changes some parameters of a running chain, and announces later
// versions of its rules, by more than two thirds of the votes.
//
// What may change is amendable, each within the bounds and margins that Validate
// holds genesis to, and by at most a factor of maxStep at a time. All other
// parameters are for good: they are how the chain is named (name, chainId,
// network), what CometBFT and every peer were set up with (block times and sizes,
// epochs), what sectors, deals and orders in progress were promised or measured by
// (sizes, challenges, windows, units, terms, no-show deposits, how long pledge is
// bound), and how much money there will ever be (issuanceTotal).
//
// The parameters in force are the record of TableParams if there is one, and
// those of genesis otherwise; the root of the state links to them. Whoever keeps,
// trusts or prunes by them follows that link: nodes what they keep and how old
// evidence CometBFT takes, light clients how long they trust.

// maxStep is by how much a change may multiply or divide a value.
const maxStep = 4

// maxNotice is the most vote epochs between a proposal and its effect.
const maxNotice = 512

// Notice is how many blocks before its effect a proposal must be adopted: two
// vote epochs, in which whoever disagrees can leave.
func (p *Params) Notice() uint64 { return 2 * p.VoteEpoch }

// amendment is one parameter that may change: an amount or a number.
type amendment struct {
	name   string
	amount *chain.Amount
	number *uint64
}

// amendable lists the parameters that may change.
func (p *Params) amendable() []amendment {
	return []amendment{
		{"baseFeeFloor", &p.BaseFeeFloor, nil}, {"proofFee", &p.ProofFee, nil}, {"beaconCharge", &p.BeaconCharge, nil},
		{"preCommitDeposit", &p.PreCommitDeposit, nil}, {"sectorPledge", &p.SectorPledge, nil},
		{"faultFee", &p.FaultFee, nil}, {"skipFee", &p.SkipFee, nil}, {"standingFee", &p.StandingFee, nil},
		{"terminationBurn", nil, &p.TerminationBurn}, {"orderDeposit", &p.OrderDeposit, nil},
		{"repairFetch", &p.RepairFetch, nil}, {"repairPrice", nil, &p.RepairPrice}, {"repairBy", nil, &p.RepairBy},
		{"collateralSpan", nil, &p.CollateralSpan}, {"voidBurn", nil, &p.VoidBurn}, {"lossBurn", nil, &p.LossBurn},
		{"noShowForget", nil, &p.NoShowForget}, {"noShowMost", nil, &p.NoShowMost},
		{"issuanceHalfLife", nil, &p.IssuanceHalfLife}, {"issuanceFullPower", nil, &p.IssuanceFullPower},
		{"proposerShare", nil, &p.ProposerShare}, {"slashShare", nil, &p.SlashShare},
		{"fetchBy", nil, &p.FetchBy}, {"activateBy", nil, &p.ActivateBy},
		{"maxOrderLife", nil, &p.MaxOrderLife}, {"minDuration", nil, &p.MinDuration},
		{"stateRetention", nil, &p.StateRetention}, {"endedRetention", nil, &p.EndedRetention},
		{"evidenceAge", nil, &p.EvidenceAge}, {"trustPeriod", nil, &p.TrustPeriod},
	}
}

// Amendable names the parameters that governance may change.
func Amendable() []string {
	var out []string
	for _, a := range new(Params).amendable() {
		out = append(out, a.name)
	}
	return out
}

// Amendments lists the parameters that governance may change, as they are.
func (p *Params) Amendments() []chain.ParamValue {
	var out []chain.ParamValue
	for _, a := range p.amendable() {
		v := chain.ParamValue{Name: a.name}
		if a.amount != nil {
			v.Value = *a.amount
		} else {
			v.Value = chain.Atto(*a.number)
		}
		out = append(out, v)
	}
	return out
}

// Amended returns the parameters with other values, or why they must not be.
func (p *Params) Amended(values []chain.ParamValue) (*Params, error) {
	next := *p
	of := next.amendable()
	for i, v := range values {
		at := slices.IndexFunc(of, func(a amendment) bool { return a.name == v.Name })
		switch {
		case at < 0:
			return nil, fmt.Errorf("parameter %q cannot change", v.Name)
		case slices.ContainsFunc(values[:i], func(o chain.ParamValue) bool { return o.Name == v.Name }):
			return nil, fmt.Errorf("parameter %q is named twice", v.Name)
		}
		if err := of[at].set(v.Value); err != nil {
			return nil, fmt.Errorf("parameter %q: %w", v.Name, err)
		}
	}
	return &next, next.Validate()
}

// set writes a value that is no more than maxStep times, and no less than a
// maxStep-th of, what it was. What was zero may become anything in its bounds.
func (a *amendment) set(v chain.Amount) error {
	was := chain.Amount{}
	if a.amount != nil {
		was = *a.amount
	} else {
		was = chain.Atto(*a.number)
	}
	most, err := was.Mul(maxStep)
	if err != nil {
		most = chain.MaxAmount()
	}
	if least, _ := was.MulDivCeil(1, maxStep); !was.IsZero() && (v.Less(least) || most.Less(v)) {
		return fmt.Errorf("%s is more than a step of %d from %s", v, maxStep, was)
	}
	if a.amount != nil {
		*a.amount = v
		return nil
	}
	n := v.Big()
	if !n.IsUint64() {
		return fmt.Errorf("%s is no number of 64 bits", v)
	}
	*a.number = n.Uint64()
	return nil
}

// CheckNetwork refuses parameters that differ from those of genesis in what no
// vote can change: they are another network's.
func (p *Params) CheckNetwork(genesis *Params) error {
	mine, err := p.Sheet()
	if err != nil {
		return err
	}
	theirs, err := genesis.Sheet()
	if err != nil {
		return err
	}
	may := Amendable()
	for i := range mine {
		if name := mine[i].Name; mine[i] != theirs[i] && !slices.Contains(may, name) {
			return fmt.Errorf("%s is %s, not %s", name, mine[i].Value, theirs[i].Value)
		}
	}
	return nil
}

// ParamsOf returns the parameters in force after a state: genesis's, unless they
// were amended.
func ParamsOf(genesis *Params, v interface {
	Record(chain.Key) ([]byte, error)
}) (*Params, error) {
	raw, err := v.Record(chain.ParamsKey())
	if err != nil {
		return nil, fmt.Errorf("read parameters: %w", err)
	}
	if raw == nil {
		return genesis, nil
	}
	p := new(Params)
	if err := p.UnmarshalCBOR(bytes.NewReader(raw)); err != nil {
		return nil, fmt.Errorf("decode parameters: %w", err)
	}
	return p, nil
}

// TooOldError says that a chain has rules that this program does not know.
type TooOldError struct {
	Height  chain.Height // first with them
	Version uint64       // of the rules
}

// Error implements error.
func (e *TooOldError) Error() string {
	return fmt.Sprintf("from height %d on the chain has version %d of the rules, this program knows them up to version %d: install a newer release",
		e.Height, e.Version, uint64(NewestRules))
}

// enterRules lets an announced version of the rules begin, if newest, the
// latest one that the program knows, is new enough.
func (s *state) enterRules(newest uint64) error {
	if u := s.global.Upgrade; u.RuleVersion != 0 && s.global.Height >= u.Height {
		s.global.RuleVersion, s.global.Upgrade = u.RuleVersion, chain.Upgrade{}
		s.emit(Event{Kind: EventRulesChanged, Index: u.RuleVersion})
	}
	if s.global.RuleVersion > newest {
		return &TooOldError{s.global.Height, s.global.RuleVersion}
	}
	return nil
}

func proposeUnits(s *state, b *chain.Propose) uint64 {
	return (4 + uint64(len(b.Values)) + s.voteReads()) * s.params.UnitWrite
}

func approveUnits(s *state, _ *chain.Approve) uint64 { return (2 + s.voteReads()) * s.params.UnitWrite }

// voteReads is how many records counting the votes reads at most.
func (s *state) voteReads() uint64 { return s.params.MaxValidators }

// applyPropose puts a change up for approval.
func applyPropose(s *state, m *chain.Message, b *chain.Propose) (uint64, error) {
	p := &chain.Proposal{ID: s.global.NextProposal, Placed: s.global.Height, Values: b.Values, RuleVersion: b.RuleVersion, Effective: b.Effective}
	least := s.global.Height + chain.Height(s.params.Notice()) + 1
	most := s.global.Height + chain.Height(maxNotice*s.params.VoteEpoch)
	switch {
	case b.Effective < least || b.Effective > most:
		return 0, refuse(CodeFailed, "effective at %d, want %d to %d", b.Effective, least, most)
	case (len(b.Values) == 0) == (b.RuleVersion == 0):
		return 0, refuse(CodeFailed, "want other parameters or a version of the rules, one of both")
	case b.RuleVersion != 0 && b.RuleVersion != s.global.RuleVersion+1:
		return 0, refuse(CodeFailed, "version %d of the rules cannot follow %d", b.RuleVersion, s.global.RuleVersion)
	}
	if _, err := s.params.Amended(b.Values); err != nil {
		return 0, refuse(CodeFailed, "%v", err)
	}
	s.global.NextProposal++
	s.enqueue(chain.QueueProposal, b.Effective-1, chain.QueueItem{ID: p.ID})
	s.emit(Event{Kind: EventProposed, From: m.From.Bytes(), Index: p.ID})
	return p.ID, s.approve(p, m.From)
}

// applyApprove adds the sender's votes to a proposal.
func applyApprove(s *state, m *chain.Message, b *chain.Approve) (uint64, error) {
	p := new(chain.Proposal)
	switch {
	case !s.load(chain.ProposalKey(b.Proposal), p):
		return 0, refuse(CodeFailed, "no proposal %d", b.Proposal)
	case slices.Contains(p.Approvals, m.From):
		return 0, refuse(CodeFailed, "%s has approved of proposal %d", chain.FormatAddress(m.From, s.params.Network), p.ID)
	case p.Adopted == 0 && s.global.Height+chain.Height(s.params.Notice()) > p.Effective:
		return 0, refuse(CodeFailed, "proposal %d came too late to be adopted %d blocks before height %d", p.ID, s.params.Notice(), p.Effective)
	case uint64(len(p.Approvals)) >= s.params.MaxValidators:
		return 0, refuse(CodeFailed, "proposal %d has %d approvals", p.ID, len(p.Approvals))
	}
	return 0, s.approve(p, m.From)
}

// approve notes an approval and adopts the proposal when those who approved have
// more than two thirds of the votes.
func (s *state) approve(p *chain.Proposal, from chain.Address) error {
	p.Approvals = append(p.Approvals, from)
	mine, theirs, all, err := s.countVotes(p.Approvals)
	if err != nil {
		return err
	}
	if mine == 0 {
		return refuse(CodeFailed, "%s speaks for no votes", chain.FormatAddress(from, s.params.Network))
	}
	if p.Adopted == 0 && theirs > all/3*2+all%3*2/3 {
		if err := s.adopt(p); err != nil {
			return err
		}
	}
	s.store(chain.ProposalKey(p.ID), p)
	s.emit(Event{Kind: EventApproved, From: from.Bytes(), Index: p.ID})
	return nil
}

// countVotes counts the votes of the last of those who approved, of all of them,
// and of everybody.
func (s *state) countVotes(approvals []chain.Address) (mine, theirs, all uint64, err error) {
	last := approvals[len(approvals)-1]
	for _, v := range s.voters(s.global.Height) {
		who := v.Reward
		if v.Miner != 0 {
			m, err := s.miner(v.Miner)
			if err != nil {
				return 0, 0, 0, err
			}
			who = m.Keys.Owner
		}
		all += v.Power
		if who == last {
			mine += v.Power
		}
		if slices.Contains(approvals, who) {
			theirs += v.Power
		}
	}
	return mine, theirs, all, nil
}

// adopt notes that a proposal will take effect, and announces new rules.
func (s *state) adopt(p *chain.Proposal) error {
	if p.RuleVersion != 0 {
		if u := &s.global.Upgrade; u.RuleVersion != 0 {
			return refuse(CodeFailed, "version %d of the rules is announced for height %d already", u.RuleVersion, u.Height)
		}
		s.global.Upgrade = chain.Upgrade{RuleVersion: p.RuleVersion, Height: p.Effective}
	}
	p.Adopted = s.global.Height
	s.emit(Event{Kind: EventAdopted, Index: p.ID})
	return nil
}

// enactProposal is due at the last height before a proposal's effect. What was
// right when it was proposed may not be after another change: then nothing happens.
func (s *state) enactProposal(item *chain.QueueItem) error {
	p := new(chain.Proposal)
	key := chain.ProposalKey(item.ID)
	if !s.load(key, p) {
		return nil
	}
	s.remove(key)
	end := Event{Kind: EventProposalEnded, Index: p.ID, Reason: "not adopted"}
	if p.Adopted != 0 {
		end.Reason = "in force"
		if p.RuleVersion == 0 {
			next, err := s.params.Amended(p.Values)
			if err != nil {
				end.Reason = err.Error()
			} else {
				s.store(chain.ParamsKey(), next)
			}
		}
	}
	s.emit(end)
	return nil
}
