package client

import (
	"context"
	"fmt"
	"net/url"

	"github.com/perdure/perdure/chain"
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

// askJSON is an ask as the API shows it.
type askJSON struct {
	ID        uint64       `json:"id"`
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
}

// Asks implements Directory.
func (d nodeDirectory) Asks(ctx context.Context) ([]*chain.Order, error) {
	all, err := rpc.List[askJSON](ctx, d.node, "/v1/orders", url.Values{"side": {"ask"}})
	if err != nil {
		return nil, err
	}
	if d.records != nil {
		return d.readAsks(ctx, all)
	}
	var out []*chain.Order
	for _, a := range all {
		if a.Ask == nil {
			continue
		}
		o := &chain.Order{ID: a.ID, Placed: a.Placed, Matchable: a.Matchable, Locked: a.Locked, NoShows: a.NoShows, Free: a.Ask.Free}
		o.Ask = &chain.AskTerms{Price: a.Ask.Price, Capacity: a.Ask.Capacity, MinPiece: a.Ask.MinPiece, MaxPiece: a.Ask.MaxPiece,
			MinDuration: a.Ask.MinDuration, MaxDuration: a.Ask.MaxDuration, Collateral: a.Ask.Collateral, Expiry: a.Ask.Expiry,
			Region: a.Ask.Region, RetrievalPrice: a.Ask.Retrieval, UnsealPrice: a.Ask.Unseal}
		if o.Owner, err = chain.ParseAddress(a.Owner); err != nil {
			return nil, fmt.Errorf("order %d: %w", a.ID, err)
		}
		if o.Ask.Miner, err = chain.ParseMiner(a.Ask.Miner); err != nil {
			return nil, fmt.Errorf("order %d: %w", a.ID, err)
		}
		out = append(out, o)
	}
	return out, nil
}

// readAsks reads the records of the asks that a list names.
func (d nodeDirectory) readAsks(ctx context.Context, listed []askJSON) ([]*chain.Order, error) {
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
