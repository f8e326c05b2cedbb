package explorer

import (
	"cmp"
	"math"
	"slices"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/index"
)

// Bid is a client's offer to pay for one piece.
type Bid struct {
	PieceCID      string       `json:"pieceCid"`
	PaddedSize    uint64       `json:"paddedSize"`
	PayloadRoot   string       `json:"payloadRoot"`
	Part          uint64       `json:"part"`
	Parts         uint64       `json:"parts"`
	Duration      uint64       `json:"duration"` // blocks
	MaxPrice      chain.Amount `json:"maxPrice"` // per GiB per block
	Copies        uint64       `json:"copies"`
	MinCollateral chain.Amount `json:"minCollateral"` // per GiB
	Expiry        chain.Height `json:"expiry"`        // last height at which it may match
	Allow         []string     `json:"allow"`         // miners; none: all
	Deny          []string     `json:"deny"`
	Regions       []string     `json:"regions"` // that a miner must claim to be in, one of them; none: anywhere
	Public        bool         `json:"public"`  // anybody may fetch the piece, if the miner lets them
	ClientPeer    string       `json:"clientPeer"`
	CopiesLeft    uint64       `json:"copiesLeft"`
	Miners        []string     `json:"miners"` // so far; of the chain's own: that have copies already
	Renew         *Renewal     `json:"renew,omitempty"`
}

// Ask is a miner's offer to store.
type Ask struct {
	Miner       string       `json:"miner"`
	Price       chain.Amount `json:"price"`    // per GiB per block
	Capacity    uint64       `json:"capacity"` // padded bytes
	Free        uint64       `json:"free"`     // of them, still to sell
	MinPiece    uint64       `json:"minPiece"`
	MaxPiece    uint64       `json:"maxPiece"`
	MinDuration uint64       `json:"minDuration"`
	MaxDuration uint64       `json:"maxDuration"`
	Collateral  chain.Amount `json:"collateral"` // per GiB
	Expiry      chain.Height `json:"expiry"`
	Refresh     uint64       `json:"refresh"` // how often it is placed again when it expires or is sold out
	Claims
}

// Claims are what a miner announces of itself; nobody checks it.
type Claims struct {
	ClaimedRegion string       `json:"claimedRegion"`  // empty: it does not say
	Retrieval     chain.Amount `json:"retrievalPrice"` // per GiB fetched
	Unseal        chain.Amount `json:"unsealPrice"`    // per GiB (padded) that must be unsealed to be fetched
}

// Order is a bid or an ask. One that is over is shown as it last was.
type Order struct {
	ID        uint64       `json:"id"`
	Side      string       `json:"side"` // bid, ask
	State     string       `json:"state"`
	Owner     string       `json:"owner"`
	Placed    chain.Height `json:"placed"`
	Matchable chain.Height `json:"matchable"` // from here on it may match
	Locked    chain.Amount `json:"locked"`
	Deposit   chain.Amount `json:"deposit"`         // held beside it, burned if the order is cancelled before it rests
	NoShows   uint64       `json:"noShows"`         // recent ones of its side when it was placed
	Ended     chain.Height `json:"ended,omitempty"` // block in which it ended
	Bid       *Bid         `json:"bid,omitempty"`
	Ask       *Ask         `json:"ask,omitempty"`
	Succeeds  *Succession  `json:"succeeds,omitempty"`
}

// OrderDetail is an order as of a height.
type OrderDetail struct {
	*Order
	AsOf
	Proof *Proof `json:"proof,omitempty"`
}

func (n names) orderOf(o *chain.Order, r *index.Record) *Order {
	out := &Order{ID: o.ID, Side: "ask", Succeeds: successionOf(o.Succeeds), State: index.OrderStateOf(r, o).String(), Owner: n.address(o.Owner), Placed: o.Placed, Matchable: o.Matchable,
		Locked: o.Locked, Deposit: o.Deposit, NoShows: o.NoShows, Ended: r.Ended}
	if r.Gone != 0 {
		out.Locked, out.Deposit = chain.Amount{}, chain.Amount{}
	}
	if b := o.Bid; b != nil {
		out.Side = "bid"
		out.Bid = &Bid{cidText(b.PieceCID), b.PaddedSize, cidText(b.PayloadRoot), b.Part, b.Parts, b.Duration, b.MaxPrice, b.Copies,
			b.MinCollateral, b.Expiry, n.minerTexts(b.Allow), n.minerTexts(b.Deny), append([]string{}, b.Regions...), b.Public,
			peerText(b.ClientPeer), o.Copies, n.minerTexts(o.Miners), renewalOf(b.Renew)}
	}
	if a := o.Ask; a != nil {
		out.Ask = &Ask{n.minerText(a.Miner), a.Price, a.Capacity, o.Free, a.MinPiece, a.MaxPiece, a.MinDuration, a.MaxDuration,
			a.Collateral, a.Expiry, a.Refresh, Claims{a.Region, a.RetrievalPrice, a.UnsealPrice}}
	}
	return out
}

// lastOrder is an order as it was when it ended. The rules take one that is filled
// out of the state as it was before that block: what it traded there is in the
// block's matches.
func (q *query) lastOrder(o *chain.Order, r *index.Record) (*Order, error) {
	out := q.orderOf(o, r)
	if q.snap == nil || index.OrderStateOf(r, o) != index.OrderFilled {
		return out, nil
	}
	var miners []string
	_, err := q.snap.Events(index.OfOrder(o.ID), index.Page{Limit: math.MaxInt}, func(e *index.Event) (bool, error) {
		switch {
		case e.Height < r.Ended:
			return false, errBeyond
		case e.Kind != consensus.EventDealMatched:
			return false, nil
		}
		if out.Bid != nil {
			out.Bid.CopiesLeft -= min(out.Bid.CopiesLeft, 1)
			miners = append(miners, q.minerText(e.Miner))
			return true, nil
		}
		var d chain.Deal
		_, err := q.snap.Load(chain.DealKey(e.Deal), &d)
		out.Ask.Free -= min(out.Ask.Free, d.PaddedSize)
		return true, err
	})
	if _, err := ended(nil, err); err != nil {
		return nil, err
	}
	if out.Bid != nil { // the newest came first
		slices.Reverse(miners)
		out.Bid.Miners = append(out.Bid.Miners, miners...)
	}
	return out, nil
}

func (a *API) orderRoutes() []route {
	return []route{
		{path: "/v1/orders", query: ordered("owner", "side", "state", "miner", "ids"), handle: a.orders, indexed: true},
		{path: "/v1/orders/{order}", query: proofQuery(), handle: a.order, indexed: true},
	}
}

// orderStates are what a list of orders can be asked for: those that are not
// over, all, or those in some states.
var orderStates = []string{"live", "all", "waiting", "searching", "resting", "filled", "cancelled", "expired", "ended"}

func (a *API) orders(q *query) (any, error) {
	filters, err := q.orderFilters()
	if err != nil {
		return nil, err
	}
	l := recordList[chain.Order, *chain.Order, *Order]{table: chain.TableOrder, born: func(o *chain.Order) chain.Height { return o.Placed },
		show: func(r *index.Record, o *chain.Order) (*Order, error) { return q.lastOrder(o, r) }}
	for _, f := range filters {
		l.lists = append(l.lists, index.Orders(f))
	}
	return l.answer(q)
}

// orderFilters reads which orders are wanted, by state.
func (q *query) orderFilters() (filters []index.OrderFilter, err error) {
	var f index.OrderFilter
	side, err := q.choice("side", "bid", "ask")
	if err != nil {
		return nil, err
	}
	f.Side = []index.Side{index.AnySide, index.BidSide, index.AskSide}[side+1]
	if err := cmp.Or(optional(q, "miner", &f.Miner, q.parseMiner), optional(q, "owner", &f.Owner, parseAddress)); err != nil {
		return nil, err
	}
	chosen, err := q.several("state", orderStates...)
	if err != nil {
		return nil, err
	}
	switch {
	case slices.Contains(chosen, 1):
		return []index.OrderFilter{f}, nil
	case chosen == nil:
		chosen = []int{0}
	}
	for _, i := range chosen {
		one := f
		if one.Live = i == 0; i > 0 {
			one.State, _ = index.ParseOrderState(orderStates[i])
		}
		filters = append(filters, one)
	}
	return filters, nil
}

func (a *API) order(q *query) (any, error) {
	id, err := q.number("order")
	if err != nil {
		return nil, err
	}
	o := new(chain.Order)
	if out, ok, err := q.prove(answerOrder, chain.OrderKey(id), o, func(_ bool, at AsOf, p *Proof) (any, error) {
		return &OrderDetail{q.orderOf(o, &index.Record{}), at, p}, nil
	}); ok {
		return out, err
	}
	r, o, err := q.loadOrder()
	if err != nil {
		return nil, err
	}
	out, err := q.lastOrder(o, r)
	if err != nil {
		return nil, err
	}
	return &OrderDetail{out, q.asOf(), nil}, nil
}

// loadOrder reads the order that the path names.
func (q *query) loadOrder() (*index.Record, *chain.Order, error) {
	id, err := q.number("order")
	if err != nil {
		return nil, nil, err
	}
	v := new(chain.Order)
	r, err := q.recall(chain.OrderKey(id), v)
	if err == nil && r == nil {
		err = notFound("there is no order %d, or it was over before the index began", id)
	}
	return r, v, err
}
