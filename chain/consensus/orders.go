package consensus

import (
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/orderbook"
	"github.com/perdure/perdure/porep/piece"
)

// maxParts bounds the pieces of one payload.
const maxParts = 1 << 20

// maxCapacity bounds an ask, in padded bytes.
const maxCapacity = 1 << 60

// orderWrites is the records that placing an order writes: the order, who pays,
// and two queue items with their heads.
const orderWrites = 6

// dealWrites is the records that a match writes beside the orders: the deal,
// the client, who holds copies, and two queue items with their heads.
const dealWrites = 7

// hopsPerVisit is how many times as often as it may visit orders a search may
// pass over those whose terms do not suit it.
const hopsPerVisit = 8

// Matching returns the rules that the order book works by.
func (p *Params) Matching() *orderbook.Rules {
	return &orderbook.Rules{Visits: p.MatchVisits, Hops: hopsPerVisit * p.MatchVisits, Searches: p.MatchSearches, Trades: p.MatchesPerBlock,
		NoShowDeposit: p.NoShowDeposit, NoShowFloor: p.NoShowFloor}
}

// MaxDuration is the longest duration of a deal: however late its sector is
// proven, the sector can live long enough for it.
func (p *Params) MaxDuration() uint64 {
	return p.MaxSectorLife - min(p.MaxSectorLife, p.SeedDelay+p.ProveDue)
}

// MaxPiece is the largest piece that a bid may name: the largest sector that
// miners may register, in padded bytes.
func (p *Params) MaxPiece() uint64 {
	most := uint64(0)
	for _, proof := range p.SealProofs {
		if size, err := sectorSize(proof); err == nil {
			most = max(most, size)
		}
	}
	return most
}

// placeBidUnits pays for the order, its first search and the deals it makes.
func placeBidUnits(s *state, b *chain.PlaceBid) uint64 { return s.params.bidUnits(b.Terms.Copies) }

func (p *Params) bidUnits(copies uint64) uint64 {
	return (orderWrites+min(copies, p.MaxCopies)*dealWrites)*p.UnitWrite + p.MatchVisits*p.UnitHash
}

// BidUnits is what a message that places a bid of so many copies costs in
// units, with its signature and nonce: for quotes.
func (p *Params) BidUnits(copies uint64) uint64 {
	return p.UnitSignature + p.UnitWrite + p.bidUnits(copies)
}

// applyPlaceBid locks Copies x (price of the deal at MaxPrice + no-show deposit)
// from the sender's account.
func applyPlaceBid(s *state, m *chain.Message, b *chain.PlaceBid) (uint64, error) {
	if err := s.checkBid(&b.Terms); err != nil {
		return 0, err
	}
	var acc chain.Account
	s.load(chain.AccountKey(m.From), &acc)
	o := &chain.Order{Owner: m.From, Bid: &b.Terms, Copies: b.Terms.Copies, NoShows: s.recentNoShows(acc.NoShows, acc.NoShowAt)}
	price, deposit, err := s.params.Matching().Share(o.Bid, o.NoShows)
	if err == nil {
		o.Locked, err = price.Add(deposit)
	}
	if err == nil {
		o.Locked, err = o.Locked.Mul(o.Copies)
	}
	if err != nil {
		return 0, refuse(CodeFailed, "price of the bid: %v", err)
	}
	if err := s.lockOrder(m.From, o); err != nil {
		return 0, err
	}
	return s.placeOrder(o, o.Bid.Expiry), nil
}

// checkBid refuses terms that no deal may have.
func (s *state) checkBid(t *chain.BidTerms) error {
	if _, err := piece.ParseUnsealedCID(t.PieceCID); err != nil {
		return refuse(CodeFailed, "piece: %v", err)
	}
	if err := checkRoot(t.PayloadRoot); err != nil {
		return err
	}
	p := s.params
	if err := checkPieceSize("piece", t.PaddedSize, p.MaxPiece()); err != nil {
		return err
	}
	switch {
	case t.Parts == 0 || t.Parts > maxParts || t.Part >= t.Parts:
		return refuse(CodeFailed, "part %d of %d: parts count from 0, at most %d", t.Part, t.Parts, maxParts)
	case t.Duration < p.MinDuration || t.Duration > p.MaxDuration():
		return refuse(CodeFailed, "duration of %d blocks, want %d to %d", t.Duration, p.MinDuration, p.MaxDuration())
	case t.Copies == 0 || t.Copies > p.MaxCopies:
		return refuse(CodeFailed, "%d copies, want 1 to %d", t.Copies, p.MaxCopies)
	case !ascending(t.Allow) || !ascending(t.Deny):
		return refuse(CodeFailed, "lists of miners must be ascending, without repeats")
	case len(t.Allow) > 0 && uint64(len(t.Allow)) < t.Copies:
		return refuse(CodeFailed, "%d copies on distinct miners, but the allow list names %d", t.Copies, len(t.Allow))
	case len(t.ClientPeer) == 0:
		return refuse(CodeFailed, "client's peer ID is missing")
	}
	if err := checkRegions(t.Regions); err != nil {
		return err
	}
	if err := p.checkRenewal(t.PaddedSize, t.Renew); err != nil {
		return err
	}
	return s.checkExpiry(t.Expiry)
}

// checkRegions refuses what no ask's region can meet.
func checkRegions(tags []string) error {
	for i, tag := range tags {
		if err := chain.CheckRegion(tag); err != nil {
			return refuse(CodeFailed, "%v", err)
		}
		if i > 0 && tags[i-1] >= tag {
			return refuse(CodeFailed, "regions must be ascending, without repeats")
		}
	}
	return nil
}

// checkRoot refuses what is not a CIDv1 with a whole SHA-256.
func checkRoot(c cid.Cid) error {
	if !c.Defined() || c.Version() != 1 {
		return refuse(CodeFailed, "payload root is not a CIDv1")
	}
	if p := c.Prefix(); p.MhType != multihash.SHA2_256 || p.MhLength != 32 {
		return refuse(CodeFailed, "payload root is not a SHA-256")
	}
	return nil
}

// checkPieceSize refuses a size that no piece has.
func checkPieceSize(what string, size, most uint64) error {
	if abi.PaddedPieceSize(size).Validate() != nil || size > most {
		return refuse(CodeFailed, "%s of %d padded bytes, want a power of two from 128 to %d", what, size, most)
	}
	return nil
}

func ascending(ids []chain.MinerID) bool {
	for i := 1; i < len(ids); i++ {
		if ids[i-1] >= ids[i] {
			return false
		}
	}
	return true
}

// checkExpiry refuses orders that can never match and such as stay for too long.
func (s *state) checkExpiry(h chain.Height) error {
	least := s.global.Height + chain.Height(s.params.MatchDelay)
	most := s.global.Height + chain.Height(s.params.MaxOrderLife)
	if h < least || h > most {
		return refuse(CodeFailed, "expiry %d, want %d to %d", h, least, most)
	}
	return nil
}

// placeAskUnits pays for the order and its first search.
func placeAskUnits(s *state, _ *chain.PlaceAsk) uint64 {
	return orderWrites*s.params.UnitWrite + s.params.MatchVisits*s.params.UnitHash
}

// applyPlaceAsk escrows the collateral and the no-show deposit for the whole
// capacity from the miner's balance.
func applyPlaceAsk(s *state, m *chain.Message, b *chain.PlaceAsk) (uint64, error) {
	t := &b.Terms
	miner, err := s.workerOf(m, t.Miner)
	if err != nil {
		return 0, err
	}
	if err := s.checkAsk(miner, t); err != nil {
		return 0, err
	}
	o, err := s.newAsk(miner, t)
	if err != nil {
		return 0, err
	}
	addr, err := chain.MinerAddress(t.Miner)
	if err != nil {
		return 0, err
	}
	if err := s.lockOrder(addr, o); err != nil {
		return 0, err
	}
	return s.placeOrder(o, t.Expiry), nil
}

// newAsk is the order of an ask, with what it stakes in Locked.
func (s *state) newAsk(miner *chain.Miner, t *chain.AskTerms) (*chain.Order, error) {
	o := &chain.Order{Owner: miner.Keys.Owner, Ask: t, Free: t.Capacity, NoShows: s.recentNoShows(miner.NoShows, miner.NoShowAt)}
	var err error
	if o.Locked, err = s.params.askEscrow(t, o.NoShows); err != nil {
		return nil, refuse(CodeFailed, "escrow of the ask: %v", err)
	}
	return o, nil
}

// askEscrow is what an ask puts down: the collateral of its whole capacity, and
// its deposit.
func (p *Params) askEscrow(t *chain.AskTerms, noShows uint64) (chain.Amount, error) {
	collateral, err := chain.PerGiB(t.Collateral, t.Capacity)
	if err != nil {
		return collateral, err
	}
	deposit, err := p.Matching().AskDeposit(t, noShows)
	if err != nil {
		return deposit, err
	}
	return collateral.Add(deposit)
}

// checkAsk refuses terms that the miner cannot serve.
func (s *state) checkAsk(miner *chain.Miner, t *chain.AskTerms) error {
	size, err := sectorSize(miner.SealProof)
	if err != nil {
		return err
	}
	if err := checkPieceSize("least piece", t.MinPiece, size); err != nil {
		return err
	}
	if err := checkPieceSize("largest piece", t.MaxPiece, size); err != nil {
		return err
	}
	p := s.params
	switch {
	case t.MinPiece > t.MaxPiece:
		return refuse(CodeFailed, "least piece of %d bytes is larger than the largest of %d", t.MinPiece, t.MaxPiece)
	case t.Capacity < t.MinPiece || t.Capacity > maxCapacity:
		return refuse(CodeFailed, "capacity of %d bytes, want %d to %d", t.Capacity, t.MinPiece, uint64(maxCapacity))
	case t.MinDuration > t.MaxDuration:
		return refuse(CodeFailed, "least duration of %d blocks is longer than the longest of %d", t.MinDuration, t.MaxDuration)
	case t.MaxDuration < p.MinDuration || t.MaxDuration > p.MaxDuration():
		return refuse(CodeFailed, "longest duration of %d blocks, want %d to %d", t.MaxDuration, p.MinDuration, p.MaxDuration())
	}
	if t.Region != "" {
		if err := chain.CheckRegion(t.Region); err != nil {
			return refuse(CodeFailed, "%v", err)
		}
	}
	if t.Refresh > maxStanding {
		return refuse(CodeFailed, "%d refreshes, want at most %d", t.Refresh, maxStanding)
	}
	if err := p.checkStake(t); err != nil {
		return err
	}
	return s.checkExpiry(t.Expiry)
}

// placeOrder stores a new order whose funds are locked and returns its ID.
func (s *state) placeOrder(o *chain.Order, expiry chain.Height) uint64 {
	o.ID, o.Placed, o.State = s.global.NextOrder, s.global.Height, chain.OrderWaiting
	o.Matchable = o.Placed + chain.Height(s.params.MatchDelay)
	s.global.NextOrder++
	s.store(chain.OrderKey(o.ID), o)
	s.enqueue(chain.QueueOrderMature, o.Matchable, chain.QueueItem{ID: o.ID})
	s.enqueue(chain.QueueOrderExpire, expiry+1, chain.QueueItem{ID: o.ID}) // at expiry it may still match
	e := Event{Kind: EventOrderPlaced, Order: o.ID, From: o.Owner.Bytes(), Amount: o.Locked}
	if o.Ask != nil {
		e.Miner = o.Ask.Miner
	}
	s.emit(e)
	return o.ID
}

func cancelOrderUnits(s *state, _ *chain.CancelOrder) uint64 { return 2 * s.params.UnitWrite }

// applyCancelOrder ends an order: a bid for its sender, an ask for the worker or
// the owner of its miner.
func applyCancelOrder(s *state, m *chain.Message, b *chain.CancelOrder) (uint64, error) {
	o, err := s.ownOrder(m, b.Order)
	if err != nil {
		return 0, err
	}
	if err := s.spoilOrder(o); err != nil {
		return 0, err
	}
	return 0, s.endOrder(o, "cancelled")
}

// ownOrder loads an order that the sender may end or reduce, or refuses.
func (s *state) ownOrder(m *chain.Message, id uint64) (*chain.Order, error) {
	o := new(chain.Order)
	if !s.load(chain.OrderKey(id), o) {
		return nil, refuse(CodeFailed, "no order %d", id)
	}
	mine := m.From == o.Owner
	if o.Ask != nil {
		miner, err := s.miner(o.Ask.Miner)
		if err != nil {
			return nil, err
		}
		mine = m.From == miner.Keys.Worker || m.From == miner.Keys.Owner
	}
	if !mine {
		return nil, refuse(CodeFailed, "order %d is another's", id)
	}
	return o, nil
}

// expired is why an order ends that did not match in its time.
const expired = "expired"

// endOrder takes an order out that has not been filled and repays what it still
// holds.
func (s *state) endOrder(o *chain.Order, reason string) error {
	if err := s.closeOrder(o, o.Locked, EventOrderCancelled, reason); err != nil {
		return err
	}
	s.rebook(o, nil)
	if o.Succeeds != nil {
		s.endRepairBid(o, reason)
	}
	return nil
}

// closeOrder removes an order's record and repays its deposit and what is left of
// what it had locked.
func (s *state) closeOrder(o *chain.Order, left chain.Amount, kind EventKind, reason string) error {
	to := o.Owner
	if o.Ask != nil {
		var err error
		if to, err = chain.MinerAddress(o.Ask.Miner); err != nil {
			return err
		}
	}
	held, err := left.Add(o.Deposit)
	if err != nil {
		return err
	}
	if err := s.unlock(to, held); err != nil {
		return err
	}
	s.remove(chain.OrderKey(o.ID))
	s.emit(Event{Kind: kind, Order: o.ID, Amount: held, Reason: reason})
	return nil
}

// matureOrder draws an order's tie and puts it into the book.
func (s *state) matureOrder(item *chain.QueueItem) error {
	o := new(chain.Order)
	if !s.load(chain.OrderKey(item.ID), o) || o.State != chain.OrderWaiting {
		return nil
	}
	value, err := s.beacon(o.Matchable)
	if err != nil { // the queue is further behind than beacons are kept
		if value, err = s.beacon(s.global.Height); err != nil {
			return err
		}
	}
	o.State, o.Tie = chain.OrderSearching, OrderTie(value, o.Owner)
	s.store(chain.OrderKey(o.ID), o)
	s.rebook(nil, o)
	return nil
}

// expireOrder ends an order that may not match any more.
func (s *state) expireOrder(item *chain.QueueItem) error {
	o := new(chain.Order)
	if !s.load(chain.OrderKey(item.ID), o) {
		return nil
	}
	if err := s.endOrder(o, expired); err != nil {
		return err
	}
	return s.refreshAsk(o)
}

// matchOrders makes the block's deals.
func (s *state) matchOrders() error {
	if err := s.settleBook(); err != nil {
		return err
	}
	book, out, err := s.book.Match(s.global.Height, s.params.Matching())
	if err != nil {
		return err
	}
	s.book = book
	for i := range out.Trades {
		if err := s.makeDeal(&out.Trades[i]); err != nil {
			return err
		}
	}
	for _, o := range out.Updated {
		s.store(chain.OrderKey(o.ID), o)
	}
	for _, f := range out.Filled {
		if err := s.closeOrder(f.Order, f.Left, EventOrderFilled, ""); err != nil {
			return err
		}
		if err := s.refreshAsk(f.Order); err != nil {
			return err
		}
	}
	return s.broken
}

// makeDeal turns a trade into a deal: what both orders had locked for it is the
// deal's from now on, and what the bid had locked beyond the price is repaid.
func (s *state) makeDeal(t *orderbook.Trade) error {
	bid, ask := t.Bid.Bid, t.Ask.Ask
	d := &chain.Deal{
		ID: s.global.NextDeal, Bid: t.Bid.ID, Ask: t.Ask.ID, State: chain.DealMatched,
		Client: t.Bid.Owner, ClientPeer: bid.ClientPeer, Miner: ask.Miner,
		PieceCID: bid.PieceCID, PaddedSize: bid.PaddedSize, PayloadRoot: bid.PayloadRoot, Part: bid.Part, Parts: bid.Parts, Public: bid.Public,
		Duration: bid.Duration, Price: ask.Price, Total: t.Total, Unspent: t.Total, Renew: bid.Renew,
		Collateral: t.Collateral, ClientDeposit: t.ClientDeposit, MinerDeposit: t.MinerDeposit,
		Matched: s.global.Height, FetchBy: s.global.Height + chain.Height(s.params.FetchBy),
		ActivateBy: s.global.Height + chain.Height(s.params.ActivateBy),
		Region:     ask.Region, RetrievalPrice: ask.RetrievalPrice, UnsealPrice: ask.UnsealPrice,
	}
	s.global.NextDeal++
	if err := s.unlock(d.Client, t.Refund); err != nil {
		return err
	}
	if t.Bid.Succeeds != nil {
		next := *t.Bid.Succeeds
		next.Reserve = t.Reserve
		d.Bid, d.Succeeds = next.Bid, &next
		s.keepFetch(d)
	}
	miner, err := s.miner(d.Miner)
	if err != nil {
		return err
	}
	k := &miner.Keys
	d.SelfTrade = d.Client == t.Ask.Owner || d.Client == k.Owner || d.Client == k.Worker || d.Client == k.Beneficiary
	twice := s.addHolder(d, t)
	s.store(chain.DealKey(d.ID), d)
	s.enqueue(chain.QueueDealFetchBy, d.FetchBy, chain.QueueItem{ID: d.ID})
	s.enqueue(chain.QueueDealActivateBy, d.ActivateBy, chain.QueueItem{ID: d.ID})
	e := Event{Kind: EventDealMatched, Deal: d.ID, Order: t.Bid.ID, Index: d.Ask, Miner: d.Miner, From: d.Client.Bytes(), Amount: d.Total}
	if d.SelfTrade {
		e.Reason = "self-trade"
	}
	s.emit(e)
	if twice {
		return s.undoMatch(d)
	}
	return nil
}
