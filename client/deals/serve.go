package deals

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/seller"
)

// Seller serves the pieces in the spool to the miners whose deals entitle them,
// for nothing, and nobody else.
func (m *Market) Seller(chainID string) (*seller.Seller, error) {
	return seller.New(seller.Config{
		ChainID: chainID, Source: source{m.cfg.Records}, Grants: grants{m}, Log: m.log, Ended: m.served,
	})
}

// served tells of a miner that has a whole piece.
func (m *Market) served(r seller.Report) {
	if r.Err == nil && r.Deal != 0 {
		m.cfg.Event(Event{Stage: StageServed, Deal: r.Deal})
	}
}

// source gives the seller what is in the spool. It implements seller.Source.
type source struct{ records *files.Records }

// Find implements seller.Source: pieces are asked for by their CID alone.
func (source) Find(context.Context, cid.Cid, uint64) (seller.Content, error) {
	return seller.Content{}, seller.ErrNotFound
}

// Open implements seller.Source.
func (s source) Open(ctx context.Context, c seller.Content) (*car.Index, seller.Archive, error) {
	if c.Segment.Defined() { // what is sold is whole pieces, to the miners that are to hold them
		return nil, nil, seller.ErrNotFound
	}
	index, f, err := s.records.OpenPiece(ctx, c.Piece)
	switch {
	case errors.Is(err, files.ErrNotSpooled):
		return nil, nil, seller.ErrNotFound
	case err != nil:
		return nil, nil, fmt.Errorf("%w: %w", seller.ErrUnavailable, err)
	}
	return index, f, nil
}

// grants reads from the chain who may fetch. It implements seller.Grants.
type grants struct{ m *Market }

// Errors that a peer is told.
var (
	errNoDeal  = errors.New("no such deal of this client")
	errOther   = errors.New("it is for another piece or another miner")
	errOver    = errors.New("it is not waiting for its data")
	errUnknown = errors.New("the chain cannot be asked now")
)

// Granted implements seller.Grants: the deal is this client's, waits for its
// data, is for the piece, and its miner has the peer ID that asks.
func (g grants) Granted(ctx context.Context, peer string, deal uint64, piece cid.Cid) error {
	var d chain.Deal
	ok, err := g.m.cfg.Chain.Record(ctx, chain.DealKey(deal), &d)
	switch {
	case err != nil:
		g.m.log.Warn("read deal", "deal", deal, "err", err)
		return errUnknown
	case !ok || d.Client != g.m.cfg.Sender.Address() || string(d.ClientPeer) != g.m.cfg.Host.ID():
		return errNoDeal
	case !d.PieceCID.Equals(piece):
		return errOther
	case d.State != chain.DealMatched:
		return errOver
	}
	var miner chain.Miner
	ok, err = g.m.cfg.Chain.Record(ctx, chain.MinerKey(d.Miner), &miner)
	switch {
	case err != nil:
		g.m.log.Warn("read miner", "miner", chain.FormatMiner(d.Miner, chain.Testnet), "err", err)
		return errUnknown
	case !ok || string(miner.Peer.ID) != peer:
		return errOther
	}
	return nil
}
