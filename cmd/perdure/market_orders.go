package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval/p2p"
)

// bidOptions are the flags of market bid.
type bidOptions struct {
	piece, root, peer     string
	padded                size
	part, parts, duration uint64
	price, collateral     amount
	copies, life          uint64
	allow, deny, regions  []string
	public                bool
	renew, renewFor       uint64
	renewPrice            amount
}

// newMarketBid returns the command that places a bid for a piece.
func newMarketBid(g *globals) *cobra.Command {
	o := bidOptions{parts: 1, copies: 1}
	cmd := &cobra.Command{
		Use:   "bid --piece CID --padded-size SIZE --root CID --peer ID --duration BLOCKS --max-price PRICE",
		Short: "Place a bid for one piece that you serve yourself",
		Long: `Place a bid for one piece, by what is known of it: its CID and padded size, the root of
the payload in it, and the libp2p peer ID that will dial the miners and serve it.
perdure put does all of that for a file; this is for programs that make their own
pieces. The highest price and the no-show deposit of every copy are locked.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runMarketBid(cmd, g, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.piece, "piece", "", "piece CID (baga...)")
	f.Var(&o.padded, "padded-size", "padded size of the piece, a power of two")
	f.StringVar(&o.root, "root", "", "root CID of the payload")
	f.StringVar(&o.peer, "peer", "", "libp2p peer ID that serves the piece to the miners")
	f.Uint64Var(&o.part, "part", 0, "which part of the payload the piece is, from 0")
	f.Uint64Var(&o.parts, "parts", 1, "parts of the payload")
	f.Uint64Var(&o.duration, "duration", 0, "blocks that the piece is stored for")
	f.Var(&o.price, "max-price", "most attoPDR per GiB per block")
	f.Var(&o.collateral, "min-collateral", "least attoPDR per GiB that a miner stakes")
	f.Uint64Var(&o.copies, "copies", 1, "copies, each on another miner of another owner")
	f.Uint64Var(&o.life, "life", 0, "blocks until the bid expires (default a tenth of the longest)")
	f.Uint64Var(&o.renew, "renew", 0, "further terms of every copy that the chain bids for before the one before ends")
	f.Uint64Var(&o.renewFor, "renew-duration", 0, "blocks of each of them (default --duration)")
	f.Var(&o.renewPrice, "renew-price", "most attoPDR per GiB per block of them (default --max-price)")
	f.StringSliceVar(&o.allow, "allow", nil, "only these miners")
	f.StringSliceVar(&o.deny, "deny", nil, "none of these miners")
	f.StringSliceVar(&o.regions, "region", nil, "only miners that claim to be in one of these regions, like eu or eu-de")
	f.BoolVar(&o.public, "public", false, "anybody may fetch the piece; miners may serve it for nothing")
	require(cmd, "piece", "padded-size", "root", "peer", "duration", "max-price")
	return cmd
}

func runMarketBid(cmd *cobra.Command, g *globals, o bidOptions) error {
	terms, err := o.terms()
	if err != nil {
		return usage(err)
	}
	if terms.Expiry, err = expiry(cmd.Context(), g, o.life); err != nil {
		return err
	}
	return send(cmd, g, &chain.PlaceBid{Terms: *terms})
}

// terms returns what the flags say, but for the expiry.
func (o *bidOptions) terms() (*chain.BidTerms, error) {
	t := &chain.BidTerms{
		PaddedSize: uint64(o.padded), Part: o.part, Parts: o.parts, Duration: o.duration,
		MaxPrice: chain.Amount(o.price), Copies: o.copies, MinCollateral: chain.Amount(o.collateral),
		Regions: slices.Compact(slices.Sorted(slices.Values(o.regions))), Public: o.public,
	}
	for _, tag := range t.Regions {
		if err := chain.CheckRegion(tag); err != nil {
			return nil, fmt.Errorf("--region: %w", err)
		}
	}
	var err error
	if t.PieceCID, err = cid.Decode(o.piece); err != nil {
		return nil, fmt.Errorf("--piece: %w", err)
	}
	if t.PayloadRoot, err = cid.Decode(o.root); err != nil {
		return nil, fmt.Errorf("--root: %w", err)
	}
	peer, err := p2p.ParsePeer("/p2p/" + o.peer)
	if err != nil {
		return nil, fmt.Errorf("--peer: %w", err)
	}
	t.ClientPeer = peer.ID
	if o.renew > 0 {
		t.Renew = &chain.Renewal{Count: o.renew, Duration: cmp.Or(o.renewFor, o.duration), MaxPrice: cmp.Or(chain.Amount(o.renewPrice), t.MaxPrice)}
	}
	if t.Allow, err = parseMiners(o.allow); err != nil {
		return nil, fmt.Errorf("--allow: %w", err)
	}
	if t.Deny, err = parseMiners(o.deny); err != nil {
		return nil, fmt.Errorf("--deny: %w", err)
	}
	return t, nil
}

// parseMiners reads miners and sorts them, as orders list them.
func parseMiners(texts []string) ([]chain.MinerID, error) {
	var out []chain.MinerID
	for _, text := range texts {
		id, err := chain.ParseMiner(text)
		if err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// defaultLife is the part of the longest life that orders have by default.
const defaultLife = 10

// expiry is the last height of an order placed now that lives for so many blocks.
func expiry(ctx context.Context, g *globals, life uint64) (chain.Height, error) {
	node, err := g.dial()
	if err != nil {
		return 0, err
	}
	defer node.Close()
	p, err := node.Params(ctx)
	if err != nil {
		return 0, err
	}
	at, err := node.Global(ctx)
	if err != nil {
		return 0, err
	}
	if life == 0 {
		life = p.MaxOrderLife / defaultLife
	}
	return at.Height + chain.Height(life), nil
}

// askOptions are the flags of market ask.
type askOptions struct {
	miner                    string
	price, collateral        amount
	capacity                 size
	minPiece, maxPiece       size
	minDuration, maxDuration uint64
	life, refresh            uint64
	region                   string
	retrieval, unseal        amount
}

// newMarketAsk returns the command that places an ask.
func newMarketAsk(g *globals) *cobra.Command {
	o := askOptions{minPiece: 128}
	cmd := &cobra.Command{
		Use:   "ask --miner ID --price PRICE --capacity SIZE",
		Short: "Place an ask of a miner",
		Long: `Place an ask of a miner, with its worker's key (--from, in --home's keystore).
Collateral and no-show deposit for the whole capacity are locked from the miner's
balance, again each time that it refreshes itself: then the miner needs
them free, and the fee. To keep an offer standing in the book use perdure miner ask set.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runMarketAsk(cmd, g, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.miner, "miner", "", "the miner, like t01000")
	f.Var(&o.price, "price", "attoPDR per GiB per block")
	f.Var(&o.capacity, "capacity", "padded bytes offered")
	f.Var(&o.collateral, "collateral", "attoPDR per GiB staked")
	f.Var(&o.minPiece, "min-piece", "smallest piece")
	f.Var(&o.maxPiece, "max-piece", "largest piece (default the sector size, or the capacity if less)")
	f.Uint64Var(&o.minDuration, "min-duration", 0, "least blocks of a deal (default the network's)")
	f.Uint64Var(&o.maxDuration, "max-duration", 0, "most blocks of a deal (default the network's)")
	f.Uint64Var(&o.life, "life", 0, "blocks until the ask expires (default a tenth of the longest)")
	f.Uint64Var(&o.refresh, "refresh", 0, "how often the chain places it again, as it was, when it expires or is sold out")
	f.StringVar(&o.region, "region", "", "where the miner is, like eu-de: a claim that bids may select by")
	f.Var(&o.retrieval, "retrieval-price", "attoPDR per GiB fetched, announced to buyers; the miner charges what its own configuration says")
	f.Var(&o.unseal, "unseal-price", "attoPDR per GiB that must be unsealed to be fetched, announced like the retrieval price")
	require(cmd, "miner", "price", "capacity")
	return cmd
}

func runMarketAsk(cmd *cobra.Command, g *globals, o askOptions) error {
	id, err := chain.ParseMiner(o.miner)
	if err != nil {
		return usage(err)
	}
	node, err := g.dial()
	if err != nil {
		return err
	}
	defer node.Close()
	t := chain.AskTerms{
		Miner: id, Price: chain.Amount(o.price), Capacity: uint64(o.capacity), MinPiece: uint64(o.minPiece),
		MaxPiece: uint64(o.maxPiece), MinDuration: o.minDuration, MaxDuration: o.maxDuration, Collateral: chain.Amount(o.collateral),
		Refresh: o.refresh, Region: o.region, RetrievalPrice: chain.Amount(o.retrieval), UnsealPrice: chain.Amount(o.unseal),
	}
	if err := completeAsk(cmd.Context(), node, &t); err != nil {
		return err
	}
	if t.Expiry, err = expiry(cmd.Context(), g, o.life); err != nil {
		return err
	}
	return send(cmd, g, &chain.PlaceAsk{Terms: t})
}

// completeAsk fills what the flags left open from the network and the miner.
func completeAsk(ctx context.Context, node dialled, t *chain.AskTerms) error {
	p, err := node.Params(ctx)
	if err != nil {
		return err
	}
	if t.MinDuration == 0 {
		t.MinDuration = p.MinDuration
	}
	if t.MaxDuration == 0 {
		t.MaxDuration = p.MaxDuration()
	}
	if t.MaxPiece != 0 {
		return nil
	}
	m := new(chain.Miner)
	ok, err := node.Record(ctx, chain.MinerKey(t.Miner), m)
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("the chain has no such miner")
	}
	sector, err := m.SealProof.SectorSize()
	t.MaxPiece = min(uint64(sector), t.Capacity)
	return err
}
