package consensus

import (
	"fmt"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/porep"
)

// MaxChainID is the longest chain ID in bytes, as CometBFT bounds it.
const MaxChainID = 50

// bound is a range that a parameter must lie in.
type bound struct {
	name       string
	value      uint64
	least, top uint64
}

// maxSpan bounds every span of blocks, so that sums of heights and spans
// cannot overflow.
const maxSpan = 1 << 40

// maxIssuance keeps Issuance.Index, which grows by at most 2^32 for each
// attoPDR issued, below 2^128: 2^95 attoPDR, some 4 x 10^10 PDR.
var maxIssuance = chain.PDR(39_614_081_257)

// Validate refuses parameters that no chain can run with, and such as make a
// cheat pay (Margins).
func (p *Params) Validate() error {
	if err := p.checkBounds(); err != nil {
		return err
	}
	return p.checkMargins()
}

func (p *Params) checkBounds() error {
	if len(p.ChainID) == 0 || len(p.ChainID) > MaxChainID {
		return fmt.Errorf("chainId of %d bytes, want 1 to %d", len(p.ChainID), MaxChainID)
	}
	if p.Network != chain.Mainnet && p.Network != chain.Testnet {
		return fmt.Errorf("network %d is neither f nor t", p.Network)
	}
	if len(p.SealProofs) == 0 {
		return fmt.Errorf("sealProofs is empty")
	}
	for _, proof := range p.SealProofs {
		if _, err := porep.ParamsOf(proof); err != nil {
			return fmt.Errorf("sealProofs: %w", err)
		}
	}
	for _, b := range p.bounds() {
		if b.value < b.least || b.value > b.top {
			return fmt.Errorf("%s is %d, want %d to %d", b.name, b.value, b.least, b.top)
		}
	}
	if maxIssuance.Less(p.IssuanceTotal) {
		return fmt.Errorf("issuanceTotal is %s, want at most %s", p.IssuanceTotal, maxIssuance)
	}
	if p.BaseFeeFloor.IsZero() || p.BaseFeeStart.Less(p.BaseFeeFloor) {
		return fmt.Errorf("baseFeeFloor must be positive and at most baseFeeStart")
	}
	if p.ProofFee.IsZero() {
		return fmt.Errorf("proofFee must be positive")
	}
	return nil
}

func (p *Params) bounds() []bound {
	return []bound{
		{"blockMillis", p.BlockMillis, 1, 1 << 32},
		{"deadlines", p.Deadlines, 3, 96}, // as many as a Miner record counts; one is open, one may be past its cut-off
		{"window", p.Window, 1, 1 << 24},
		{"windowChallenges", p.WindowChallenges, 1, 128},
		{"challengeLookback", p.ChallengeLookback, 1, p.Period()},
		{"faultCutoff", p.FaultCutoff, p.ChallengeLookback + DrawGap, (p.Deadlines - 2) * p.Window}, // some deadline always takes sectors, before its challenges are known to anybody
		{"faultMaxAge", p.FaultMaxAge, 1, 1 << 16},
		{"porepChallenges", p.PoRepChallenges, 1, 63 * PartChallenges}, // Sector.Proven has a bit a part
		{"seedDelay", p.SeedDelay, DrawGap, p.ProveDue},
		{"proveDue", p.ProveDue, 1, maxSpan},
		{"ticketAge", p.TicketAge, 1, maxSpan},
		{"minSectorLife", p.MinSectorLife, 1, p.MaxSectorLife},
		{"maxSectorLife", p.MaxSectorLife, 1, maxSpan},
		{"fetchBy", p.FetchBy, 1, p.ActivateBy},
		{"activateBy", p.ActivateBy, 1, maxSpan},
		{"matchDelay", p.MatchDelay, DrawGap, maxSpan},
		{"matchVisits", p.MatchVisits, 1, 1 << 20},
		{"matchSearches", p.MatchSearches, 1, 1 << 20},
		{"matchesPerBlock", p.MatchesPerBlock, 1, 1 << 20},
		{"maxOrderLife", p.MaxOrderLife, 1, maxSpan},
		{"minDuration", p.MinDuration, 1, maxSpan},
		{"maxCopies", p.MaxCopies, 1, 64}, // as many as an Order record lists
		{"collateralSpan", p.CollateralSpan, 0, maxSpan},
		{"noShowForget", p.NoShowForget, 1, maxSpan},
		{"noShowMost", p.NoShowMost, 0, 1 << 16},
		{"voidBurn", p.VoidBurn, 0, 100},
		{"lossBurn", p.LossBurn, 0, 100},
		{"faultBudget", p.FaultBudget, 0, 50},
		{"budgetPeriods", p.BudgetPeriods, 1, 1_000},
		{"faultForgive", p.FaultForgive, 1, 1_000},
		{"terminationBurn", p.TerminationBurn, 0, 100},
		{"repairPrice", p.RepairPrice, 0, 1_000},
		{"repairBy", p.RepairBy, p.MatchDelay, maxSpan},
		{"maxMessageBytes", p.MaxMessageBytes, 1 << 10, chain.MaxEncodedMessage},
		{"maxBlockBytes", p.MaxBlockBytes, 2 * p.MaxMessageBytes, 1 << 26},
		{"maxBlockUnits", p.MaxBlockUnits, 8 * baseFeeSteps, 1 << 36},
		{"proofTries", p.ProofTries, 1, 1 << 10},
		{"queueItems", p.QueueItems, 1, 1 << 20},
		{"stateRetention", p.StateRetention, 3 * p.Period(), maxSpan},
		{"endedRetention", p.EndedRetention, p.leastEnded(), maxSpan},
		{"settleDelay", p.SettleDelay, 1, maxSpan},
		{"keyDelay", p.KeyDelay, 1, maxSpan},
		{"voteEpoch", p.VoteEpoch, 1, maxSpan},
		{"maxValidators", p.MaxValidators, 8, 256},
		{"voteUnit", p.VoteUnit, 2 << 10, 1 << 50},
		{"genesisShare", p.GenesisShare, 0, 50},
		{"genesisThreshold", p.GenesisThreshold, p.VoteUnit, 1 << 62},
		{"evidenceAge", p.EvidenceAge, 2 * p.VoteEpoch, maxSpan},
		{"trustPeriod", p.TrustPeriod, 1, p.EvidenceAge * 2 / 3}, // blocks may come half again as fast as blockMillis says
		{"unbonding", p.Unbonding, p.EvidenceAge, maxSpan},
		{"slashShare", p.SlashShare, 1, 100},
		{"issuanceHalfLife", p.IssuanceHalfLife, 1 << 10, 1<<32 - 1}, // shorter ones miss the half by more than a part in 4,096
		{"issuanceFullPower", p.IssuanceFullPower, 1, 1 << 63},
		{"proposerShare", p.ProposerShare, 0, 100},
		{"unitSignature", p.UnitSignature, 1, 1 << 24},
		{"unitHash", p.UnitHash, 1, 1 << 24},
		{"unitPoseidon", p.UnitPoseidon, 1, 1 << 24},
		{"unitWrite", p.UnitWrite, 1, 1 << 24},
	}
}
