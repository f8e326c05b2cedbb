package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/internal/lifecycle"
	"github.com/perdure/perdure/retrieval/gateway"
	"github.com/perdure/perdure/retrieval/p2p"
	"github.com/perdure/perdure/retrieval/seller"
)

// PublicConfig is what ordinary IPFS clients get: over HTTP, over bitswap, and
// found by the distributed hash table. All of it is off by default. Only what is
// free is given out; for the rest HTTP names the price.
type PublicConfig struct {
	HTTP       string   `toml:"http"`       // host:port of the gateway; empty: none
	Subdomains []string `toml:"subdomains"` // host names below which each CID is an origin of its own
	Bitswap    bool     `toml:"bitswap"`    // give free blocks to IPFS nodes
	Free       []string `toml:"free"`       // roots of payloads that are free whatever the price; "all": every one

	DHT       bool     `toml:"dht"`        // announce free payloads
	Bootstrap []string `toml:"bootstrap"`  // multiaddrs, with peer IDs, of nodes of the table
	DHTServer bool     `toml:"dht_server"` // answer others' questions: only for miners that everybody can reach
}

// reannounce is how often a payload is announced again; the table forgets it after
// two days. recheck is how often new ones are looked for.
const (
	reannounce = 20 * time.Hour
	recheck    = 30 * time.Second
)

// public is the miner's face to ordinary IPFS clients.
type public struct {
	d        *Daemon
	shelf    *shelf
	handler  http.Handler
	listener net.Listener // nil: no gateway
}

// openPublic starts what the config asks for, except what Run does.
func (d *Daemon) openPublic(ctx context.Context) error {
	cfg := d.opts.Config.Public
	p := &public{d: d}
	p.shelf = &shelf{records: d.records, disk: d.disk, pieces: newSource(d.records, d.disk), log: d.log.With("part", "public"),
		Deals: gateway.NewDeals(dealChain{d}), terms: d.terms}
	var err error
	p.handler, err = gateway.New(gateway.Config{Source: p.shelf, Metrics: d.status.metrics, Subdomains: cfg.Subdomains, Log: p.shelf.log})
	if err != nil {
		return err
	}
	if cfg.HTTP != "" {
		if p.listener, err = net.Listen("tcp", cfg.HTTP); err != nil {
			return fmt.Errorf("public.http: %w", err)
		}
		d.parts.OnClose("gateway listener", func() error {
			if err := p.listener.Close(); !errors.Is(err, net.ErrClosed) {
				return err
			}
			return nil
		})
	}
	if cfg.Bitswap {
		if err := d.host.ServeBitswap(gateway.Blockstore(p.shelf)); err != nil {
			return err
		}
	}
	if cfg.DHT {
		if err := d.host.JoinDHT(ctx, p2p.DHTConfig{Bootstrap: cfg.Bootstrap, Server: cfg.DHTServer}); err != nil {
			return fmt.Errorf("public.bootstrap: %w", err)
		}
	}
	d.public = p
	return nil
}

// everything is the word for all roots in the config.
const everything = "all"

// freeRoots reads which payloads are free whatever the price; cid.Undef stands
// for every one.
func freeRoots(texts []string) (map[cid.Cid]bool, error) {
	out := map[cid.Cid]bool{}
	for _, text := range texts {
		if text == everything {
			out[cid.Undef] = true
			continue
		}
		c, err := cid.Decode(text)
		if err != nil {
			return nil, fmt.Errorf("public.free: %q is no root and not %q: %w", text, everything, err)
		}
		out[payload(c)] = true
	}
	return out, nil
}

// terms is what the data of a deal costs.
func (d *Daemon) terms(deal *chain.Deal) gateway.Terms {
	t := gateway.Terms{ChainID: d.params.ChainID, Payee: chain.FormatAddress(d.send.address(), d.params.Network), Peer: d.host.Addrs()}
	item := seller.Item{Piece: deal.PieceCID, Root: deal.PayloadRoot}
	if terms, err := d.prices.Terms(context.Background(), item); err == nil && terms.Access == seller.Paid {
		t.Price = terms.Price
	}
	return t
}

// GatewayAddr is the host:port of the gateway; empty: there is none.
func (d *Daemon) GatewayAddr() string {
	if d.public.listener == nil {
		return ""
	}
	return d.public.listener.Addr().String()
}

// add adds what serves and announces to the parts of the daemon.
func (p *public) add(parts *lifecycle.Group) {
	cfg := p.d.opts.Config.Public
	if p.listener == nil && !cfg.Bitswap && !cfg.DHT {
		return
	}
	parts.Add("pieces for IPFS clients", p.shelf.Run)
	if p.listener != nil {
		parts.Add("gateway", func(ctx context.Context) error { return gateway.Serve(ctx, p.listener, p.handler) })
	}
	if cfg.DHT {
		parts.Add("announcements", p.announce)
	}
}

// announce tells the hash table of free payloads, again before it forgets them.
func (p *public) announce(ctx context.Context) error {
	said := map[cid.Cid]time.Time{}
	tick := time.NewTicker(recheck)
	defer tick.Stop()
	for {
		for _, root := range p.shelf.Roots() {
			if at, ok := said[root]; ok && time.Since(at) < reannounce {
				continue
			}
			if err := p.d.host.Announce(ctx, root); err != nil {
				p.shelf.log.Warn("announce payload; tried again", "root", root, "err", err)
				break // the table knows nobody yet, or the network is away
			}
			said[root] = time.Now()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// DealsOf implements gateway.Chain.
func (c dealChain) DealsOf(ctx context.Context, root cid.Cid, limit int) ([]*chain.Deal, error) {
	var page struct {
		Items []struct {
			ID uint64 `json:"id"`
		} `json:"items"`
	}
	var node rpc.Explorer = c.d.node
	query := url.Values{"root": {root.String()}, "limit": {fmt.Sprint(limit)}}
	if err := node.JSON(ctx, "/v1/deals?"+query.Encode(), &page); err != nil {
		return nil, err
	}
	var out []*chain.Deal
	for _, item := range page.Items {
		d := new(chain.Deal)
		ok, err := c.d.node.Record(ctx, chain.DealKey(item.ID), d)
		if err != nil {
			return nil, err
		}
		if ok && d.PayloadRoot.Equals(root) {
			out = append(out, d)
		}
	}
	return out, nil
}
