package gateway

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval/p2p"
)

// Chain is what provider answers are made of.
type Chain interface {
	// DealsOf lists the deals over a payload, those of at most limit IDs.
	DealsOf(ctx context.Context, root cid.Cid, limit int) ([]*chain.Deal, error)
	// Peer is where a miner is reached.
	Peer(ctx context.Context, miner chain.MinerID) (chain.Peer, error)
}

// How long an answer about providers is kept, and how many are: strangers ask.
const (
	providersAge  = 30 * time.Second
	maxRemembered = 1024
)

// Deals finds providers by the deals on chain: the miners whose deals over a
// payload are in force. It may be used by many goroutines.
type Deals struct {
	chain Chain

	mu    sync.Mutex
	known map[cid.Cid]remembered
}

type remembered struct {
	found []Provider
	until time.Time
}

// NewDeals finds providers on a chain.
func NewDeals(c Chain) *Deals { return &Deals{chain: c, known: map[cid.Cid]remembered{}} }

// Providers implements that part of Source.
func (d *Deals) Providers(ctx context.Context, root cid.Cid) ([]Provider, error) {
	root = version1(root)
	d.mu.Lock()
	r, ok := d.known[root]
	d.mu.Unlock()
	if ok && time.Now().Before(r.until) {
		return r.found, nil
	}
	found, err := d.look(ctx, root)
	if err != nil {
		return nil, fmt.Errorf("providers of %s: %w", root, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.known) >= maxRemembered {
		clear(d.known)
	}
	d.known[root] = remembered{found, time.Now().Add(providersAge)}
	return found, nil
}

func (d *Deals) look(ctx context.Context, root cid.Cid) ([]Provider, error) {
	deals, err := d.chain.DealsOf(ctx, root, maxProviders)
	if err != nil {
		return nil, err
	}
	var miners []chain.MinerID
	for _, deal := range deals {
		if deal.State == chain.DealActive || deal.State == chain.DealAccepted {
			miners = append(miners, deal.Miner)
		}
	}
	slices.Sort(miners)
	var out []Provider
	for _, m := range slices.Compact(miners) {
		peer, err := d.chain.Peer(ctx, m)
		if err != nil {
			return nil, err
		}
		if addrs := p2p.FormatAddrs(peer); len(addrs) > 0 {
			out = append(out, Provider{Addrs: addrs, Protocols: []string{protocolRetrieve}})
		}
	}
	return out, nil
}
