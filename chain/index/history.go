package index

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// Subject is what messages and events of a block are about.
type Subject struct{ prefix []byte }

// OfAccount is an account, or the miner whose own address it is.
func OfAccount(a chain.Address) Subject { return ofAddress(a.Bytes()) }

func ofAddress(a []byte) Subject { return Subject{named('E', 'a', a)} }

// OfMiner is a miner with its sectors, deals and asks.
func OfMiner(id chain.MinerID) Subject { return ofAddress(minerBytes(id)) }

// OfSector is a sector; of its proofs Proofs tells.
func OfSector(m chain.MinerID, n uint64) Subject { return Subject{number(byNumber('E', 's', m), n)} }

// OfDeal is a deal; of its proofs Proofs tells.
func OfDeal(id uint64) Subject { return Subject{byNumber('E', 'd', id)} }

// OfOrder is an order.
func OfOrder(id uint64) Subject { return Subject{byNumber('E', 'o', id)} }

// OfChannel is a payment channel.
func OfChannel(id uint64) Subject { return Subject{byNumber('E', 'c', id)} }

// OfValidator is a consensus key, by its address.
func OfValidator(address []byte) Subject { return Subject{named('E', 'v', address)} }

// OfProposal is a proposal.
func OfProposal(id uint64) Subject { return Subject{byNumber('E', 'p', id)} }

// OfKind is a kind of events, of the chain or derived.
func OfKind(k consensus.EventKind) Subject { return Subject{byNumber('E', 'k', uint64(k))} }

// Events lists the events of a subject, the chain's and the derived ones.
func (s *Snapshot) Events(of Subject, p Page, each func(*Event) (bool, error)) (next []byte, err error) {
	events, err := s.chunks(eventTable)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, events.close()) }()
	return s.places(of, p, itsEvents, func(at Place) (bool, error) {
		e := &Event{Height: at.Height, Index: at.Index}
		if err := events.load(at, &e.Event); err != nil {
			return false, err
		}
		return each(e)
	})
}

// crowded are the kinds of events that stand in no list: there is one of each
// for every sector that a proof covers, and the proof's own row says as much.
func crowded(k consensus.EventKind) bool { return k == consensus.EventSectorProven }

// lists notes the block's events under all that they are about, and their kinds.
func (b *block) lists(*pebble.Batch) error {
	for i := range b.events {
		e := &b.events[i]
		if crowded(e.Kind) {
			continue
		}
		of, err := b.subjectsOf(e)
		if err != nil {
			return fmt.Errorf("subjects of event %d (%s): %w", i, KindName(e.Kind), err)
		}
		for _, s := range append(of, OfKind(e.Kind)) {
			m := b.mention(s)
			m.events = append(m.events, uint32(i))
		}
	}
	return nil
}

// subjectsOf are all that an event is about: what it names, and the parties of
// the deals, orders and channels that it names.
func (b *block) subjectsOf(e *consensus.Event) (of []Subject, err error) {
	of = make([]Subject, 0, 8)
	if e.Kind == consensus.EventEquivocation {
		of = append(of, OfValidator(e.From))
	} else {
		of = party(party(of, e.From), e.To)
	}
	if e.Miner != 0 {
		of = append(of, OfMiner(e.Miner))
		if aboutSector(e.Kind) {
			of = append(of, OfSector(e.Miner, e.Sector))
		}
	}
	if e.Deal != 0 {
		if of, err = b.dealParties(append(of, OfDeal(e.Deal)), e.Deal); err != nil {
			return nil, err
		}
	}
	if e.Order != 0 {
		if of, err = b.orderParties(append(of, OfOrder(e.Order)), e.Order); err != nil {
			return nil, err
		}
	}
	if e.Channel != 0 {
		of = append(of, OfChannel(e.Channel))
		c, err := find[chain.Channel](b, chain.ChannelKey(e.Channel))
		if err != nil {
			return nil, err
		}
		if c != nil {
			of = party(party(of, c.Payer.Bytes()), c.Payee.Bytes())
		}
	}
	return indexed(of, e), nil
}

// indexed adds what stands in an event's Index.
func indexed(of []Subject, e *consensus.Event) []Subject {
	switch e.Kind {
	case consensus.EventDealMatched, consensus.EventRepairOrdered, consensus.EventRenewalOrdered:
		of = append(of, OfOrder(e.Index)) // the ask; the client's own bid
	case consensus.EventRepairEnded, consensus.EventRenewalEnded:
		if e.Index != 0 {
			of = append(of, OfDeal(e.Index))
		}
	case consensus.EventProposed, consensus.EventApproved, consensus.EventAdopted, consensus.EventProposalEnded:
		of = append(of, OfProposal(e.Index))
	}
	return of
}

// aboutSector reports whether the events of a kind name one sector: number 0 is one.
func aboutSector(k consensus.EventKind) bool {
	switch k {
	case consensus.EventSectorCommitted, consensus.EventSectorPart, consensus.EventSectorActive, consensus.EventSectorFaulty,
		consensus.EventSectorRecovered, consensus.EventSectorEnded, consensus.EventSectorExtended, consensus.EventDealActive,
		DepositLocked, PledgeLocked, PledgeReturned, RecoveryDeclared:
		return true
	}
	return false
}

// party adds who has an address, if there is one.
func party(of []Subject, address []byte) []Subject {
	if len(address) == 0 {
		return of
	}
	return append(of, ofAddress(address))
}

func (b *block) dealParties(of []Subject, id uint64) ([]Subject, error) {
	d, err := find[chain.Deal](b, chain.DealKey(id))
	if d == nil {
		return of, err
	}
	return append(of, OfAccount(d.Client), OfMiner(d.Miner)), nil
}

func (b *block) orderParties(of []Subject, id uint64) ([]Subject, error) {
	o, err := find[chain.Order](b, chain.OrderKey(id))
	if o == nil {
		return of, err
	}
	of = append(of, OfAccount(o.Owner))
	if o.Ask != nil {
		of = append(of, OfMiner(o.Ask.Miner))
	}
	return of, nil
}
