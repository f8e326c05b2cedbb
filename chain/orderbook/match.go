package orderbook

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/perdure/perdure/chain"
)

// Rules are what the network's parameters say about matching.
type Rules struct {
	Visits        uint64       // orders of the other side that one order visits a block at most
	Hops          uint64       // times that it passes over a run of orders whose terms do not suit it
	Searches      uint64       // orders of each side that visit others in a block at most, the best first
	Trades        uint64       // trades of a block at most
	NoShowDeposit chain.Amount // attoPDR per GiB of piece
	NoShowFloor   chain.Amount // least deposit
}

// Deposit returns the no-show deposit of one side of a deal over size padded
// bytes: max(NoShowFloor, floor(NoShowDeposit * size / 2^30)) * (1 + noShows).
func (r *Rules) Deposit(size, noShows uint64) (chain.Amount, error) {
	d, err := r.NoShowDeposit.MulDiv(size, chain.GiB)
	if err != nil {
		return d, err
	}
	if d.Less(r.NoShowFloor) {
		d = r.NoShowFloor
	}
	return d.Mul(noShows + 1)
}

// Share returns what a bid locks for one copy: the price of the deal at the
// highest price it allows, and the no-show deposit.
func (r *Rules) Share(t *chain.BidTerms, noShows uint64) (price, deposit chain.Amount, err error) {
	if price, err = chain.DealPrice(t.MaxPrice, t.PaddedSize, t.Duration); err != nil {
		return price, deposit, err
	}
	deposit, err = r.Deposit(t.PaddedSize, noShows)
	return price, deposit, err
}

// floorDeals is how many of the smallest deals an ask's deposit covers at least,
// unless its capacity holds fewer: as many as a sector has pieces.
const floorDeals = 256

// AskDeposit returns the no-show deposit that an ask puts down for all its
// deals: that of its whole capacity, or that of each of the least pieces that fit
// into it, 256 at most, if that is more. An ask that sells more of the
// smallest pieces than its deposit covers is sold out before its capacity is.
func (r *Rules) AskDeposit(t *chain.AskTerms, noShows uint64) (chain.Amount, error) {
	whole, err := r.Deposit(t.Capacity, noShows)
	if err != nil {
		return whole, err
	}
	least, err := r.Deposit(t.MinPiece, noShows)
	if err != nil {
		return least, err
	}
	if least, err = least.Mul(min(t.Capacity/max(t.MinPiece, 1), floorDeals)); err != nil || whole.Less(least) {
		return least, err
	}
	return whole, nil
}

// Stake returns what a deal over size padded bytes takes from an ask's escrow:
// collateral, floor(rate * size / 2^30), and the no-show deposit.
func (r *Rules) Stake(t *chain.AskTerms, size, noShows uint64) (collateral, deposit chain.Amount, err error) {
	if collateral, err = t.Collateral.MulDiv(size, chain.GiB); err != nil {
		return collateral, deposit, err
	}
	deposit, err = r.Deposit(size, noShows)
	return collateral, deposit, err
}

// Trade is one copy of a bid's piece sold to it by an ask, at the ask's price.
// Both orders are as they were before the block's matching.
type Trade struct {
	Bid, Ask      *chain.Order
	Total         chain.Amount // price of the deal, from the bid's lock
	Refund        chain.Amount // what the bid had locked beyond it: repaid to the client at once
	Reserve       chain.Amount // of a bid of the chain's own, what it had locked beyond both: stays with the deal
	ClientDeposit chain.Amount // from the bid's lock; none of a bid for a repair
	Collateral    chain.Amount // from the ask's escrow
	MinerDeposit  chain.Amount // from the ask's escrow
}

// Outcome is what a block's matching did.
type Outcome struct {
	Trades  []Trade        // as they were made
	Updated []*chain.Order // orders that changed and stay, by ID
	Filled  []Filled       // orders that left the book, by ID
	Visits  uint64         // pairs looked at
	Hops    uint64         // runs of orders passed over
}

// Filled is an order that can trade no more.
type Filled struct {
	Order *chain.Order // as it was before the block's matching
	Left  chain.Amount // of what it had locked: to be repaid
}

// Match makes the trades of the block of height now and returns the book after
// it. An error means that an order holds money that does not add up.
func (b *Book) Match(now chain.Height, rules *Rules) (*Book, *Outcome, error) {
	if b.searching() == 0 {
		return b, &Outcome{}, nil
	}
	m := &matcher{book: b, now: now, rules: rules}
	m.turns = first(b.bids.seek, rules.Searches)
	m.live, m.changed = make(map[uint64]*working, len(m.turns)), make([]*working, 0, 2*len(m.turns))
	m.out.Trades = make([]Trade, 0, min(rules.Trades, uint64(b.searching())))
	m.sweep()
	if m.err != nil {
		return nil, nil, m.err
	}
	return m.finish()
}

// matcher is one block's matching over the book as it was before it.
type matcher struct {
	book    *Book
	now     chain.Height
	rules   *Rules
	turns   []*entry            // bids that search in this block, the best first
	live    map[uint64]*working // orders changed so far
	changed []*working
	bid     searcher // that looks at asks
	asks    merge    // its path
	out     Outcome
	err     error
}

// working is an order that the block changes.
type working struct {
	entry  *entry       // as it stands in the book
	order  *chain.Order // nil of one that was filled
	left   chain.Amount // of one that was filled
	filled bool
	past   *cursor // of one that was filled: in its tree, behind it and others that are gone; nil: nobody has passed it
}

// standing is an order as the block has found or made it.
type standing struct {
	entry *entry
	work  *working // nil: not changed so far
}

// of returns an order as it stands now.
func (m *matcher) of(e *entry) standing { return standing{e, m.live[e.rank.id]} }

// gone reports whether the order was filled in this block.
func (s *standing) gone() bool { return s.work != nil && s.work.filled }

func (s *standing) order() *chain.Order {
	if s.work != nil {
		return s.work.order
	}
	return s.entry.order
}

// gone reports whether an order was filled in this block.
func (m *matcher) gone(e *entry) bool {
	s := m.of(e)
	return s.gone()
}

// work returns what the block makes of an order.
func (m *matcher) work(s *standing) *working {
	if s.work == nil {
		s.work = &working{entry: s.entry}
		m.live[s.entry.rank.id] = s.work
		m.changed = append(m.changed, s.work)
	}
	return s.work
}

// edit returns an order to be changed.
func (m *matcher) edit(s *standing) *chain.Order {
	w := m.work(s)
	if w.order == nil {
		o := *w.entry.order
		w.order = &o
	}
	return w.order
}

// fill takes an order out that has so much left.
func (m *matcher) fill(s *standing, left chain.Amount) {
	w := m.work(s)
	w.order, w.left, w.filled = nil, left, true
}

// room reports whether the block may make another trade.
func (m *matcher) room() bool { return uint64(len(m.out.Trades)) < m.rules.Trades }

// sellsOut reports whether an ask can sell no more of the pieces that it takes:
// its capacity or its escrow is used up.
func (m *matcher) sellsOut(ask *chain.Order) bool {
	return ask.Free < ask.Ask.MinPiece || !m.covers(ask, ask.Ask.MinPiece)
}

// covers reports whether an ask's escrow is enough for a deal over size bytes.
func (m *matcher) covers(ask *chain.Order, size uint64) bool {
	collateral, deposit, err := m.rules.Stake(ask.Ask, size, ask.NoShows)
	if err != nil {
		return false
	}
	stake, err := collateral.Add(deposit)
	return err == nil && !ask.Locked.Less(stake)
}

// fits reports whether a bid and an ask whose terms suit each other may trade now.
func (m *matcher) fits(bid, ask *chain.Order) bool {
	b, a := bid.Bid, ask.Ask
	return ask.Free >= b.PaddedSize &&
		m.now <= b.Expiry && m.now <= a.Expiry &&
		!slices.Contains(bid.Miners, a.Miner) && !slices.Contains(bid.Owners, ask.Owner) &&
		m.covers(ask, b.PaddedSize)
}

// allows reports whether a bid's lists let a miner store for it.
func allows(b *chain.BidTerms, miner chain.MinerID) bool {
	if len(b.Allow) > 0 {
		if _, ok := slices.BinarySearch(b.Allow, miner); !ok {
			return false
		}
	}
	_, denied := slices.BinarySearch(b.Deny, miner)
	return !denied
}

// visit looks at a pair and trades one copy if it can.
func (m *matcher) visit(bid, ask *standing) {
	m.out.Visits++
	if !m.fits(bid.order(), ask.order()) {
		return
	}
	if err := m.trade(bid, ask); err != nil && m.err == nil {
		m.err = fmt.Errorf("match bid %d with ask %d: %w", bid.entry.order.ID, ask.entry.order.ID, err)
	}
}

func (m *matcher) trade(bid, ask *standing) error {
	t := Trade{Bid: bid.entry.order, Ask: ask.entry.order}
	terms := t.Bid.Bid
	total, err := chain.DealPrice(t.Ask.Ask.Price, terms.PaddedSize, terms.Duration)
	if err != nil {
		return err
	}
	t.Total = total
	if err := m.payFrom(t.Bid, &t); err != nil {
		return err
	}
	t.Collateral, t.MinerDeposit, err = m.rules.Stake(t.Ask.Ask, terms.PaddedSize, t.Ask.NoShows)
	if err != nil {
		return err
	}
	b, a := bid.order(), m.edit(ask)
	left, err := minus(b.Locked, t.Total, t.Refund, t.Reserve, t.ClientDeposit)
	if err != nil {
		return err
	}
	if a.Locked, err = minus(a.Locked, t.Collateral, t.MinerDeposit); err != nil {
		return err
	}
	if b.Copies == 1 {
		m.fill(bid, left)
	} else {
		b = m.edit(bid)
		b.Copies, b.Locked = b.Copies-1, left
		b.Miners, b.Owners = append(slices.Clip(b.Miners), a.Ask.Miner), append(slices.Clip(b.Owners), a.Owner)
	}
	if a.Free -= terms.PaddedSize; m.sellsOut(a) {
		m.fill(ask, a.Locked)
	}
	m.out.Trades = append(m.out.Trades, t)
	return nil
}

// payFrom says what of a bid's lock goes where, beside the price of the deal.
func (m *matcher) payFrom(bid *chain.Order, t *Trade) error {
	if next := bid.Succeeds; next != nil { // for one copy: all goes into the deal
		left, err := bid.Locked.Sub(t.Total)
		if err == nil && next.Renewal { // who wants no repair has ordered this
			t.ClientDeposit, err = m.rules.Deposit(bid.Bid.PaddedSize, bid.NoShows)
		}
		if err != nil {
			return err
		}
		t.Reserve, err = left.Sub(t.ClientDeposit)
		return err
	}
	price, deposit, err := m.rules.Share(bid.Bid, bid.NoShows)
	if err != nil {
		return err
	}
	t.ClientDeposit = deposit
	t.Refund, err = price.Sub(t.Total)
	return err
}

// minus is what is left of an amount without others.
func minus(of chain.Amount, without ...chain.Amount) (chain.Amount, error) {
	sum, err := chain.Sum(without...)
	if err != nil {
		return of, err
	}
	return of.Sub(sum)
}

// finish puts the changed orders into the book.
func (m *matcher) finish() (*Book, *Outcome, error) {
	slices.SortFunc(m.changed, func(a, b *working) int { return cmp.Compare(a.entry.rank.id, b.entry.rank.id) })
	d, filled := m.book.Draft(), 0
	for _, w := range m.changed {
		if w.filled {
			filled++
		}
	}
	m.out.Filled = make([]Filled, 0, filled)
	for _, w := range m.changed {
		d.change(w)
		if w.filled {
			m.out.Filled = append(m.out.Filled, Filled{w.entry.order, w.left})
		} else {
			m.out.Updated = append(m.out.Updated, w.order)
		}
	}
	return d.Book(), &m.out, nil
}
