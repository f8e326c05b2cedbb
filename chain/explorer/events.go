package explorer

import (
	"strconv"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/index"
)

// Event is something that happened in a block. What its kind does not speak
// of is absent.
type Event struct {
	Kind       string        `json:"kind"`
	Message    *uint64       `json:"message,omitempty"` // index of the message that caused it; absent: the block itself
	Miner      string        `json:"miner,omitempty"`
	Sector     *uint64       `json:"sector,omitempty"`
	Sectors    uint64        `json:"sectors,omitempty"` // so many were faulty all through a window
	Order      uint64        `json:"order,omitempty"`
	Ask        uint64        `json:"ask,omitempty"` // of a match; Order is the bid
	Deal       uint64        `json:"deal,omitempty"`
	Bid        uint64        `json:"bid,omitempty"`     // of a repair or renewal: the client's
	NewDeal    uint64        `json:"newDeal,omitempty"` // of a repair or renewal: the one that has the copy now; Deal is the one before
	Channel    uint64        `json:"channel,omitempty"`
	Lane       *uint64       `json:"lane,omitempty"`
	Part       *uint64       `json:"part,omitempty"` // of a sector's openings
	Line       *uint64       `json:"deadline,omitempty"`
	Partition  *uint64       `json:"partition,omitempty"`
	Period     *uint64       `json:"period,omitempty"`     // proving period of the miner
	Expiration chain.Height  `json:"expiration,omitempty"` // of an extended sector
	Proposal   uint64        `json:"proposal,omitempty"`
	Rules      uint64        `json:"ruleVersion,omitempty"` // from this height on
	Votes      chain.Height  `json:"votesFrom,omitempty"`   // first height of a new vote set
	Offence    chain.Height  `json:"offence,omitempty"`     // height of an equivocation
	Validator  string        `json:"validator,omitempty"`   // that equivocated: consensus address, hexadecimal
	Terms      *uint64       `json:"terms,omitempty"`       // further terms of a deal that renews itself
	Bytes      uint64        `json:"bytes,omitempty"`       // that a miner claims to have served
	From       string        `json:"from,omitempty"`
	To         string        `json:"to,omitempty"`
	Amount     *chain.Amount `json:"amount,omitempty"`
	Reason     string        `json:"reason,omitempty"`
}

// eventOf writes an event with the meaning that its kind gives the fields.
func (n names) eventOf(e *consensus.Event) *Event {
	out := &Event{Kind: index.KindName(e.Kind), Order: e.Order, Deal: e.Deal, Channel: e.Channel,
		From: n.addressBytes(e.From), To: n.addressBytes(e.To), Reason: e.Reason}
	if e.Message > 0 {
		i := e.Message - 1
		out.Message = &i
	}
	if e.Miner != 0 {
		out.Miner = n.minerText(e.Miner)
	}
	if !e.Amount.IsZero() {
		out.Amount = &e.Amount
	}
	sector := func() { out.Sector = &e.Sector }
	switch e.Kind {
	case consensus.EventSectorCommitted, consensus.EventSectorFaulty, consensus.EventSectorRecovered,
		consensus.EventSectorEnded, consensus.EventDealActive, index.DepositLocked, index.PledgeLocked, index.PledgeReturned,
		index.RecoveryDeclared:
		sector()
	case index.WindowMissed:
		line, part := e.Index>>32, e.Index&(1<<32-1)
		out.Line, out.Partition, out.Amount = &line, &part, nil
		out.Sectors, _ = strconv.ParseUint(e.Amount.String(), 10, 64) // a count, of at most 32
	case consensus.EventSectorExtended:
		sector()
		out.Expiration = chain.Height(e.Index)
	case consensus.EventSectorsFined:
		out.Sectors = e.Index
	case consensus.EventSectorPart:
		sector()
		out.Part = &e.Index
	case consensus.EventSectorActive:
		sector()
		out.Line = &e.Index
	case consensus.EventSectorProven:
		sector()
		out.Period = &e.Index
	case consensus.EventDealMatched:
		out.Ask = e.Index
	case consensus.EventRepairOrdered, consensus.EventRenewalOrdered:
		out.Bid = e.Index
	case consensus.EventRepairEnded, consensus.EventRenewalEnded:
		out.NewDeal = e.Index
	case consensus.EventPowerReward:
		out.Line = &e.Index
	case consensus.EventProposed, consensus.EventApproved, consensus.EventAdopted, consensus.EventProposalEnded:
		out.Proposal = e.Index
	case consensus.EventRulesChanged:
		out.Rules = e.Index
	case consensus.EventVotesChanged:
		out.Votes = chain.Height(e.Index)
	case consensus.EventEquivocation:
		out.Offence, out.Validator, out.From = chain.Height(e.Index), hexText(e.From), ""
	case consensus.EventRenewalSet:
		out.Terms = &e.Index
	case consensus.EventReceiptsPublished:
		out.Bytes = e.Index
	case consensus.EventVoucherRedeemed:
		out.Lane = &e.Index
	}
	return out
}
