package client

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/retrieval/buyer"
)

// Finder finds peers that may sell or give away content, such as the DHT or a
// delegated routing service. What it says is a hint: every block is checked.
type Finder interface {
	// FindProviders returns peers that are said to have what c is the root of, at
	// most limit.
	FindProviders(ctx context.Context, c cid.Cid, limit int) ([]chain.Peer, error)
}

// foundMost is how many peers a Finder is asked for.
const foundMost = 16

// ErrNotStored is wrapped when no deal that is in force is over the payload, and
// no Finder knows a peer that has it.
var ErrNotStored = errors.New("no miner stores it now")

// objectOf returns the newest record of a payload, nil if it is a stranger's.
func (c *Client) objectOf(ctx context.Context, root cid.Cid) (*files.Object, error) {
	all, err := c.records.OfRoot(ctx, root.String())
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return all[len(all)-1], nil
}

// maxClaims bounds how many deals are asked that only their miners say hold a payload.
const maxClaims = 16

// dealsOf returns the deals over a payload under which a miner holds its piece
// now: those the chain knows of, those in the records, and behind them a few whose
// miners say so. One that lies costs a question: it does not have the blocks.
func (c *Client) dealsOf(ctx context.Context, root cid.Cid) ([]*chain.Deal, error) {
	ids, claimed, err := c.cfg.Directory.DealsOf(ctx, root.String())
	if err != nil {
		c.log.Warn("ask for deals by root; going on with those in the records", "root", root, "err", err)
	}
	objects, err := c.records.OfRoot(ctx, root.String())
	if err != nil {
		return nil, err
	}
	shared := map[uint64]bool{} // deals over pieces that the payload shares with others
	for _, id := range claimed[:min(len(claimed), maxClaims)] {
		ids = append(ids, id)
		shared[id] = true
	}
	for _, o := range objects {
		if o.Imported {
			c.hinted(ctx, o)
		}
		for _, id := range recordedDeals(o.Pieces) {
			ids = append(ids, id)
			shared[id] = shared[id] || o.In != 0 || o.Imported
		}
	}
	return c.heldDeals(ctx, ids, func(d *chain.Deal) bool { return d.PayloadRoot == root || shared[d.ID] })
}

// recordedDeals are the IDs of the deals on record over pieces.
func recordedDeals(pieces []files.Piece) (ids []uint64) {
	for i := range pieces {
		for _, d := range pieces[i].Deals {
			ids = append(ids, d.ID)
		}
	}
	return ids
}

// heldDeals reads deals and returns those under which a miner holds a piece now.
func (c *Client) heldDeals(ctx context.Context, ids []uint64, which func(*chain.Deal) bool) ([]*chain.Deal, error) {
	slices.Sort(ids)
	var out []*chain.Deal
	for _, id := range slices.Compact(ids) {
		d := new(chain.Deal)
		ok, err := c.cfg.Chain.Record(ctx, chain.DealKey(id), d)
		if err != nil {
			return nil, err
		}
		if ok && which(d) && (d.State == chain.DealActive || d.State == chain.DealAccepted) {
			out = append(out, d)
		}
	}
	return out, nil
}

// sources are who may have a payload.
type sources struct {
	parts  []buyer.Part
	miners map[string]chain.MinerID // by binary peer ID
	deals  map[copyOf]uint64        // one over each copy
	asked  bool                     // the Finders were
}

func newSources() *sources {
	return &sources{miners: map[string]chain.MinerID{}, deals: map[copyOf]uint64{}}
}

// sellers returns the pieces of a payload with who sells them: by the chain and
// the records, else by the Finders. One payload may have been cut in several
// ways; a piece that claims to be a part and is not costs a question, since
// every block is checked.
func (c *Client) sellers(ctx context.Context, root cid.Cid) (*sources, error) {
	found, err := c.dealsOf(ctx, root)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(found, func(a, b *chain.Deal) int {
		if a.Parts != b.Parts {
			return int(a.Parts) - int(b.Parts)
		}
		return int(a.Part) - int(b.Part)
	})
	s := newSources()
	if err := c.addDeals(ctx, s, found, root); err != nil {
		return nil, err
	}
	if len(s.parts) == 0 && !c.find(ctx, s, root) {
		return nil, ErrNotStored
	}
	return s, nil
}

// addDeals adds the miners of deals as sellers of their pieces. root is the payload
// that is wanted, which a piece of another root holds among others; undefined: the
// whole pieces are.
func (c *Client) addDeals(ctx context.Context, s *sources, found []*chain.Deal, root cid.Cid) error {
	peers := map[chain.MinerID]chain.Peer{}
	for _, d := range found {
		peer, known := peers[d.Miner]
		if !known {
			var miner chain.Miner
			if _, err := c.cfg.Chain.Record(ctx, chain.MinerKey(d.Miner), &miner); err != nil {
				return err
			}
			peer = miner.Peer
			peers[d.Miner] = peer
			s.miners[string(peer.ID)] = d.Miner
		}
		s.deals[copyOf{d.Miner, d.PieceCID}] = d.ID
		at := slices.IndexFunc(s.parts, func(p buyer.Part) bool { return p.Piece.Equals(d.PieceCID) })
		if at < 0 {
			part := buyer.Part{Piece: d.PieceCID}
			if d.PayloadRoot != root {
				part.Segment = root
			}
			s.parts = append(s.parts, part)
			at = len(s.parts) - 1
		}
		if !slices.ContainsFunc(s.parts[at].Sellers, func(p chain.Peer) bool { return string(p.ID) == string(peer.ID) }) {
			s.parts[at].Sellers = append(s.parts[at].Sellers, peer)
		}
	}
	return nil
}

// find asks the Finders, once and at the same time, and reports whether they added a seller. They are
// asked for the payload by its root, since nobody knows its pieces.
func (c *Client) find(ctx context.Context, s *sources, root cid.Cid) bool {
	if s.asked {
		return false
	}
	s.asked = true
	found := make([][]chain.Peer, len(c.cfg.Finders))
	var asking sync.WaitGroup
	for i, f := range c.cfg.Finders {
		asking.Go(func() {
			var err error
			if found[i], err = f.FindProviders(ctx, root, foundMost); err != nil {
				c.log.Warn("look for sellers", "root", root, "err", err)
			}
		})
	}
	asking.Wait()
	part := buyer.Part{}
	for _, peers := range found {
		for _, p := range peers {
			if !slices.ContainsFunc(part.Sellers, func(k chain.Peer) bool { return string(k.ID) == string(p.ID) }) {
				part.Sellers = append(part.Sellers, p)
			}
		}
	}
	if len(part.Sellers) == 0 {
		return false
	}
	s.parts = append(s.parts, part)
	return true
}

// minerText is the miner that a peer is, as text; empty if it is not known as one.
func (s *sources) minerText(peer string, n chain.Network) string {
	id, ok := s.miners[peer]
	if !ok {
		return ""
	}
	return chain.FormatMiner(id, n)
}

// sellsPiece returns who holds a piece under a deal that the chain or this home knows
// of, and one of the deals.
func (c *Client) sellsPiece(ctx context.Context, piece cid.Cid) (*sources, *chain.Deal, error) {
	objects, err := c.records.OfPiece(ctx, piece.String())
	if err != nil {
		return nil, nil, err
	}
	ids, err := c.cfg.Directory.DealsOfPiece(ctx, piece.String())
	if err != nil {
		c.log.Warn("ask for deals by piece; going on with those in the records", "piece", piece, "err", err)
	}
	for _, o := range objects {
		ids = append(ids, recordedDeals(o.Pieces)...)
	}
	found, err := c.heldDeals(ctx, ids, func(d *chain.Deal) bool { return d.PieceCID == piece })
	if err != nil {
		return nil, nil, err
	}
	if len(found) == 0 {
		return nil, nil, ErrNotStored
	}
	s := newSources()
	return s, found[0], c.addDeals(ctx, s, found, cid.Undef)
}
