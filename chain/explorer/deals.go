package explorer

import (
	"cmp"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/porep/piece"
)

// Deal is one copy of one piece on one miner. One whose record has left the state
// is shown as it last was.
type Deal struct {
	ID            uint64       `json:"id"`
	Bid           uint64       `json:"bid"` // order; of a repair: the client's
	Ask           uint64       `json:"ask"` // order
	State         string       `json:"state"`
	Client        string       `json:"client"`
	ClientPeer    string       `json:"clientPeer"` // libp2p peer ID
	Miner         string       `json:"miner"`
	PieceCID      string       `json:"pieceCid"`
	PaddedSize    uint64       `json:"paddedSize"`
	PayloadRoot   string       `json:"payloadRoot"`
	Part          uint64       `json:"part"` // of the payload, from 0
	Parts         uint64       `json:"parts"`
	Duration      uint64       `json:"duration"`   // blocks
	Price         chain.Amount `json:"price"`      // per GiB per block
	Total         chain.Amount `json:"total"`      // for the whole term
	Unspent       chain.Amount `json:"unspent"`    // of Total, still locked
	Collateral    chain.Amount `json:"collateral"` // the miner's, still locked
	ClientDeposit chain.Amount `json:"clientDeposit"`
	MinerDeposit  chain.Amount `json:"minerDeposit"`
	Matched       chain.Height `json:"matched"`
	FetchBy       chain.Height `json:"fetchBy"`    // void if the miner does not hold the data by then
	ActivateBy    chain.Height `json:"activateBy"` // void if it is not proven by then
	Accepted      chain.Height `json:"accepted,omitempty"`
	Sector        *uint64      `json:"sector,omitempty"` // that holds it
	Activated     chain.Height `json:"activated,omitempty"`
	End           chain.Height `json:"end,omitempty"`     // of its term
	Ended         chain.Height `json:"ended,omitempty"`   // block in which it ended
	Reason        string       `json:"reason,omitempty"`  // why it ended
	Removed       chain.Height `json:"removed,omitempty"` // block that took its record out of the state, which has no proof of it since
	PaidThrough   chain.Height `json:"paidThrough,omitempty"`
	FaultBlocks   uint64       `json:"faultBlocks"`       // of the term, not paid because of faults
	Public        bool         `json:"public"`            // anybody may fetch the piece, if the miner lets them
	SelfTrade     bool         `json:"selfTrade"`         // the client is the miner's owner, worker or beneficiary
	Renew         *Renewal     `json:"renew,omitempty"`   // what is left of the bid's
	RenewAt       chain.Height `json:"renewAt,omitempty"` // block that orders its renewal
	Succeeds      *Succession  `json:"succeeds,omitempty"`
	Claimed       bool         `json:"claimed,omitempty"` // the miner says that the piece holds the root that was asked for among others; nobody checked
	Claims                     // as the ask announced when it matched
}

// Succession is what makes a bid of the chain's own, or the deal that came of
// it, the repair of a lost copy or the renewal of one that ends.
type Succession struct {
	Deal    uint64       `json:"deal"`    // the one before
	Bid     uint64       `json:"bid"`     // the client's, whose copies both are
	Renewal bool         `json:"renewal"` // the one before ends by itself; else it is lost
	Term    chain.Height `json:"term"`    // of a repair: the last height of the lost deal's term
	By      chain.Height `json:"by"`      // the last height at which a bid for it may match
	Price   chain.Amount `json:"price"`   // of the lost deal, or the highest of the renewal, per GiB per block
	Fetch   chain.Amount `json:"fetch"`   // the new miner's allowance for buying the data
	Reserve chain.Amount `json:"reserve"` // locked in the deal beyond its price
}

// Renewal says that each copy is bid for again before its deal ends.
type Renewal struct {
	Count    uint64       `json:"count"`    // further terms of each copy
	MaxPrice chain.Amount `json:"maxPrice"` // per GiB per block
	Duration uint64       `json:"duration"` // blocks, of each
}

func renewalOf(r *chain.Renewal) *Renewal {
	if r == nil {
		return nil
	}
	return &Renewal{r.Count, r.MaxPrice, r.Duration}
}

func successionOf(s *chain.Succession) *Succession {
	if s == nil {
		return nil
	}
	return &Succession{s.Deal, s.Bid, s.Renewal, s.Term, s.By, s.Price, s.Fetch, s.Reserve}
}

// DealDetail is a deal as of a height.
type DealDetail struct {
	*Deal
	AsOf
	Proof *Proof `json:"proof,omitempty"`
}

func (n names) dealOf(d *chain.Deal) *Deal {
	out := &Deal{ID: d.ID, Bid: d.Bid, Ask: d.Ask, State: d.State.String(), Client: n.address(d.Client), ClientPeer: peerText(d.ClientPeer),
		Miner: n.minerText(d.Miner), PieceCID: cidText(d.PieceCID), PaddedSize: d.PaddedSize, PayloadRoot: cidText(d.PayloadRoot),
		Part: d.Part, Parts: d.Parts, Duration: d.Duration, Price: d.Price, Total: d.Total, Unspent: d.Unspent, Collateral: d.Collateral,
		ClientDeposit: d.ClientDeposit, MinerDeposit: d.MinerDeposit, Matched: d.Matched, FetchBy: d.FetchBy, ActivateBy: d.ActivateBy,
		Accepted: d.Accepted, Activated: d.Activated, End: d.End, PaidThrough: d.PaidThrough, FaultBlocks: d.FaultBlocks,
		Public: d.Public, SelfTrade: d.SelfTrade, Renew: renewalOf(d.Renew), RenewAt: d.RenewAt, Succeeds: successionOf(d.Succeeds),
		Claims: Claims{d.Region, d.RetrievalPrice, d.UnsealPrice}}
	if d.Committed {
		out.Sector = &d.Sector
	}
	return out
}

// lastDeal is a deal as it is or, if it ended, as it was then.
func (n names) lastDeal(r *index.Record, d *chain.Deal) *Deal {
	out := n.dealOf(d)
	out.Ended, out.Reason, out.Removed = r.Ended, r.Reason, r.Gone
	return out
}

// dealStates are the states in their order, from 1.
var dealStates = []string{"matched", "accepted", "active", "completed", "void", "lost"}

// dealFilter reads which deals are wanted, and in which states: 0 is any.
func (q *query) dealFilter() (f index.DealFilter, states []chain.DealState, err error) {
	chosen, err := q.several("state", dealStates...)
	if err != nil {
		return f, nil, err
	}
	for _, i := range chosen {
		states = append(states, chain.DealState(i+1))
	}
	if states == nil {
		states = []chain.DealState{0}
	}
	return f, states, cmp.Or(
		optional(q, "miner", &f.Miner, q.parseMiner),
		optional(q, "client", &f.Client, parseAddress),
		optional(q, "piece", &f.Piece, parsePiece),
		optional(q, "root", &f.Root, parseCID))
}

// parsePiece reads a piece CID of either version and returns it as version 1.
func parsePiece(name, s string) (cid.Cid, error) {
	c, err := parseCID(name, s)
	if err != nil {
		return c, err
	}
	return pieceOf(c), nil
}

// pieceOf is a piece's CID of version 1, given either.
func pieceOf(c cid.Cid) cid.Cid {
	if info, err := piece.ParseCIDv2(c); err == nil {
		return info.CID
	}
	return c
}

func (a *API) dealRoutes() []route {
	return []route{
		{path: "/v1/deals", query: ordered("root", "piece", "miner", "client", "state", "ids", "sortField"), handle: a.deals, indexed: true},
		{path: "/v1/deals/{deal}", query: proofQuery(), handle: a.deal, indexed: true},
	}
}

func (a *API) deals(q *query) (any, error) {
	f, states, err := q.dealFilter()
	if err != nil {
		return nil, err
	}
	l := recordList[chain.Deal, *chain.Deal, *Deal]{table: chain.TableDeal, born: func(d *chain.Deal) chain.Height { return d.Matched },
		show: func(r *index.Record, d *chain.Deal) (*Deal, error) { return q.lastDeal(r, d), nil }}
	switch by, err := q.choice("sortField", "deal", "end"); {
	case err != nil:
		return nil, err
	case by == 1:
		if err := q.without("sortField=end", "root", "piece", "state", "ids", "minHeight", "maxHeight"); err != nil {
			return nil, err
		}
		if q.given("client") && q.given("miner") {
			return nil, badRequest("sortField=end goes with client or with miner")
		}
		l.lists, l.upward, l.born = []index.List{index.DealsByEnd(f.Client, f.Miner)}, true, nil
		return l.answer(q)
	}
	for _, state := range states {
		f.State = state
		l.lists = append(l.lists, index.Deals(f))
	}
	return listOf(q, func(p index.Page, add func(*Deal)) ([]byte, error) {
		next, err := l.page(q, p, add)
		if err != nil || next != nil || !f.Root.Defined() || a.config.Hints == nil {
			return next, err
		}
		q.unsteady = true
		for _, f.State = range states {
			if err := a.claimed(q, f, add); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
}

// What the list of a root says of claims at most: so many pieces, and so many deals
// over each.
const (
	maxClaims     = 32
	maxClaimDeals = 8
)

// claimed ends the list of a root with the deals in force over pieces that are said to
// hold it among others.
func (a *API) claimed(q *query, f index.DealFilter, add func(*Deal)) error {
	root, piece, miner := f.Root, f.Piece, f.Miner
	f.Root = cid.Undef
	for _, hint := range a.config.Hints.Of(root, maxClaims) {
		if piece.Defined() && piece != hint.Piece || miner != 0 && miner != hint.Miner {
			continue
		}
		f.Piece, f.Miner = hint.Piece, hint.Miner
		_, err := q.snap.Records(index.Deals(f), index.Page{Limit: maxClaimDeals}, func(r *index.Record) (bool, error) {
			var d chain.Deal
			if err := r.Decode(&d); err != nil || d.PayloadRoot == root || d.State != chain.DealAccepted && d.State != chain.DealActive {
				return false, err
			}
			deal := q.dealOf(&d)
			deal.Claimed = true
			add(deal)
			return true, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *API) deal(q *query) (any, error) {
	id, err := q.number("deal")
	if err != nil {
		return nil, err
	}
	var d chain.Deal
	if out, ok, err := q.prove(answerDeal, chain.DealKey(id), &d, func(_ bool, at AsOf, p *Proof) (any, error) {
		return &DealDetail{q.dealOf(&d), at, p}, nil
	}); ok {
		return out, err
	}
	r, is, err := q.loadDeal()
	if err != nil {
		return nil, err
	}
	return &DealDetail{q.lastDeal(r, is), q.asOf(), nil}, nil
}

// loadDeal reads the deal that the path names.
func (q *query) loadDeal() (*index.Record, *chain.Deal, error) {
	id, err := q.number("deal")
	if err != nil {
		return nil, nil, err
	}
	v := new(chain.Deal)
	r, err := q.recall(chain.DealKey(id), v)
	if err == nil && r == nil {
		err = notFound("there is no deal %d, or its record went before the index began", id)
	}
	return r, v, err
}
