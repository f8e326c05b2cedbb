package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/internal/lifecycle"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/p2p"
)

// fetcher gets pieces: from clients over the connections that they make, from
// other miners for pay. It implements miner.Fetcher and miner.Buyer.
type fetcher struct {
	host  *p2p.Host
	buyer *buyer.Buyer
}

func newFetcher(d *Daemon) (*fetcher, error) {
	b, err := buyer.New(buyer.Config{ChainID: d.params.ChainID, Dialer: d.host, Channels: d.channels, Signer: d.send, Ledger: d.ledger})
	return &fetcher{host: d.host, buyer: b}, err
}

// Fetch implements miner.Fetcher.
func (f *fetcher) Fetch(ctx context.Context, d *chain.Deal, path string) error {
	if !f.host.Connected(string(d.ClientPeer)) {
		return miner.ErrNoClient
	}
	r := buyer.PieceRequest{Peers: []chain.Peer{{ID: d.ClientPeer}}, Deal: d.ID}
	_, err := f.get(ctx, d, r, path)
	return err
}

// Buy implements miner.Buyer.
func (f *fetcher) Buy(ctx context.Context, d *chain.Deal, peers []chain.Peer, most chain.Amount, path string) (miner.Purchase, error) {
	st, err := f.get(ctx, d, buyer.PieceRequest{Peers: peers, Budget: most}, path)
	if errors.Is(err, buyer.ErrNoSeller) {
		err = fmt.Errorf("%w: %w", miner.ErrNoSeller, err)
	}
	return miner.Purchase{Spent: st.Spent, Blame: func() { f.buyer.Blame(st) }}, err
}

// get writes the archive that the blocks make beside path, goes on where an
// earlier call was cut off, and moves it there when it is whole and durable.
func (f *fetcher) get(ctx context.Context, d *chain.Deal, r buyer.PieceRequest, path string) (buyer.Stats, error) {
	part := fmt.Sprintf("%s.%d.part", path, d.ID)
	out, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return buyer.Stats{}, err
	}
	defer out.Close()
	archive, err := buyer.OpenArchive(out, d.PayloadRoot)
	if err != nil {
		return buyer.Stats{}, err
	}
	r.Piece, r.Root, r.Sink = d.PieceCID, d.PayloadRoot, archive
	r.From, r.Size, r.MaxSize = archive.Blocks(), archive.Size(), piece.MaxPayload(d.PaddedSize)
	if r.Deal == 0 && d.Parts == 1 {
		r.Have = archive.Get(out)
	}
	st, err := f.buyer.FetchPiece(ctx, r)
	if err != nil {
		return st, err
	}
	if err := errors.Join(out.Sync(), out.Close()); err != nil {
		return st, err
	}
	if err := os.Rename(part, path); err != nil {
		return st, err
	}
	return st, lifecycle.SyncDir(filepath.Dir(path))
}
