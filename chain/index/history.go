package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	goaddress "github.com/filecoin-project/go-address"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// Subject is what events are about.
type Subject struct{ prefix []byte }

// OfAccount is an account; that of a miner's own address is OfMiner.
func OfAccount(a chain.Address) Subject { return Subject{named('E', 'a', a.Bytes())} }

// OfMiner is a miner with its sectors, deals and asks.
func OfMiner(id chain.MinerID) Subject { return Subject{byNumber('E', 'm', id)} }

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
func OfKind(k consensus.EventKind) Subject { return Subject{byNumber('E', kindSubject, uint64(k))} }

const kindSubject = 'k'

// Events lists the events of a subject, the chain's and the derived ones.
func (s *Snapshot) Events(of Subject, p Page, each func(*Event) (bool, error)) (next []byte, err error) {
	events, err := s.events()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, events.close()) }()
	if of.prefix[1] == kindSubject {
		return s.kindEvents(of, p, events, each)
	}
	return s.list(of.prefix, 12, p, func(row, _ []byte) (bool, error) { return events.each(height(row), be32(row[8:]), each) })
}

// kindEvents is Events of a kind, of which a block has one row, with the places
// of all of its events.
func (s *Snapshot) kindEvents(of Subject, p Page, events *events, each func(*Event) (bool, error)) (next []byte, err error) {
	if err := p.check(12); err != nil {
		return nil, err
	}
	from := Page{Upward: p.Upward, Limit: maxVisits}
	if p.After != nil { // the block that holds the place, too
		switch h := height(p.After); {
		case !p.Upward:
			from.After = number(nil, uint64(h)+1)
		case h > 0:
			from.After = number(nil, uint64(h)-1)
		}
	}
	taken := 0
	more, err := s.list(of.prefix, 8, from, func(row, value []byte) (bool, error) {
		places, err := placesIn(value)
		if err != nil {
			return false, err
		}
		if !p.Upward {
			slices.Reverse(places)
		}
		for _, n := range places {
			at := in(nil, height(row), n)
			if c := bytes.Compare(at, p.After); p.After != nil && (c == 0 || (c < 0) == p.Upward) {
				continue
			}
			if taken == max(p.Limit, 1) {
				return false, errEnough
			}
			take, err := events.each(height(row), n, each)
			if err != nil {
				return false, err
			}
			if next = at; take {
				taken++
			}
		}
		return true, nil
	})
	switch {
	case errors.Is(err, errEnough):
		return next, nil
	case err != nil || more == nil:
		return nil, err
	}
	return next, nil
}

// placesIn reads the places of a block's events of a kind: each is the distance
// from the one before.
func placesIn(row []byte) (places []uint32, err error) {
	at := uint64(0)
	for len(row) > 0 {
		n, head := binary.Uvarint(row)
		if head <= 0 || at+n > math.MaxUint32 {
			return nil, errEvents
		}
		at += n
		places, row = append(places, uint32(at)), row[head:]
	}
	return places, nil
}

// crowded are the kinds of events that stand in no list: there is one of each
// for every sector that a proof covers, and the proof's own row says as much.
func crowded(k consensus.EventKind) bool { return k == consensus.EventSectorProven }

// lists writes the lists of the block's events.
func (b *block) lists(batch *pebble.Batch) error {
	type kind struct {
		row  []byte
		last int
	}
	kinds := map[consensus.EventKind]kind{}
	for i := range b.events {
		e := &b.events[i]
		if crowded(e.Kind) {
			continue
		}
		k := kinds[e.Kind]
		kinds[e.Kind] = kind{binary.AppendUvarint(k.row, uint64(i-k.last)), i}
		of, err := b.subjectsOf(e)
		if err != nil {
			return fmt.Errorf("subjects of event %d (%s): %w", i, KindName(e.Kind), err)
		}
		for j, s := range of {
			if !namedBefore(of[:j], s) {
				b.under(batch, s.prefix, index32(uint64(i)), nil)
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		b.under(batch, OfKind(k).prefix, nil, kinds[k].row)
	}
	return nil
}

func namedBefore(of []Subject, s Subject) bool {
	for i := range of {
		if bytes.Equal(of[i].prefix, s.prefix) {
			return true
		}
	}
	return false
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
	if address[0] == byte(goaddress.ID) {
		a, err := goaddress.NewFromBytes(address)
		if err != nil {
			return of
		}
		if id, err := chain.MinerIDOf(a); err == nil {
			return append(of, OfMiner(id))
		}
	}
	return append(of, Subject{named('E', 'a', address)})
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
