package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/car"
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
// beside path and moves it there when it is whole and durable.
func (f *fetcher) Fetch(ctx context.Context, d *chain.Deal, path string) error {
	if !f.host.Connected(string(d.ClientPeer)) {
		return miner.ErrNoClient
	}
	out, err := os.Create(fmt.Sprintf("%s.%d.part", path, d.ID))
	if err != nil {
		return err
	}
	defer os.Remove(out.Name()) // gone already if all went well
	defer out.Close()
	w, err := car.NewWriter(out, d.PayloadRoot)
	if err != nil {
		return err
	}
	_, err = f.buyer.FetchPiece(ctx, buyer.PieceRequest{
		Peer: chain.Peer{ID: d.ClientPeer}, Piece: d.PieceCID, Root: d.PayloadRoot, Deal: d.ID,
		MaxSize: piece.MaxPayload(d.PaddedSize),
		Sink:    buyer.SinkFunc(func(_ context.Context, c cid.Cid, data []byte) error { return w.Put(c, data) }),
	})
	if err != nil {
		return err
	}
	if err := errors.Join(out.Sync(), out.Close()); err != nil {
		return err
	}
	if err := os.Rename(out.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
