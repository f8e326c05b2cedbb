package client

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/internal/lifecycle"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/gateway"
)

// PublicOptions say what a client gives to ordinary IPFS clients.
type PublicOptions struct {
	HTTP       string               // host:port of a gateway; empty: none
	Subdomains []string             // host names below which each CID is an origin of its own
	Bitswap    bool                 // give free blocks to IPFS nodes that connect
	FreeAll    bool                 // give archives that were imported with a price for nothing, too
	Listening  func(address string) // hears the gateway's host:port; nil: nobody does
}

// ServePublic gives ordinary IPFS clients what this home has until ctx ends:
// archives imported by `perdure gateway import`, and what was put with
// PutOptions.Public, for as long as its pieces are here. Private content is never
// given out, not even encrypted.
func (c *Client) ServePublic(ctx context.Context, o PublicOptions) error {
	if err := c.servePublic(ctx, o); err != nil {
		return fmt.Errorf("serve IPFS clients: %w", err)
	}
	return nil
}

func (c *Client) servePublic(ctx context.Context, o PublicOptions) (err error) {
	store := gateway.OpenStore(gateway.StoreDir(c.cfg.Home), o.FreeAll)
	shelf := c.shelf()
	source := gateway.Union{store, shelf}
	handler, err := gateway.New(gateway.Config{Source: source, Subdomains: o.Subdomains, Log: c.log})
	if err != nil {
		return err
	}
	var parts lifecycle.Group
	parts.OnClose("archives", store.Close)
	parts.Add("archives", store.Run)
	parts.Add("pieces", shelf.Run)
	if o.Bitswap {
		host, ok := c.cfg.Host.(interface {
			ServeBitswap(blockstore.Blockstore) error
		})
		if !ok { // there is no host without a key
			return fmt.Errorf("bitswap: %w", ErrNoKey)
		}
		if err := host.ServeBitswap(gateway.Blockstore(source)); err != nil {
			return err
		}
	}
	if o.HTTP != "" {
		l, err := net.Listen("tcp", o.HTTP)
		if err != nil {
			return err
		}
		if o.Listening != nil {
			o.Listening(l.Addr().String())
		}
		parts.Add("gateway", func(ctx context.Context) error { return gateway.Serve(ctx, l, handler) })
	}
	return errors.Join(parts.Run(ctx), parts.Close())
}

// shelf is what was put with PutOptions.Public and is still here.
func (c *Client) shelf() *gateway.Shelf {
	cfg := gateway.ShelfConfig{
		Holdings: c.publicPieces,
		Open: func(ctx context.Context, piece cid.Cid) ([]*car.Index, gateway.Archive, error) {
			index, archive, err := c.records.OpenPiece(ctx, piece)
			return []*car.Index{index}, archive, err
		},
		Log: c.log,
	}
	if c.cfg.Chain != nil {
		cfg.Deals = gateway.NewDeals(dealChain{c})
	}
	return gateway.NewShelf(cfg)
}

// publicPieces lists the pieces that hold public content and nothing else.
func (c *Client) publicPieces(ctx context.Context) ([]gateway.Holding, error) {
	all, err := c.records.Objects(ctx)
	if err != nil {
		return nil, err
	}
	private := map[string]bool{}
	for _, o := range all {
		for _, p := range o.Pieces {
			private[p.CID] = private[p.CID] || o.Key != ""
		}
	}
	var out []gateway.Holding
	for _, o := range all {
		if o.Spool == "" {
			continue
		}
		root, err := o.RootCID()
		if err != nil {
			return nil, err
		}
		for _, p := range o.Pieces {
			piece, err := cid.Decode(p.CID)
			if err != nil {
				return nil, fmt.Errorf("record %d: piece: %w", o.Number, err)
			}
			if !private[p.CID] {
				out = append(out, gateway.Holding{Piece: piece, Root: root, Status: gateway.Status{State: gateway.Free}})
			}
		}
	}
	return out, nil
}

// dealChain is the chain as answers about providers need it.
type dealChain struct{ c *Client }

// DealsOf implements gateway.Chain.
func (d dealChain) DealsOf(ctx context.Context, root cid.Cid, limit int) ([]*chain.Deal, error) {
	ids, _, err := d.c.cfg.Directory.DealsOf(ctx, root.String())
	if err != nil {
		return nil, err
	}
	var out []*chain.Deal
	for _, id := range ids[:min(len(ids), limit)] {
		deal := new(chain.Deal)
		ok, err := d.c.cfg.Chain.Record(ctx, chain.DealKey(id), deal)
		if err != nil {
			return nil, err
		}
		if ok && deal.PayloadRoot.Equals(root) {
			out = append(out, deal)
		}
	}
	return out, nil
}

// Peer implements gateway.Chain.
func (d dealChain) Peer(ctx context.Context, id chain.MinerID) (chain.Peer, error) {
	var m chain.Miner
	_, err := d.c.cfg.Chain.Record(ctx, chain.MinerKey(id), &m)
	return m.Peer, err
}
