package consensus

import (
	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/post"
)

// Params are the network's parameters: data, never code. They are part of
// genesis; all heights and spans are in blocks, all amounts in attoPDR.
type Params struct {
	Name    string        `json:"name"`    // devnet, testnet, mainnet
	ChainID string        `json:"chainId"` // in every sign-bytes, so that nothing replays elsewhere
	Network chain.Network `json:"network"` // how addresses are written

	BlockMillis uint64                    `json:"blockMillis"` // target time between blocks, milliseconds
	SealProofs  []abi.RegisteredSealProof `json:"sealProofs"`  // sector sizes that miners may register

	Deadlines         uint64 `json:"deadlines"`         // windows of a proving period
	Window            uint64 `json:"window"`            // blocks that a deadline is open for
	WindowChallenges  uint64 `json:"windowChallenges"`  // leaves opened per sector and window
	ChallengeLookback uint64 `json:"challengeLookback"` // blocks before a window opens whose beacon challenges it
	FaultCutoff       uint64 `json:"faultCutoff"`       // blocks before a window opens until which a fault counts as declared in time
	FaultMaxAge       uint64 `json:"faultMaxAge"`       // proving periods after which a faulty sector is lost

	PoRepChallenges uint64 `json:"porepChallenges"` // openings of a sector before it counts
	SeedDelay       uint64 `json:"seedDelay"`       // from pre-commit to the beacon that seeds them
	ProveDue        uint64 `json:"proveDue"`        // from the seed to the last height that proves it
	TicketAge       uint64 `json:"ticketAge"`       // oldest ticket a pre-commit may use
	MinSectorLife   uint64 `json:"minSectorLife"`   // from activation
	MaxSectorLife   uint64 `json:"maxSectorLife"`

	FetchBy         uint64 `json:"fetchBy"`         // from match to AcceptData
	ActivateBy      uint64 `json:"activateBy"`      // from match to activation
	MatchDelay      uint64 `json:"matchDelay"`      // from placing an order to its first match
	MatchVisits     uint64 `json:"matchVisits"`     // orders of the other side that one order visits a block at most
	MatchSearches   uint64 `json:"matchSearches"`   // orders of each side that visit others in a block at most
	MatchesPerBlock uint64 `json:"matchesPerBlock"` // deals made a block at most
	MaxOrderLife    uint64 `json:"maxOrderLife"`    // from placing an order to its expiry
	MinDuration     uint64 `json:"minDuration"`     // of a deal
	MaxCopies       uint64 `json:"maxCopies"`       // of a bid

	MaxMessageBytes uint64 `json:"maxMessageBytes"`
	MaxBlockBytes   uint64 `json:"maxBlockBytes"`
	MaxBlockUnits   uint64 `json:"maxBlockUnits"`  // verification and state work of a block
	QueueItems      uint64 `json:"queueItems"`     // due items of each queue worked off a block; the rest carries over. A partition missed is one, which is 32 sectors
	StateRetention  uint64 `json:"stateRetention"` // heights whose state and Updates are kept
	EndedRetention  uint64 `json:"endedRetention"` // blocks for which the records of sectors and deals stay in the state after their end, and a settled channel waits to be collected

	SettleDelay   uint64 `json:"settleDelay"` // from SettleChannel to CollectChannel
	KeyDelay      uint64 `json:"keyDelay"`    // from UpdateMiner to new keys
	VoteEpoch     uint64 `json:"voteEpoch"`   // blocks between changes of the vote set
	MaxValidators uint64 `json:"maxValidators"`

	VoteUnit         uint64 `json:"voteUnit"`         // proven bytes that make one vote
	GenesisShare     uint64 `json:"genesisShare"`     // least percent of the votes that the genesis validators hold below GenesisThreshold
	GenesisThreshold uint64 `json:"genesisThreshold"` // proven bytes, counted as votes are, from which storage validators vote alone
	EvidenceAge      uint64 `json:"evidenceAge"`      // heights after which equivocation is not punished any more
	TrustPeriod      uint64 `json:"trustPeriod"`      // heights for which a light client may trust a header that it verified
	Unbonding        uint64 `json:"unbonding"`        // heights for which pledge of a miner that voted stays bound
	SlashShare       uint64 `json:"slashShare"`       // percent of a miner's pledge that equivocation costs, rounded up

	BaseFeeStart chain.Amount `json:"baseFeeStart"` // attoPDR per byte and per unit
	BaseFeeFloor chain.Amount `json:"baseFeeFloor"`
	ProofFee     chain.Amount `json:"proofFee"`     // of window proofs, in place of the base fee
	ProofTries   uint64       `json:"proofTries"`   // window proofs of one partition and window that may fail; further ones have no effect
	BeaconCharge chain.Amount `json:"beaconCharge"` // taken from contributor and proposer of a height without contribution, each, and burned

	PreCommitDeposit chain.Amount `json:"preCommitDeposit"` // per GiB of sector
	SectorPledge     chain.Amount `json:"sectorPledge"`     // per GiB of sector
	NoShowDeposit    chain.Amount `json:"noShowDeposit"`    // of each side, per GiB of piece; at least NoShowFloor
	NoShowFloor      chain.Amount `json:"noShowFloor"`
	NoShowForget     uint64       `json:"noShowForget"`    // blocks after which one no-show is forgotten
	NoShowMost       uint64       `json:"noShowMost"`      // recent no-shows that count at most: deposits grow to 1 + NoShowMost times the rate
	OrderDeposit     chain.Amount `json:"orderDeposit"`    // of each order; burned if it is cancelled before it rests in the book
	CollateralSpan   uint64       `json:"collateralSpan"`  // blocks of its price that an ask stakes at least; 0: left to the parties
	VoidBurn         uint64       `json:"voidBurn"`        // percent of a deal's collateral burned when it is accepted but not active in time
	LossBurn         uint64       `json:"lossBurn"`        // percent of it burned when the deal's sector is lost
	RepairPrice      uint64       `json:"repairPrice"`     // percent of a lost deal's price that the bid for its repair offers at most
	RepairBy         uint64       `json:"repairBy"`        // blocks from the loss of a copy in which bids for its repair may match
	RepairFetch      chain.Amount `json:"repairFetch"`     // allowance for buying the data of a repair, per GiB of piece
	FaultFee         chain.Amount `json:"faultFee"`        // per GiB of sector that missed its window undeclared
	SkipFee          chain.Amount `json:"skipFee"`         // per GiB of sector skipped in a proof or declared too late
	StandingFee      chain.Amount `json:"standingFee"`     // per GiB of sector and window that it was declared, or stayed, faulty for
	FaultBudget      uint64       `json:"faultBudget"`     // percent of the sector-windows proven of late that may fail without a fine
	BudgetPeriods    uint64       `json:"budgetPeriods"`   // proving periods that "of late" means; younger miners have no budget
	FaultForgive     uint64       `json:"faultForgive"`    // proven blocks that make one block of an earlier fault forgotten
	TerminationBurn  uint64       `json:"terminationBurn"` // percent of a sector's pledge burned when its miner ends it early

	IssuanceTotal     chain.Amount `json:"issuanceTotal"`     // issued in all, beyond the money of genesis
	IssuanceHalfLife  uint64       `json:"issuanceHalfLife"`  // blocks in which half of what is left is issued
	IssuanceFullPower uint64       `json:"issuanceFullPower"` // proven bytes from which on power's whole share is issued
	ProposerShare     uint64       `json:"proposerShare"`     // percent of a block's issuance for its proposer; proven power has the rest

	UnitSignature uint64 `json:"unitSignature"` // units of checking one signature; a unit is about an eighth of a microsecond of one core
	UnitHash      uint64 `json:"unitHash"`      // of one SHA-256
	UnitPoseidon  uint64 `json:"unitPoseidon"`  // of one Poseidon hash
	UnitWrite     uint64 `json:"unitWrite"`     // of one record written
}

// Period is the blocks of a proving period.
func (p *Params) Period() uint64 { return p.Deadlines * p.Window }

// Schedule is the arithmetic of deadlines and windows under these parameters.
func (p *Params) Schedule() post.Schedule {
	return post.Schedule{Deadlines: p.Deadlines, Window: p.Window, Lookback: p.ChallengeLookback, Cutoff: p.FaultCutoff}
}

// PartChallenges is the most PoRep challenges that one ProveCommit part covers.
const PartChallenges = 18

// SealParts is how many ProveCommit parts a sector takes.
func (p *Params) SealParts() uint64 {
	return (p.PoRepChallenges + PartChallenges - 1) / PartChallenges
}

// ProofLaneBytes is the part of a block reserved for window proofs.
func (p *Params) ProofLaneBytes() uint64 { return p.MaxBlockBytes / 2 }

// ProofLaneUnits is the part of a block's units reserved for window proofs.
func (p *Params) ProofLaneUnits() uint64 { return p.MaxBlockUnits / 2 }

// Devnet returns the parameters of a network on one machine: half-second
// blocks, one-minute half-periods, sectors that seal in seconds.
func Devnet() *Params {
	p := common()
	p.Name = "devnet"
	p.BlockMillis = 500
	p.SealProofs = []abi.RegisteredSealProof{
		abi.RegisteredSealProof_StackedDrg2KiBV1_1, abi.RegisteredSealProof_StackedDrg8MiBV1_1}
	p.Deadlines, p.Window, p.ChallengeLookback = 3, 20, 3
	p.FaultCutoff, p.FaultMaxAge = 6, 10
	p.PoRepChallenges, p.SeedDelay, p.ProveDue, p.TicketAge = 2, 5, 200, 600
	p.FetchBy, p.ActivateBy = 200, 600
	p.MaxMessageBytes, p.MaxBlockBytes, p.MaxBlockUnits = 1<<20, 4<<20, 2_000_000
	p.SettleDelay, p.KeyDelay = 40, 20
	p.VoteEpoch, p.MaxValidators = 20, 16
	p.VoteUnit, p.GenesisThreshold = 2<<10, 64<<20
	p.EvidenceAge, p.TrustPeriod, p.Unbonding = 1000, 600, 1000
	p.StateRetention = 1000
	p.MinSectorLife, p.MaxSectorLife = 60, 2_000_000
	p.MinDuration, p.MaxOrderLife, p.NoShowForget = 60, 20_000, 1_000
	p.IssuanceTotal, p.IssuanceHalfLife, p.IssuanceFullPower = chain.PDR(1_000_000), 172_800, 1<<50 // a day
	p.CollateralSpan = 90
	p.FaultFee, p.SkipFee, p.StandingFee = chain.Atto(chain.AttoPerPDR/500), chain.Atto(chain.AttoPerPDR/1000), chain.Atto(chain.AttoPerPDR/2000)
	p.RepairBy, p.QueueItems = 1_200, 50
	p.EndedRetention = 2_000
	return p
}

// Testnet returns the parameters of a public test network.
func Testnet() *Params {
	p := common()
	p.Name = "testnet"
	p.BlockMillis = 2000
	p.SealProofs = []abi.RegisteredSealProof{abi.RegisteredSealProof_StackedDrg8MiBV1_1,
		abi.RegisteredSealProof_StackedDrg512MiBV1_1, abi.RegisteredSealProof_StackedDrg32GiBV1_1}
	p.Deadlines, p.Window, p.ChallengeLookback = 24, 150, 5
	p.FaultCutoff, p.FaultMaxAge = 20, 14
	p.SeedDelay, p.ProveDue, p.TicketAge = 30, 3_600, 43_200
	p.FetchBy, p.ActivateBy = 3_600, 43_200
	p.MaxMessageBytes, p.MaxBlockBytes, p.MaxBlockUnits = 1<<20, 8<<20, 8_000_000
	p.SettleDelay, p.KeyDelay = 1_800, 3_600
	p.VoteEpoch, p.MaxValidators = 300, 100
	p.VoteUnit, p.GenesisThreshold = 8<<20, 64<<40
	p.EvidenceAge, p.TrustPeriod, p.Unbonding = 50_000, 33_000, 50_000
	p.StateRetention = 50_000
	p.MinSectorLife, p.MaxSectorLife = 3_600, 23_652_000
	p.MinDuration, p.MaxOrderLife, p.NoShowForget = 3_600, 604_800, 43_200
	p.IssuanceTotal, p.IssuanceHalfLife, p.IssuanceFullPower = chain.PDR(1_000_000_000), 7_884_000, 1<<54 // half a year
	p.CollateralSpan = 302_400                                                                            // a week
	p.RepairBy, p.QueueItems = 129_600, 250
	p.EndedRetention = 200_000
	return p
}

// Mainnet returns the parameters of the main network. Only sectors of 32 and
// 64 GiB: smaller ones reseal faster than a window and so secure nothing.
func Mainnet() *Params {
	p := common()
	p.Name, p.Network = "mainnet", chain.Mainnet
	p.BlockMillis = 6000
	p.SealProofs = []abi.RegisteredSealProof{
		abi.RegisteredSealProof_StackedDrg32GiBV1_1, abi.RegisteredSealProof_StackedDrg64GiBV1_1}
	p.Deadlines, p.Window, p.ChallengeLookback = 48, 300, 20
	p.FaultCutoff, p.FaultMaxAge = 70, 42
	p.SeedDelay, p.ProveDue, p.TicketAge = 150, 86_400, 432_000
	p.FetchBy, p.ActivateBy = 14_400, 43_200
	p.MaxMessageBytes, p.MaxBlockBytes, p.MaxBlockUnits = 1<<20, 16<<20, 24_000_000
	p.SettleDelay, p.KeyDelay = 7_200, 14_400
	p.VoteEpoch, p.MaxValidators = 1_200, 150
	p.VoteUnit, p.GenesisThreshold = 32<<30, 8<<50
	p.EvidenceAge, p.TrustPeriod, p.Unbonding = 100_000, 66_000, 100_000
	p.StateRetention = 100_000
	p.MinSectorLife, p.MaxSectorLife = 14_400, 26_280_000
	p.MinDuration, p.MaxOrderLife, p.NoShowForget = 14_400, 432_000, 14_400
	p.IssuanceTotal, p.IssuanceHalfLife, p.IssuanceFullPower = chain.PDR(1_000_000_000), 21_024_000, 1<<54 // four years
	p.CollateralSpan = 432_000                                                                             // thirty days
	p.RepairBy, p.QueueItems = 201_600, 700
	p.EndedRetention = 600_000
	return p
}

// common holds what the three networks share.
func common() *Params {
	return &Params{
		Network:          chain.Testnet,
		WindowChallenges: 10, PoRepChallenges: 180,
		MatchDelay: 3, MatchVisits: 64, MatchSearches: 1_024, MatchesPerBlock: 256, MaxCopies: 16,
		BaseFeeStart: chain.Atto(1_000_000), BaseFeeFloor: chain.Atto(100_000),
		ProofFee: chain.Atto(100_000), ProofTries: 3,
		BeaconCharge:     chain.Atto(chain.AttoPerPDR / 100),
		PreCommitDeposit: chain.PDR(1), SectorPledge: chain.PDR(10),
		NoShowDeposit: chain.PDR(1), NoShowFloor: chain.Atto(chain.AttoPerPDR / 1000),
		OrderDeposit: chain.Atto(chain.AttoPerPDR / 1000), ProposerShare: 25,
		NoShowMost: 9, VoidBurn: 10, LossBurn: 20, RepairPrice: 125, RepairFetch: chain.PDR(1),
		GenesisShare: 40, SlashShare: 20,
		FaultFee:    chain.Atto(chain.AttoPerPDR / 10),
		SkipFee:     chain.Atto(chain.AttoPerPDR / 20),
		StandingFee: chain.Atto(chain.AttoPerPDR / 40),
		FaultBudget: 4, BudgetPeriods: 30, FaultForgive: 9, TerminationBurn: 50,
		UnitSignature: 1_700, UnitHash: 1, UnitPoseidon: 100, UnitWrite: 50,
	}
}
