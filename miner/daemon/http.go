package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/internal/lifecycle"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/gateway"
	"github.com/perdure/perdure/retrieval/p2p"
)

// PublicConfig is what ordinary IPFS clients get: over HTTP, over bitswap, and
// found by the distributed hash table. All of it is off by default. Only what is
// free is given out; for the rest HTTP names the price.
type PublicConfig struct {
	HTTP       string   `toml:"http"`       // host:port of the gateway; empty: none
	Subdomains []string `toml:"subdomains"` // host names below which each CID is an origin of its own
	Bitswap    bool     `toml:"bitswap"`    // give free blocks to IPFS nodes
	Free       []string `toml:"free"`       // free whatever the price: roots of payloads, "public" for those whose client wants it, "all"

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
	shelf    *gateway.Shelf
	log      *slog.Logger
	handler  http.Handler
	listener net.Listener // nil: no gateway
}

// openPublic starts what the config asks for, except what Run does.
func (d *Daemon) openPublic(ctx context.Context) error {
	cfg := d.opts.Config.Public
	free, err := parseGifts(cfg.Free)
	if err != nil {
		return err
	}
	p := &public{d: d, log: d.log.With("part", "public")}
	pieces := newSource(d.records, d.disk)
	p.shelf = gateway.NewShelf(gateway.ShelfConfig{
		Holdings: func(context.Context) ([]gateway.Holding, error) {
			return holdings(d.records, func(deal *chain.Deal) gateway.Terms { return d.publicTerms(free, deal) })
		},
		Open: func(ctx context.Context, piece cid.Cid) (*car.Index, gateway.Archive, error) {
			return pieces.Open(ctx, piece)
		},
		Deals: gateway.NewDeals(dealChain{d}), Log: p.log,
	})
	p.handler, err = gateway.New(gateway.Config{Source: p.shelf, Metrics: d.status.metrics, Subdomains: cfg.Subdomains, Log: p.log})
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

// Words in the list of what is free.
const (
	wordAll    = "all"
	wordPublic = "public"
)

// gifts is what is free whatever the price.
type gifts struct {
	all, public bool
	roots       map[cid.Cid]bool
}

// parseGifts reads the list in the config.
func parseGifts(texts []string) (*gifts, error) {
	g := &gifts{roots: map[cid.Cid]bool{}}
	for _, text := range texts {
		switch text {
		case wordAll:
			g.all = true
		case wordPublic:
			g.public = true
		default:
			c, err := cid.Decode(text)
			if err != nil {
				return nil, fmt.Errorf("public.free: %q is no root, and not %q or %q: %w", text, wordPublic, wordAll, err)
			}
			g.roots[rootV1(c)] = true
		}
	}
	return g, nil
}

func (g *gifts) has(d *chain.Deal) bool {
	return g.all || g.public && d.Public || g.roots[d.PayloadRoot]
}

// publicTerms is what the data of a deal costs.
func (d *Daemon) publicTerms(free *gifts, deal *chain.Deal) gateway.Terms {
	t := gateway.Terms{ChainID: d.params.ChainID, Payee: chain.FormatAddress(d.send.address(), d.params.Network), Peer: d.host.Addrs()}
	if !free.has(deal) {
		t.Price = d.opts.Config.Retrieval.Price
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
				p.log.Warn("announce payload; tried again", "root", root, "err", err)
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

// holdings are the pieces of a miner's deals, and how clients find them.
func holdings(records miner.Records, terms func(*chain.Deal) gateway.Terms) ([]gateway.Holding, error) {
	all, err := records.Deals()
	if err != nil {
		return nil, err
	}
	var out []gateway.Holding
	for _, d := range all {
		h := gateway.Holding{Piece: d.Deal.PieceCID, Root: d.Deal.PayloadRoot}
		switch {
		case held(d.State):
			h.Status.State = gateway.Free
			if t := terms(&d.Deal); !t.Price.IsZero() {
				h.Status = gateway.Status{State: gateway.Priced, Terms: t}
			}
		case d.State == miner.DealFetching:
			h.Status = gateway.Status{State: gateway.Waiting, Retry: fetchWait}
		case d.State == miner.DealEnded:
			h.Status.State = gateway.Ended
		default:
			continue
		}
		out = append(out, h)
	}
	return out, nil
}

// fetchWait is when clients are told to ask again for what is being fetched.
const fetchWait = 30 * time.Second

// rootV1 is how roots stand in deals: as CIDs of version 1.
func rootV1(c cid.Cid) cid.Cid {
	if c.Version() == 0 {
		return cid.NewCidV1(c.Type(), c.Hash())
	}
	return c
}

// dealChain is the chain as provider answers need it.
type dealChain struct{ d *Daemon }

// Peer implements gateway.Chain.
func (c dealChain) Peer(ctx context.Context, id chain.MinerID) (chain.Peer, error) {
	m := new(chain.Miner)
	_, err := c.d.node.Record(ctx, chain.MinerKey(id), m)
	return m.Peer, err
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
