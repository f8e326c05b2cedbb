package orderbook

import (
	"encoding/binary"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/perdure/perdure/chain"
)

// source gives the numbers that a random market is made of.
type source interface{ below(n uint64) uint64 }

type randSource struct{ *rand.Rand }

func (r randSource) below(n uint64) uint64 { return r.Uint64N(n) }

// byteSource reads a fuzzer's bytes; behind their end come zeros.
type byteSource struct{ data []byte }

func (s *byteSource) below(n uint64) uint64 {
	if len(s.data) == 0 {
		return 0
	}
	v := uint64(s.data[0])
	s.data = s.data[1:]
	return v % n
}

type rapidSource struct{ t *rapid.T }

func (s rapidSource) below(n uint64) uint64 { return rapid.Uint64Max(n-1).Draw(s.t, "below") }

func owner(i uint64) chain.Address {
	a, err := address.NewIDAddress(i)
	if err != nil {
		panic(err)
	}
	return a
}

var (
	somePiece, _ = cid.Decode("baga6ea4seaqao7s73y24kcutaosvacpdjgfe5pw76ooefnyqw4ynr3d2y6x2mpq")
	someRoot, _  = cid.Decode("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")
)

// market is a book, its naive twin, and what both have seen.
type market struct {
	t      testing.TB
	src    source
	rules  Rules
	now    chain.Height
	nextID uint64
	book   *Book
	naive  naive
	placed map[uint64]*chain.Order // every order as it was placed
	sold   map[uint64]uint64       // bytes by ask
	copies map[uint64][]pair       // trades by bid
	trades int
}

// tinyRules are tight, so that every limit is met all the time.
func tinyRules(s source) Rules {
	return Rules{Visits: 1 + s.below(5), Hops: s.below(4), Searches: 1 + s.below(6), Trades: 1 + s.below(6),
		NoShowDeposit: chain.Atto(1 << 21), NoShowFloor: chain.Atto(3)}
}

func newMarket(t testing.TB, s source, rules Rules) *market {
	return &market{t: t, src: s, rules: rules, now: 1, nextID: 1, book: new(Book), naive: naive{map[uint64]*chain.Order{}},
		placed: map[uint64]*chain.Order{}, sold: map[uint64]uint64{}, copies: map[uint64][]pair{}}
}

// subset is a sorted list of some of the first few miners.
func (m *market) subset() []chain.MinerID {
	var out []chain.MinerID
	if m.src.below(4) != 0 {
		return nil
	}
	for id := range uint64(8) {
		if m.src.below(2) == 0 {
			out = append(out, id)
		}
	}
	return out
}

// claims are the regions of asks, wants those that bids may name.
var (
	claims = [4]string{"", "eu", "eu-de", "us"}
	wants  = [4]string{"eu", "eu-de", "eu-fr", "us"}
)

// regions is what a bid wants, most often nothing.
func (m *market) regions() []string {
	if m.src.below(4) != 0 {
		return nil
	}
	return wants[m.src.below(4):]
}

// order makes a random order that enters the book now.
func (m *market) order() *chain.Order {
	o := &chain.Order{ID: m.nextID, Placed: m.now - chain.Height(m.src.below(2)), State: chain.OrderSearching, NoShows: m.src.below(3) / 2}
	m.nextID++
	binary.BigEndian.PutUint64(o.Tie[:], m.src.below(4))
	if m.src.below(2) == 0 {
		m.bid(o)
	} else {
		m.ask(o)
	}
	return o
}

func (m *market) bid(o *chain.Order) {
	t := &chain.BidTerms{PieceCID: somePiece, PayloadRoot: someRoot, PaddedSize: 128 << m.src.below(4), Parts: 1,
		Duration: 10 * (1 + m.src.below(4)), MaxPrice: chain.Atto((1 + m.src.below(6)) << 20), Copies: 1 + m.src.below(4),
		MinCollateral: chain.Atto(m.src.below(3) << 22), Expiry: m.now + chain.Height(m.src.below(40)), Allow: m.subset(), Deny: m.subset(), Regions: m.regions()}
	price, deposit, err := m.rules.Share(t, o.NoShows)
	must(m.t, err)
	share, err := price.Add(deposit)
	must(m.t, err)
	o.Locked, err = share.Mul(t.Copies)
	must(m.t, err)
	o.Bid, o.Copies, o.Owner = t, t.Copies, owner(m.src.below(4))
	if m.src.below(4) == 0 {
		m.ownBid(o)
	}
}

// ownBid turns a bid into one of the chain's own: for one copy, with all of an
// escrow locked, and closed to the owner of one miner.
func (m *market) ownBid(o *chain.Order) {
	price, deposit, err := m.rules.Share(o.Bid, o.NoShows)
	must(m.t, err)
	o.Bid.Copies, o.Copies, o.Succeeds = 1, 1, &chain.Succession{Deal: 1, Bid: 1, Renewal: m.src.below(2) == 0}
	if !o.Succeeds.Renewal {
		deposit = chain.Amount{}
	}
	o.Locked, err = chain.Sum(price, deposit, chain.Atto(m.src.below(100)))
	must(m.t, err)
	o.Owners = []chain.Address{owner(100 + m.src.below(4))}
}

func (m *market) ask(o *chain.Order) {
	low := m.src.below(4)
	t := &chain.AskTerms{Miner: m.src.below(8), Price: chain.Atto((1 + m.src.below(6)) << 20), Capacity: 128 * (1 + m.src.below(40)),
		MinPiece: 128 << low, MaxPiece: 128 << (low + m.src.below(4-low)), MinDuration: 10 * (1 + m.src.below(3)),
		Collateral: chain.Atto(m.src.below(3) << 22), Expiry: m.now + chain.Height(m.src.below(40)), Region: claims[m.src.below(4)]}
	t.Capacity = max(t.Capacity, t.MaxPiece)
	t.MaxDuration = t.MinDuration + 10*m.src.below(3)
	collateral, err := chain.PerGiB(t.Collateral, t.Capacity)
	must(m.t, err)
	deposit, err := m.rules.Deposit(t.Capacity, o.NoShows)
	must(m.t, err)
	// A little more or less than the rule asks for, so that escrow runs out early or late.
	o.Locked, err = chain.Sum(collateral, deposit, chain.Atto(m.src.below(20)))
	must(m.t, err)
	o.Ask, o.Free, o.Owner = t, t.Capacity, owner(100+t.Miner/2)
}

func (m *market) place(o *chain.Order) {
	m.t.Helper()
	m.book = with(m.t, m.book, o)
	m.naive.orders[o.ID] = o
	m.placed[o.ID] = o
}

// with returns a book with an order in it.
func with(t testing.TB, b *Book, o *chain.Order) *Book {
	t.Helper()
	d := b.Draft()
	must(t, d.Set(o))
	return d.Book()
}

// without returns a book without an order.
func without(b *Book, o *chain.Order) *Book {
	d := b.Draft()
	d.Remove(o)
	return d.Book()
}

// byID lists the orders of a book by ID.
func byID(b *Book) []*chain.Order {
	all := slices.AppendSeq(slices.Collect(b.Asks()), b.Bids())
	slices.SortFunc(all, func(a, b *chain.Order) int { return int(a.ID) - int(b.ID) })
	return all
}

// step does one random thing.
func (m *market) step() {
	m.t.Helper()
	switch m.src.below(9) {
	case 0, 1:
		m.cancel()
	case 8:
		m.reduce()
	case 2, 3:
		m.block()
	default:
		m.place(m.order())
	}
}

// cancel takes out one of the last orders and, so that books stay small, what is far too old.
func (m *market) cancel() {
	if m.nextID == 1 {
		return
	}
	one := m.nextID - 1 - m.src.below(min(m.nextID-1, 48))
	d := m.book.Draft()
	for _, o := range byID(m.book) {
		if o.ID == one || o.ID+48 < m.nextID {
			d.Remove(o)
			delete(m.naive.orders, o.ID)
		}
	}
	m.book = d.Book()
}

// reduce makes one of the last orders want or offer less, in its place.
func (m *market) reduce() {
	if m.nextID == 1 {
		return
	}
	was := m.naive.orders[m.nextID-1-m.src.below(min(m.nextID-1, 48))]
	if was == nil || was.Succeeds != nil {
		return
	}
	o := *was
	if o.Bid != nil {
		terms := *o.Bid
		less := m.src.below(o.Copies)
		o.Copies, terms.Copies, o.Bid = o.Copies-less, terms.Copies-less, &terms
		price, deposit, err := m.rules.Share(&terms, o.NoShows)
		must(m.t, err)
		share, err := price.Add(deposit)
		must(m.t, err)
		o.Locked, err = share.Mul(o.Copies)
		must(m.t, err)
	} else {
		terms := *o.Ask
		less := m.src.below(o.Free - terms.MinPiece + 1)
		o.Free, terms.Capacity, o.Ask = o.Free-less, terms.Capacity-less, &terms
	}
	m.book = with(m.t, without(m.book, was), &o)
	m.naive.orders[o.ID], m.placed[o.ID] = &o, &o
}

// block matches both and compares everything.
func (m *market) block() {
	m.t.Helper()
	m.now++
	before := m.book
	was := byID(before)
	book, out, err := m.book.Match(m.now, &m.rules)
	must(m.t, err)
	again, out2, err := before.Match(m.now, &m.rules)
	must(m.t, err)
	if !again.Equal(book) || len(out2.Trades) != len(out.Trades) || !slices.Equal(was, byID(before)) {
		m.t.Fatal("matching changed the book it started from")
	}
	var got []pair
	for _, t := range out.Trades {
		got = append(got, pair{t.Bid.ID, t.Ask.ID, t.Total})
	}
	want := m.naive.match(m.now, &m.rules)
	if !slices.Equal(got, want) {
		m.t.Fatalf("height %d: trades\n got %v\nwant %v", m.now, got, want)
	}
	m.book = book
	m.compareBooks()
	m.checkTrades(out)
	m.checkFunds(was, out)
	m.trades += len(got)
}

func (m *market) compareBooks() {
	m.t.Helper()
	if m.book.Len() != len(m.naive.orders) {
		m.t.Fatalf("height %d: %d orders in the book, %d in the naive market", m.now, m.book.Len(), len(m.naive.orders))
	}
	for _, o := range byID(m.book) {
		if n := m.naive.orders[o.ID]; n == nil || !sameOrder(o, n) {
			m.t.Fatalf("height %d: order\n got %+v\nwant %+v", m.now, o, n)
		}
	}
	if m.src.below(16) != 0 {
		return
	}
	rebuilt, err := Rebuild(func(yield func(*chain.Order, error) bool) {
		for _, o := range m.naive.orders {
			if !yield(o, nil) {
				return
			}
		}
	})
	must(m.t, err)
	if !m.book.Equal(rebuilt) {
		m.t.Fatalf("height %d: the book differs from the one rebuilt from the naive market's orders", m.now)
	}
	checkHulls(m.t, m.book.asks.seek)
	checkHulls(m.t, m.book.bids.seek)
	checkHeads(m.t, &m.book.asks)
	checkHeads(m.t, &m.book.bids)
	for _, x := range []radix{m.book.asks.groups, m.book.bids.groups, m.book.miners} {
		for _, t := range x.all() {
			checkHulls(m.t, t)
		}
	}
}

// checkHeads checks that the heads of a side are the first orders of its groups.
func checkHeads(t testing.TB, s *side) {
	t.Helper()
	heads := map[uint64]*entry{}
	for e := range s.heads.all() {
		heads[uint64(groupOf(e.order))] = e
	}
	found := 0
	for number, g := range s.groups.all() {
		if found++; heads[number] != g.first() {
			t.Fatalf("group %d begins with %v, its head is %v", number, g.first(), heads[number])
		}
	}
	if found != s.heads.size {
		t.Fatalf("%d groups, %d heads", found, s.heads.size)
	}
}

// sameOrder compares all that matching may change.
func sameOrder(a, b *chain.Order) bool {
	return a.State == b.State && a.From == b.From && a.Locked == b.Locked && a.Copies == b.Copies && a.Free == b.Free &&
		slices.Equal(a.Miners, b.Miners) && slices.Equal(a.Owners, b.Owners)
}

// checkTrades holds each trade against the terms as they were placed.
func (m *market) checkTrades(out *Outcome) {
	m.t.Helper()
	for _, t := range out.Trades {
		bid, ask := m.placed[t.Bid.ID], m.placed[t.Ask.ID]
		if bid.Bid.MaxPrice.Less(ask.Ask.Price) {
			m.t.Fatalf("bid %d at %s traded with ask %d at %s", bid.ID, bid.Bid.MaxPrice, ask.ID, ask.Ask.Price)
		}
		m.checkLock(bid, &t)
		m.sold[ask.ID] += bid.Bid.PaddedSize
		if m.sold[ask.ID] > ask.Ask.Capacity || t.Ask.Free < bid.Bid.PaddedSize {
			m.t.Fatalf("ask %d sold %d of %d bytes", ask.ID, m.sold[ask.ID], ask.Ask.Capacity)
		}
		for _, p := range m.copies[bid.ID] {
			other := m.placed[p.ask]
			if other.Ask.Miner == ask.Ask.Miner || other.Owner == ask.Owner {
				m.t.Fatalf("bid %d has two copies with miner %d or its owner", bid.ID, ask.Ask.Miner)
			}
		}
		m.copies[bid.ID] = append(m.copies[bid.ID], pair{bid.ID, ask.ID, t.Total})
		if uint64(len(m.copies[bid.ID])) > bid.Bid.Copies {
			m.t.Fatalf("bid %d has more copies than it asked for", bid.ID)
		}
	}
}

// checkFunds checks that what the orders held before a block is what they, the
// deals and those who are repaid have after it.
func (m *market) checkFunds(was []*chain.Order, out *Outcome) {
	m.t.Helper()
	held, now := new(big.Int), new(big.Int)
	for _, o := range was {
		held.Add(held, o.Locked.Big())
	}
	for _, o := range byID(m.book) {
		now.Add(now, o.Locked.Big())
	}
	for _, f := range out.Filled {
		now.Add(now, f.Left.Big())
	}
	for _, t := range out.Trades {
		for _, a := range []chain.Amount{t.Total, t.Refund, t.Reserve, t.ClientDeposit, t.Collateral, t.MinerDeposit} {
			now.Add(now, a.Big())
		}
	}
	if held.Cmp(now) != 0 {
		m.t.Fatalf("height %d: the orders held %s, they, deals and refunds have %s", m.now, held, now)
	}
}

// checkLock checks that a trade accounts for all that a bid has locked for a copy.
func (m *market) checkLock(bid *chain.Order, t *Trade) {
	m.t.Helper()
	price, deposit, err := m.rules.Share(bid.Bid, bid.NoShows)
	must(m.t, err)
	want, back := price, t.Refund
	if bid.Succeeds != nil {
		if !bid.Succeeds.Renewal {
			deposit = chain.Amount{}
		}
		want, err = bid.Locked.Sub(deposit)
		must(m.t, err)
		back = t.Reserve
	}
	if sum, err := t.Total.Add(back); err != nil || sum != want || t.ClientDeposit != deposit {
		m.t.Fatalf("price %s, the rest %s and deposit %s are not the %s and %s that were locked", t.Total, back, t.ClientDeposit, want, deposit)
	}
	if bid.Succeeds != nil && slices.Contains(bid.Owners, t.Ask.Owner) {
		m.t.Fatalf("bid %d of the chain's own traded with an owner that it excludes", bid.ID)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
