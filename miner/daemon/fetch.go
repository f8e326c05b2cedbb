package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/internal/lifecycle"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/disk"
	"github.com/perdure/perdure/miner/unsealing"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/p2p"
)

// fetcher gets pieces: from clients over the connections that they make, from
// other miners for pay. It implements miner.Fetcher and miner.Buyer.
type fetcher struct {
	host    *p2p.Host
	buyer   *buyer.Buyer
	disk    *disk.Disk
	records miner.Records
	sealed  *unsealing.Unsealing
}

func newFetcher(d *Daemon) (*fetcher, error) {
	b, err := buyer.New(buyer.Config{ChainID: d.params.ChainID, Dialer: d.host, Channels: d.channels, Signer: d.send, Ledger: d.ledger})
	return &fetcher{host: d.host, buyer: b, disk: d.disk, records: d.records, sealed: d.unsealing}, err
}

// Fetch implements miner.Fetcher.
func (f *fetcher) Fetch(ctx context.Context, d *chain.Deal, path string) error {
	if s, err := f.sealed.State(d.PieceCID); err != nil || s == unsealing.Sealed || s == unsealing.Ordered {
		if err == nil { // it is in a sector of another deal: nobody has to send it
			err = f.sealed.Order(d.PieceCID)
		}
		if err != nil {
			return err
		}
		return f.sealed.Await(ctx, d.PieceCID)
	}
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

// get brings the piece to path, in whatever form its sellers have it. It goes on
// where an earlier call was cut off.
func (f *fetcher) get(ctx context.Context, d *chain.Deal, r buyer.PieceRequest, path string) (buyer.Stats, error) {
	r.Piece, r.Root, r.MaxSize = d.PieceCID, d.PayloadRoot, piece.MaxPayload(d.PaddedSize)
	part := fmt.Sprintf("%s.%d.part", path, d.ID)
	if _, err := os.Stat(sumsOf(part)); err == nil {
		return f.getFlat(ctx, d, r, part, path)
	}
	st, err := f.getArchive(ctx, d, r, part, path)
	var form *buyer.FormError
	if errors.As(err, &form) && form.Form == retrieval.FormFlat {
		return f.getFlat(ctx, d, r, part, path)
	}
	return st, err
}

// getArchive writes the archive that the blocks make to part, and moves it to path
// when it is whole and durable.
func (f *fetcher) getArchive(ctx context.Context, d *chain.Deal, r buyer.PieceRequest, part, path string) (buyer.Stats, error) {
	out, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return buyer.Stats{}, err
	}
	defer out.Close()
	archive, err := buyer.OpenArchive(out, d.PayloadRoot)
	if err != nil {
		return buyer.Stats{}, err
	}
	r.Sink, r.From, r.Size = archive, archive.Blocks(), archive.Size()
	if r.Deal == 0 && d.Parts == 1 {
		r.Have = archive.Get(out)
	}
	st, err := f.buyer.FetchPiece(ctx, r)
	if err != nil {
		return st, err
	}
	return st, arrived(out, part, path)
}

// sumsOf is where the digests of a flat piece are kept while it is fetched.
func sumsOf(part string) string { return strings.TrimSuffix(part, ".part") + ".sums.part" }

// getFlat does so for a piece that comes as the leaves of its own bytes, and notes
// which payloads it holds.
func (f *fetcher) getFlat(ctx context.Context, d *chain.Deal, r buyer.PieceRequest, part, path string) (buyer.Stats, error) {
	out, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return buyer.Stats{}, err
	}
	defer out.Close()
	sums, err := os.OpenFile(sumsOf(part), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return buyer.Stats{}, err
	}
	defer sums.Close()
	flat, err := buyer.OpenFlat(out, sums)
	if err != nil {
		return buyer.Stats{}, err
	}
	r.Form, r.Sink, r.From, r.Size = retrieval.FormFlat, flat, flat.Blocks(), flat.Size()
	st, err := f.buyer.FetchPiece(ctx, r)
	var form *buyer.FormError
	if errors.As(err, &form) { // what is here is of another form: begin anew
		return st, errors.Join(err, os.Remove(part), os.Remove(sumsOf(part)))
	}
	if err != nil {
		return st, err
	}
	if err := f.describe(d, flat, out); err != nil {
		return st, err
	}
	if err := arrived(out, part, path); err != nil {
		return st, err
	}
	return st, os.Remove(sumsOf(part))
}

// describe keeps the index of a flat piece beside it, and which payloads it holds. A
// piece that turns out to be another is dropped with all that.
func (f *fetcher) describe(d *chain.Deal, flat *buyer.Flat, piece *os.File) error {
	index, err := flat.Index(d.PayloadRoot)
	if err != nil {
		return err
	}
	if err := writeIndex(f.disk.PieceIndex(d.PieceCID), index); err != nil {
		return err
	}
	if err := os.Remove(f.disk.PieceContents(d.PieceCID)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err // of another try
	}
	all, err := readContents(f.disk, d.PieceCID, piece)
	if err != nil {
		return err
	}
	roots := make([]cid.Cid, len(all))
	for i, x := range all {
		roots[i] = x.Root()
	}
	return f.records.SetContents(d.PieceCID, roots)
}

// arrived makes a fetched file durable and moves it to its place.
func arrived(out *os.File, part, path string) error {
	if err := errors.Join(out.Sync(), out.Close()); err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		return err
	}
	return lifecycle.SyncDir(filepath.Dir(path))
}
