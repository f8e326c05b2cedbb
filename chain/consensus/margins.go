package consensus

import (
	"fmt"
	"math/big"

	"github.com/perdure/perdure/chain"
)

// Margin is one inequality of docs/economics.md:
//
//	gain of a cheat < penalty x least probability that it strikes
//
// or, of an honest actor whom others or chance harm, loss < income. The amounts
// follow from Params alone, for the first block, when issuance pays the most.
type Margin struct {
	Name      string       `json:"name"`      // the deposit, fee or charge
	Unit      string       `json:"unit"`      // what the amounts are for
	Cheat     string       `json:"cheat"`     // what is done, or what befalls an honest actor
	Gain      chain.Amount `json:"gain"`      // by it at most, attoPDR; an honest actor's loss
	Penalty   chain.Amount `json:"penalty"`   // attoPDR; an honest actor's income
	Detection uint64       `json:"detection"` // percent of the times that the penalty strikes, at least
	Honest    bool         `json:"honest"`    // it compares an honest actor's loss and income
	Assumes   string       `json:"assumes"`   // what the numbers rest on
}

// Expected is the penalty weighted with its probability, rounded down.
func (m *Margin) Expected() *big.Int {
	e := m.Penalty.Big()
	e.Mul(e, new(big.Int).SetUint64(m.Detection))
	return e.Div(e, big.NewInt(100))
}

// Left is what a cheat loses on average beyond its gain; negative if it pays.
func (m *Margin) Left() *big.Int { return new(big.Int).Sub(m.Expected(), m.Gain.Big()) }

// Holds reports whether the inequality does.
func (m *Margin) Holds() bool { return m.Left().Sign() > 0 }

// honestVotes is the percent of votes that are honest at least, rounded down.
const honestVotes = 66

// missesIn is in how many periods an honest miner may miss one window without
// notice and still be paid for its work.
const missesIn = 20

// Margins computes the inequalities of parameters that lie in their bounds. An
// error is an amount beyond 128 bits.
func Margins(p *Params) ([]Margin, error) {
	y := &yields{p: p}
	out := append(y.sectors(), y.market()...)
	out = append(out, y.votes()...)
	if y.err != nil {
		return nil, fmt.Errorf("margins: %w", y.err)
	}
	return out, nil
}

// yields computes what the inequalities are made of and keeps the first error.
type yields struct {
	p   *Params
	err error
}

// of is a x n / d, rounded up.
func (y *yields) of(a chain.Amount, n, d uint64) chain.Amount {
	v, err := a.MulDivCeil(n, d)
	if err != nil && y.err == nil {
		y.err = err
	}
	return v
}

func (y *yields) sum(amounts ...chain.Amount) chain.Amount {
	v, err := chain.Sum(amounts...)
	if err != nil && y.err == nil {
		y.err = err
	}
	return v
}

// blocks is what issuance pays for a GiB of proven power in n blocks, at most.
func (y *yields) blocks(n uint64) chain.Amount {
	emission, err := y.p.Emission(y.p.IssuanceTotal)
	if err != nil && y.err == nil {
		y.err = err
	}
	share := y.of(emission, 100-y.p.ProposerShare, 100)
	return y.of(y.of(share, n, 1), chain.GiB, y.p.IssuanceFullPower)
}

// ever is what issuance will ever pay for a GiB, in the life of a sector.
func (y *yields) ever() chain.Amount {
	all := y.of(y.of(y.p.IssuanceTotal, 100-y.p.ProposerShare, 100), chain.GiB, y.p.IssuanceFullPower)
	return all.Min(y.blocks(y.p.MaxSectorLife))
}

const (
	perSector = "GiB of sector"
	perPiece  = "GiB of piece"
	perOrder  = "order"
	perPrice  = "1 PDR of price per block"
	perIncome = "1 PDR of income per period"
	perBlock  = "block"
)

// sectors are the inequalities of those who seal and prove.
func (y *yields) sectors() []Margin {
	p := y.p
	period := y.blocks(p.Period())
	covered := (p.FaultBudget + gradeSkipped.weight() - 1) / gradeSkipped.weight() // percent of the windows, at most
	return []Margin{
		{Name: "pre-commit deposit", Unit: perSector, Cheat: "seals all but a share of a sector and drops the pre-commit when its seed finds the gap",
			Gain: y.of(y.ever(), 1, p.PoRepChallenges), Penalty: p.PreCommitDeposit, Detection: honestVotes,
			Assumes: "what is not stored saves no more than issuance pays for it; a third of the votes may redraw a seed by a skip"},
		{Name: "skip fee", Unit: perSector, Cheat: "stores a part and skips, or has the challenge redrawn, when the rest is challenged",
			Gain: period, Penalty: y.sum(y.of(p.SkipFee, 200-3*covered, 200), y.of(period, 4, 3)), Detection: honestVotes,
			Assumes: "two thirds of the windows are skipped, the worst that the fault budget does not cover; sealing again takes longer than a window (32 GiB and up); a third of the votes may redraw a challenge by a skip"},
		{Name: "fault budget", Unit: perIncome, Cheat: "stores a part and skips no more often than the fault budget covers",
			Gain: chain.PDR(1), Penalty: y.of(chain.PDR(1), 200-covered, 100), Detection: honestVotes,
			Assumes: "a skip costs no fee, but the income of two periods, before it and until it is made up for; both may fall to one skip"},
		{Name: "fault fee", Unit: perSector, Cheat: "sends no proof instead of one that skips", Gain: p.SkipFee, Penalty: p.FaultFee, Detection: 100,
			Assumes: "a missing proof is always seen"},
		{Name: "standing fee", Unit: perSector, Cheat: "has a sector skipped instead of declaring its fault in time", Gain: p.StandingFee, Penalty: p.SkipFee,
			Detection: 100, Assumes: "both are as many times more where the fault budget covers them"},
		{Name: "sector pledge", Unit: perSector, Cheat: "gives a sector up instead of paying for its fault", Gain: p.FaultFee,
			Penalty: y.of(p.SectorPledge, p.TerminationBurn, 100), Detection: 100,
			Assumes: "it is terminated, for TerminationBurn % of the pledge; one that is lost takes all of it; what the balance does not cover is owed"},
		{Name: "fault fee of an honest miner", Unit: perSector, Cheat: fmt.Sprintf("misses one window in %d without notice", missesIn), Honest: true,
			Gain: y.sum(p.FaultFee, period), Penalty: y.blocks(p.Period() * (missesIn - 1)), Detection: 100,
			Assumes: "issuance alone, no deals; as power grows beyond IssuanceFullPower the fee must fall with it"},
	}
}

// market are the inequalities of orders and deals.
func (y *yields) market() []Margin {
	p := y.p
	return []Margin{
		{Name: "order deposit", Unit: perOrder, Cheat: "places orders to withdraw them before anybody can meet them",
			Gain: y.of(p.BaseFeeStart, (1+hopsPerVisit)*p.MatchVisits*p.MatchSearches*p.UnitHash, 1), Penalty: p.OrderDeposit, Detection: 100,
			Assumes: "it takes every search of one block, at the base fee of genesis; an order that rests binds its owner"},
		{Name: "no-show deposit", Unit: perPiece, Cheat: "matches and never sends or seals, to hold the other side's space or money",
			Gain: y.blocks(p.ActivateBy), Penalty: p.NoShowDeposit, Detection: 100,
			Assumes: "space is worth no more than issuance pays for it; the deposit grows with recent no-shows"},
		{Name: "renewal deposit", Unit: perPiece, Cheat: "has a copy renewed and, holding it, sells no data to the miner that takes it, to hold that one's space",
			Gain: y.blocks(p.FetchBy), Penalty: p.NoShowDeposit, Detection: 100,
			Assumes: "client and holder are one; each further try costs another deposit"},
		{Name: "refused repair", Unit: perPiece, Cheat: "gives up a copy and, holding another, sells no data to the miners that take the repair, to hold their space",
			Gain: y.blocks(p.RepairBy), Penalty: y.of(p.SectorPledge, p.TerminationBurn, 100), Detection: 100,
			Assumes: "client and holders are one; a piece lies in as much sector; LossBurn % of the collateral come on top"},
		{Name: "deal collateral", Unit: perPrice, Cheat: "drops a deal's data and is paid until a challenge finds it missing",
			Gain: y.of(chain.PDR(1), p.Period(), 1), Penalty: y.of(chain.PDR(1), p.CollateralSpan, 1), Detection: 100,
			Assumes: "of a share missing, the expected pay before a window finds it is at most one period's; it cannot be proven again, so the sector is lost"},
	}
}

// votes are the inequalities of those who vote, propose and contribute.
func (y *yields) votes() []Margin {
	p := y.p
	emission, err := p.Emission(p.IssuanceTotal)
	if err != nil && y.err == nil {
		y.err = err
	}
	return []Margin{
		{Name: "slash", Unit: perSector, Cheat: "signs two blocks of a height", Gain: y.blocks(p.EvidenceAge), Penalty: y.of(p.SectorPledge, p.SlashShare, 100), Detection: 100,
			Assumes: "evidence is shown before it is too old; the gain is all that the power earns until then"},
		{Name: "beacon charge of an honest contributor", Unit: perBlock, Cheat: "a third of the proposers leave its contributions out, and a third of the contributors send none when it proposes", Honest: true,
			Gain: y.of(p.BeaconCharge, 2*(100-honestVotes), 100), Penalty: y.of(emission, p.ProposerShare, 100), Detection: 100,
			Assumes: "it is drawn as often as it proposes, since both follow the votes"},
	}
}

// checkMargins refuses parameters under which a cheat pays. What an honest actor
// can bear, and what orders stake, a network may decide otherwise.
func (p *Params) checkMargins() error {
	margins, err := Margins(p)
	if err != nil {
		return err
	}
	for i := range margins {
		if m := &margins[i]; !m.Honest && m.Unit != perPrice && !m.Holds() {
			return fmt.Errorf("%s: %s gains %s attoPDR per %s and loses %s with %d %% certainty: it must lose more",
				m.Name, m.Cheat, m.Gain, m.Unit, m.Penalty, m.Detection)
		}
	}
	return nil
}
