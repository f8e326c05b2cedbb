package client

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/orderbook"
	"github.com/perdure/perdure/chain/rpc"
)

// nodeDirectory asks a node's explorer API, whose lists are hints where to look:
// a node may leave something out.
type nodeDirectory struct {
	node    rpc.Explorer
	records interface { // where the asks themselves are read; nil: as they are listed
		Record(ctx context.Context, k chain.Key, into chain.CBOR) (bool, error)
	}
}

// orderJSON is an order as the API shows it.
type orderJSON struct {
	ID        uint64       `json:"id"`
	State     string       `json:"state"`
	Owner     string       `json:"owner"`
	Placed    chain.Height `json:"placed"`
	Matchable chain.Height `json:"matchable"`
	Locked    chain.Amount `json:"locked"`
	NoShows   uint64       `json:"noShows"`
	Ask       *struct {
		Miner       string       `json:"miner"`
		Price       chain.Amount `json:"price"`
		Capacity    uint64       `json:"capacity"`
		Free        uint64       `json:"free"`
		MinPiece    uint64       `json:"minPiece"`
		MaxPiece    uint64       `json:"maxPiece"`
		MinDuration uint64       `json:"minDuration"`
		MaxDuration uint64       `json:"maxDuration"`
		Collateral  chain.Amount `json:"collateral"`
		Expiry      chain.Height `json:"expiry"`
		Region      string       `json:"claimedRegion"`
		Retrieval   chain.Amount `json:"retrievalPrice"`
		Unseal      chain.Amount `json:"unsealPrice"`
	} `json:"ask"`
	Bid *struct {
		PaddedSize    uint64       `json:"paddedSize"`
		Duration      uint64       `json:"duration"`
		MaxPrice      chain.Amount `json:"maxPrice"`
		Copies        uint64       `json:"copies"`
		CopiesLeft    uint64       `json:"copiesLeft"`
		MinCollateral chain.Amount `json:"minCollateral"`
		Expiry        chain.Height `json:"expiry"`
		Allow         []string     `json:"allow"`
		Deny          []string     `json:"deny"`
		Miners        []string     `json:"miners"`
		Regions       []string     `json:"regions"`
	} `json:"bid"`
}

// order is what is listed, as far as matching depends on it. Of two that stand at the
// same place but for what is drawn later, the one that is listed first is first.
func (j *orderJSON) order(at int) (o *chain.Order, err error) {
	o = &chain.Order{ID: j.ID, State: chain.OrderSearching, Placed: j.Placed, Matchable: j.Matchable, Locked: j.Locked, NoShows: j.NoShows}
	if j.State == chain.OrderResting.String() {
		o.State = chain.OrderResting
	}
	binary.BigEndian.PutUint64(o.Tie[:], uint64(at))
	if o.Owner, err = chain.ParseAddress(j.Owner); err != nil {
		return nil, fmt.Errorf("order %d: %w", j.ID, err)
	}
	switch a, b := j.Ask, j.Bid; {
	case a != nil:
		o.Free = a.Free
		o.Ask = &chain.AskTerms{Price: a.Price, Capacity: a.Capacity, MinPiece: a.MinPiece, MaxPiece: a.MaxPiece,
			MinDuration: a.MinDuration, MaxDuration: a.MaxDuration, Collateral: a.Collateral, Expiry: a.Expiry,
			Region: a.Region, RetrievalPrice: a.Retrieval, UnsealPrice: a.Unseal}
		o.Ask.Miner, err = chain.ParseMiner(a.Miner)
	case b != nil:
		o.Copies = b.CopiesLeft
		o.Bid = &chain.BidTerms{PaddedSize: b.PaddedSize, Duration: b.Duration, MaxPrice: b.MaxPrice, Copies: b.Copies,
			MinCollateral: b.MinCollateral, Expiry: b.Expiry, Regions: b.Regions}
		for from, to := range map[*[]string]*[]chain.MinerID{&b.Allow: &o.Bid.Allow, &b.Deny: &o.Bid.Deny, &b.Miners: &o.Miners} {
			for _, text := range *from {
				id, failed := chain.ParseMiner(text)
				if failed != nil {
					err = failed
				}
				*to = append(*to, id)
			}
			slices.Sort(*to)
		}
	default:
		return nil, fmt.Errorf("order %d is neither a bid nor an ask", j.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("order %d: %w", j.ID, err)
	}
	return o, nil
}

// asksPage is how many asks are read at a time.
const asksPage = 100

// Asks implements Directory.
func (d nodeDirectory) Asks(ctx context.Context, w *orderbook.Wanted, cursor string) ([]*chain.Order, string, error) {
	query := url.Values{}
	for name, n := range map[string]uint64{"pieceSize": w.Size, "duration": w.Duration} {
		if n > 0 {
			query.Set(name, strconv.FormatUint(n, 10))
		}
	}
	for name, n := range map[string]chain.Amount{"collateral": w.Collateral, "maxPrice": w.MaxPrice} {
		if !n.IsZero() {
			query.Set(name, n.String())
		}
	}
	if len(w.Regions) > 0 {
		query.Set("region", strings.Join(w.Regions, ","))
	}
	page, err := rpc.ReadPage[orderJSON](ctx, d.node, "/v1/market/asks", query, asksPage, cursor)
	if err != nil {
		return nil, "", err
	}
	if d.records != nil {
		out, err := d.readAsks(ctx, page.Items)
		return out, page.Next, err
	}
	out, err := ordersOf(page.Items)
	return out, page.Next, err
}

func ordersOf(listed []orderJSON) ([]*chain.Order, error) {
	out := make([]*chain.Order, len(listed))
	for i := range listed {
		var err error
		if out[i], err = listed[i].order(i); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// readAsks reads the records of the asks that a list names.
func (d nodeDirectory) readAsks(ctx context.Context, listed []orderJSON) ([]*chain.Order, error) {
	var out []*chain.Order
	for _, a := range listed {
		o := new(chain.Order)
		ok, err := d.records.Record(ctx, chain.OrderKey(a.ID), o)
		if err != nil {
			return nil, fmt.Errorf("order %d: %w", a.ID, err)
		}
		if ok && o.Ask != nil { // else it has left the book meanwhile
			out = append(out, o)
		}
	}
	return out, nil
}

// listedDeal is what a list of deals says that matters here.
type listedDeal struct {
	ID      uint64 `json:"id"`
	Claimed bool   `json:"claimed"`
}

// bidsMost is how many bids ahead are read.
const bidsMost = 500

// Bids implements Directory. What is listed is taken as it is.
func (d nodeDirectory) Bids(ctx context.Context, price chain.Amount, fresh bool) ([]*chain.Order, error) {
	query := url.Values{"price": {price.String()}}
	if fresh {
		query.Set("state", "new")
	}
	page, err := rpc.ReadPage[orderJSON](ctx, d.node, "/v1/market/bids", query, bidsMost, "")
	if err != nil {
		return nil, err
	}
	return ordersOf(page.Items)
}

// delaysMost is how many recent deals are looked at.
const delaysMost = 100

// Delays implements Directory.
func (d nodeDirectory) Delays(ctx context.Context) ([]uint64, error) {
	page, err := rpc.ReadPage[struct {
		Matched   chain.Height `json:"matched"`
		Activated chain.Height `json:"activated"`
	}](ctx, d.node, "/v1/deals", url.Values{"state": {chain.DealActive.String()}}, delaysMost, "")
	if err != nil {
		return nil, err
	}
	var out []uint64
	for _, deal := range page.Items {
		if deal.Activated > deal.Matched {
			out = append(out, uint64(deal.Activated-deal.Matched))
		}
	}
	return out, nil
}

// DealsOf implements Directory.
func (d nodeDirectory) DealsOf(ctx context.Context, root string) (deals, claimed []uint64, err error) {
	all, err := rpc.List[listedDeal](ctx, d.node, "/v1/deals", url.Values{"root": {root}})
	for _, deal := range all {
		if deal.Claimed {
			claimed = append(claimed, deal.ID)
		} else {
			deals = append(deals, deal.ID)
		}
	}
	return deals, claimed, err
}

// DealsOfPiece implements Directory.
func (d nodeDirectory) DealsOfPiece(ctx context.Context, piece string) ([]uint64, error) {
	all, err := rpc.List[listedDeal](ctx, d.node, "/v1/deals", url.Values{"piece": {piece}})
	var out []uint64
	for _, deal := range all {
		out = append(out, deal.ID)
	}
	return out, err
}
