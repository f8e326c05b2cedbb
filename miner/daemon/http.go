package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/internal/lifecycle"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/unsealing"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/gateway"
	"github.com/perdure/perdure/retrieval/p2p"
	"github.com/perdure/perdure/retrieval/seller"
)

// PublicConfig is what ordinary IPFS clients get: over HTTP, over bitswap, and
// found by the distributed hash table. All of it is off by default. Only what is
// free is given out; for the rest HTTP names the price.
type PublicConfig struct {
	HTTP       string   `toml:"http"`       // host:port of the gateway; empty: none
	Door       string   `toml:"door"`       // multiaddr of it that others are told, such as /dns4/example.com/tcp/443/https; empty: where it listens
	Subdomains []string `toml:"subdomains"` // host names below which each CID is an origin of its own
	Bitswap    bool     `toml:"bitswap"`    // give free blocks to IPFS nodes
	Free       []string `toml:"free"`       // free whatever the price: roots of payloads, "public" for those whose client wants it, "all"

	DHT       bool     `toml:"dht"`        // announce free payloads
	Bootstrap []string `toml:"bootstrap"`  // multiaddrs, with peer IDs, of nodes of the table, beside the chain's miners
	DHTServer bool     `toml:"dht_server"` // answer others' questions at once; else when it is found that strangers reach the miner
}

// dhtPeers is how many of the chain's miners the table is joined by.
const dhtPeers = 32

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
	p := &public{d: d, log: d.log.With("part", "public")}
	d.public = p
	if err := p.listen(cfg.HTTP); err != nil {
		return err
	}
	self, err := d.self()
	if err != nil {
		return err
	}
	p.shelf = gateway.NewShelf(gateway.ShelfConfig{
		Holdings: func(ctx context.Context) ([]gateway.Holding, error) { return holdings(ctx, d.records, d.publicStatus) },
		Open: func(ctx context.Context, piece cid.Cid) ([]*car.Index, gateway.Archive, error) {
			return d.source.all(ctx, piece)
		},
		Changes: func() uint64 { return d.records.Changes() + d.unsealing.Changes() },
		Deals:   gateway.NewDeals(dealChain{d}), Door: p2p.FormatDoors(self), Log: p.log,
	})
	p.handler, err = gateway.New(gateway.Config{Source: p.shelf, Metrics: d.status.metrics, Subdomains: cfg.Subdomains, Beside: d.doors(), Log: p.log})
	if err != nil {
		return err
	}
	if cfg.Bitswap {
		if err := d.host.ServeBitswap(gateway.Blockstore(p.shelf)); err != nil {
			return err
		}
	}
	if cfg.DHT {
		if err := d.host.JoinDHT(ctx, p2p.DHTConfig{Bootstrap: cfg.Bootstrap, Peers: d.otherMiners(ctx, dhtPeers), Server: cfg.DHTServer}); err != nil {
			return fmt.Errorf("public.bootstrap: %w", err)
		}
	}
	return nil
}

// listen opens the gateway's port, if there is to be one.
func (p *public) listen(at string) (err error) {
	if at == "" {
		return nil
	}
	if p.listener, err = net.Listen("tcp", at); err != nil {
		return fmt.Errorf("public.http: %w", err)
	}
	p.d.parts.OnClose("gateway listener", func() error {
		if err := p.listener.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return nil
}

// publicStatus is how the data of a deal that is on disk stands to whoever asks,
// by the same prices as in the retrieval protocol.
func (d *Daemon) publicStatus(ctx context.Context, deal *chain.Deal) (gateway.Status, error) {
	terms, err := d.prices.Terms(ctx, seller.Item{Piece: deal.PieceCID, Root: deal.PayloadRoot})
	if err != nil {
		return gateway.Status{}, err
	}
	if terms.Access == seller.Closed {
		return gateway.Status{}, nil
	}
	state, err := d.unsealing.State(deal.PieceCID)
	if err != nil {
		return gateway.Status{}, err
	}
	if state == unsealing.Ordered {
		return gateway.Status{State: gateway.Waiting, Retry: max(d.unsealing.Left(deal.PieceCID), unsealWait)}, nil
	}
	if terms.Access == seller.Free && state != unsealing.Sealed {
		return gateway.Status{State: gateway.Free}, nil
	}
	out := gateway.Terms{ChainID: d.params.ChainID, Price: terms.Price, Payee: chain.FormatAddress(*terms.Payee, d.params.Network), Peer: p2p.FormatAddrs(d.host.Self())}
	if state == unsealing.Sealed {
		of, err := d.records.DealsOfPiece(deal.PieceCID)
		if err != nil {
			return gateway.Status{}, err
		}
		cost, err := unsealCost(of)
		if err != nil {
			return gateway.Status{}, err
		}
		out.Unseal = &cost
	}
	return gateway.Status{State: gateway.Priced, Terms: out}, nil
}

// unsealWait is when clients are told at the earliest to ask again for a piece that is
// being unsealed.
const unsealWait = 10 * time.Second

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

// holdings are the pieces of a miner's deals, and how clients find them; onDisk
// says so of those that are held.
func holdings(ctx context.Context, records miner.Records, onDisk func(context.Context, *chain.Deal) (gateway.Status, error)) ([]gateway.Holding, error) {
	all, err := records.Deals()
	if err != nil {
		return nil, err
	}
	var out []gateway.Holding
	for _, d := range all {
		h := gateway.Holding{Piece: d.Deal.PieceCID, Root: d.Deal.PayloadRoot}
		switch {
		case held(d.State):
			if h.Status, err = onDisk(ctx, &d.Deal); err != nil {
				return nil, err
			}
			h.Indexed = h.Status.State == gateway.Waiting // it is being unsealed
		case d.State == miner.DealFetching:
			h.Status = gateway.Status{State: gateway.Waiting, Retry: fetchWait}
		case d.State == miner.DealEnded:
			h.Status.State = gateway.Ended
		}
		if h.Status.State != gateway.Unknown {
			out = append(out, h)
		}
	}
	return out, nil
}

// fetchWait is when clients are told to ask again for what is being fetched.
const fetchWait = 30 * time.Second

// dealChain is the chain as provider answers need it.
type dealChain struct{ d *Daemon }

// Peer implements gateway.Chain.
func (c dealChain) Peer(ctx context.Context, id chain.MinerID) (chain.Peer, error) {
	m := new(chain.Miner)
	_, err := c.d.node.Record(ctx, chain.MinerKey(id), m)
	return m.Peer, err
}

// DealsOf implements gateway.Chain. No deal names a payload that shares a piece with
// others: for one that is in the miner's own pieces, its deals over them stand.
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
	own, err := sharing(c.d.records, root)
	if err != nil {
		return nil, err
	}
	ids := own
	for _, item := range page.Items {
		if !slices.Contains(own, item.ID) {
			ids = append(ids, item.ID)
		}
	}
	var out []*chain.Deal
	for i, id := range ids[:min(len(ids), limit)] {
		d := new(chain.Deal)
		ok, err := c.d.node.Record(ctx, chain.DealKey(id), d)
		if err != nil {
			return nil, err
		}
		if ok && (i < len(own) || d.PayloadRoot.Equals(root)) {
			out = append(out, d)
		}
	}
	return out, nil
}

// sharing are the miner's deals over pieces on disk that hold a payload among others.
func sharing(records shelves, root cid.Cid) ([]uint64, error) {
	pieces, err := records.PiecesWith(root)
	if err != nil {
		return nil, err
	}
	var out []uint64
	for _, piece := range pieces {
		of, err := records.DealsOfPiece(piece)
		if err != nil {
			return nil, err
		}
		for _, d := range of {
			if held(d.State) {
				out = append(out, d.ID)
			}
		}
	}
	return out, nil
}
