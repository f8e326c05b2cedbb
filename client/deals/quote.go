package deals

import (
	"errors"
	"fmt"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/orderbook"
)

// Quote is what bids would cost if they met the present book, after what is ahead of
// them in it.
type Quote struct {
	Copies   []Copy       // that asks would take, in the order of matching
	Missing  uint64       // copies that no ask takes at the highest price
	Highest  chain.Amount // dearest price taken, attoPDR per GiB per block
	Price    chain.Amount // of those copies over the whole duration, attoPDR
	Deposits chain.Amount // of no-shows, repaid when the miners hold the data, and of the orders, repaid when they are filled
	Fees     chain.Amount // of the messages, burned
	Total    chain.Amount // Price + Deposits + Fees
	MaxPrice chain.Amount // the highest price that the bids would allow
	Locked   chain.Amount // what the bids lock until they match

	GiBMonth chain.Amount // Price for each GiB (padded, each copy counted) and 30 days, attoPDR
	Renewals chain.Amount // what all further terms of all copies cost at most, if the chain bids for them; not in Total
	// Earliest is how many blocks after its bid a copy can be proven, by the network's
	// delays alone; Expected after how many it is, by the median of so many recent Deals
	// (of none: Earliest); Latest by when it is, or is void and repaid.
	Earliest, Expected, Latest uint64
	Deals                      int

	Asks   int  // seen, the cheapest of those that may take the pieces
	More   bool // there are others, none cheaper
	Proven bool // the asks are proven; that there are none cheaper is what the node says
	Ahead  int  // bids that were let trade first
}

// Copy is one copy of one piece with the ask that would take it.
type Copy struct {
	Part  uint64
	Miner chain.MinerID
	Order uint64       // the ask
	Price chain.Amount // attoPDR per GiB per block
	Total chain.Amount // attoPDR
}

// Margin is by how many percent the default highest price exceeds the dearest
// ask that a quote took: room for asks that others take first.
const Margin = 25

// Price matches bids with these terms against the asks by the network's own
// rules, once the bids ahead have traded. A zero MaxPrice allows any price, and the quote then says which
// highest price to allow.
func (s *Situation) Price(terms []chain.BidTerms) (*Quote, error) {
	q := &Quote{}
	if len(terms) == 0 {
		return nil, errors.New("price: no pieces")
	}
	limit := terms[0].MaxPrice
	trades, err := s.match(terms, limit)
	if err != nil {
		return nil, fmt.Errorf("price: %w", err)
	}
	for i := range trades {
		if err := q.add(&trades[i]); err != nil {
			return nil, fmt.Errorf("price: %w", err)
		}
	}
	for i := range terms {
		q.Missing += terms[i].Copies
	}
	q.Missing -= uint64(len(q.Copies))
	if q.MaxPrice = limit; limit.IsZero() {
		if q.MaxPrice, err = q.Highest.MulDivCeil(100+Margin, 100); err != nil {
			return nil, fmt.Errorf("price: %w", err)
		}
	}
	if err := s.charge(q, terms); err != nil {
		return nil, fmt.Errorf("price: %w", err)
	}
	return q, nil
}

// add counts one trade in.
func (q *Quote) add(t *orderbook.Trade) (err error) {
	q.Copies = append(q.Copies, Copy{Part: t.Bid.Bid.Part, Miner: t.Ask.Ask.Miner, Order: t.Ask.ID, Price: t.Ask.Ask.Price, Total: t.Total})
	if q.Highest.Less(t.Ask.Ask.Price) {
		q.Highest = t.Ask.Ask.Price
	}
	q.Price, err = q.Price.Add(t.Total)
	return err
}

// charge fills in deposits, fees and sums.
func (s *Situation) charge(q *Quote, terms []chain.BidTerms) error {
	rules := s.Params.Matching()
	for i := range terms {
		t := terms[i]
		t.MaxPrice = q.MaxPrice
		price, deposit, err := rules.Share(&t, s.noShows())
		if err != nil {
			return err
		}
		share, err := price.Add(deposit)
		if err == nil {
			share, err = share.Mul(t.Copies)
		}
		if err == nil {
			q.Locked, err = q.Locked.Add(share)
		}
		if err == nil {
			deposit, err = deposit.Mul(t.Copies)
		}
		if err == nil {
			q.Deposits, err = chain.Sum(q.Deposits, deposit, s.Params.OrderDeposit)
		}
		if err == nil {
			q.Locked, err = q.Locked.Add(s.Params.OrderDeposit)
		}
		if err != nil {
			return err
		}
		fee, err := s.fee(&t)
		if err == nil {
			q.Fees, err = q.Fees.Add(fee)
		}
		if err != nil {
			return err
		}
	}
	var err error
	if q.Total, err = chain.Sum(q.Price, q.Deposits, q.Fees); err != nil {
		return err
	}
	return s.compare(q, terms)
}

// monthMillis is 30 days.
const monthMillis = 30 * 24 * 60 * 60 * 1000

// compare fills in what makes quotes comparable, and the times.
func (s *Situation) compare(q *Quote, terms []chain.BidTerms) (err error) {
	p := s.Params
	q.Earliest, q.Latest = p.MatchDelay+p.SeedDelay, p.MatchDelay+p.ActivateBy
	q.Expected, q.Deals = s.expected()
	q.Asks, q.More, q.Proven, q.Ahead = len(s.Asks), s.More, s.Proven, len(s.Ahead)
	sizes := map[uint64]uint64{} // by part
	for i := range terms {
		t := terms[i]
		sizes[t.Part] = t.PaddedSize
		if t.Renew == nil {
			continue
		}
		price := t.Renew.MaxPrice
		if price == chain.MaxAmount() { // not chosen: as the first term
			price = q.MaxPrice
		}
		next := chain.BidTerms{PaddedSize: t.PaddedSize, Duration: t.Renew.Duration, MaxPrice: price}
		term, _, err := p.Matching().Share(&next, 0)
		if err == nil {
			term, err = term.Mul(t.Copies * t.Renew.Count)
		}
		if err == nil {
			q.Renewals, err = q.Renewals.Add(term)
		}
		if err != nil {
			return err
		}
	}
	var held uint64 // padded bytes of the copies that asks take
	for i := range q.Copies {
		held += sizes[q.Copies[i].Part]
	}
	if held == 0 || terms[0].Duration == 0 || p.BlockMillis == 0 {
		return nil
	}
	if q.GiBMonth, err = q.Price.MulDivCeil(1<<30, held); err == nil {
		q.GiBMonth, err = q.GiBMonth.MulDivCeil(monthMillis/p.BlockMillis, terms[0].Duration)
	}
	return err
}

// fee is what the message with a bid costs at the present base fee.
func (s *Situation) fee(t *chain.BidTerms) (chain.Amount, error) {
	body, err := chain.Encode(&chain.PlaceBid{Terms: *t})
	if err != nil {
		return chain.Amount{}, err
	}
	m := &chain.SignedMessage{Message: chain.Message{Version: chain.MessageVersion, From: s.Owner, Nonce: s.Account.Nonce,
		MaxFee: chain.PDR(1), Kind: chain.KindPlaceBid, Body: body}}
	m.Signature.Type, m.Signature.Data = 1, make([]byte, 65)
	raw, err := chain.Encode(m)
	if err != nil {
		return chain.Amount{}, err
	}
	return s.Global.BaseFee.Mul(uint64(len(raw)) + s.Params.BidUnits(t.Copies))
}

// noShows is how many of the client's no-shows still count, as the rules count them.
func (s *Situation) noShows() uint64 {
	a := s.Account
	forgotten := uint64(s.Global.Height-min(s.Global.Height, a.NoShowAt)) / s.Params.NoShowForget
	return min(a.NoShows-min(a.NoShows, forgotten), s.Params.NoShowMost)
}
