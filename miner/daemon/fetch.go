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

// fetcher gets pieces over the connections that clients make. It implements
// miner.Fetcher.
type fetcher struct {
	host  *p2p.Host
	buyer *buyer.Buyer
}

func newFetcher(host *p2p.Host, chainID string) (*fetcher, error) {
	b, err := buyer.New(buyer.Config{ChainID: chainID, Dialer: host})
	return &fetcher{host: host, buyer: b}, err
}

// Fetch implements miner.Fetcher: it writes the archive that the blocks make
// beside path, goes on where an earlier call was cut off, and moves it there
// when it is whole and durable.
func (f *fetcher) Fetch(ctx context.Context, d *chain.Deal, path string) error {
	if !f.host.Connected(string(d.ClientPeer)) {
		return miner.ErrNoClient
	}
	part := fmt.Sprintf("%s.%d.part", path, d.ID)
	out, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	archive, err := buyer.OpenArchive(out, d.PayloadRoot)
	if err != nil {
		return err
	}
	_, err = f.buyer.FetchPiece(ctx, buyer.PieceRequest{
		Peer: chain.Peer{ID: d.ClientPeer}, Piece: d.PieceCID, Root: d.PayloadRoot, Deal: d.ID,
		From: archive.Blocks(), Size: archive.Size(), MaxSize: piece.MaxPayload(d.PaddedSize), Sink: archive,
	})
	if err != nil {
		return err
	}
	if err := errors.Join(out.Sync(), out.Close()); err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		return err
	}
	return lifecycle.SyncDir(filepath.Dir(path))
}
