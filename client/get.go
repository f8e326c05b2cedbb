package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/client/pack"
	"github.com/perdure/perdure/retrieval/buyer"
)

// DefaultChunkPrice is the most attoPDR that a Get pays for a chunk of up to 256
// KiB unless told otherwise: ten times what miners ask by default.
var DefaultChunkPrice = chain.Atto(10_000_000_000_000)

// GetOptions says how to fetch. Zero values take the defaults.
type GetOptions struct {
	MaxPrice chain.Amount // attoPDR a chunk; zero: DefaultChunkPrice
	Budget   chain.Amount // most attoPDR altogether; zero: no bound
	Key      string       // opens private content that this home did not store
	To       io.Writer    // instead of a destination: a file's bytes, a directory's tar
	Progress func(Progress)
}

// Progress is how far a Get is.
type Progress struct {
	Bytes  uint64       // of blocks fetched now
	Chunks uint64       // fetched
	Paid   chain.Amount // attoPDR
}

// GetResult is what a Get did.
type GetResult struct {
	Root       cid.Cid
	Kind       pack.Kind
	Size       uint64 // of the content in bytes
	SHA256     [32]byte
	Bytes      uint64       // of blocks fetched now
	Chunks     uint64       // of them
	PaidChunks uint64       // chunks that cost something
	ChunkPrice chain.Amount // attoPDR; of the dearest seller that was paid
	Paid       chain.Amount // attoPDR
	Seconds    float64
	Sellers    []buyer.SellerStats
}

// Get fetches a payload and writes it to dest, or to GetOptions.To. It asks the
// chain who stores it, opens payment channels to those sellers as far as is
// needed, pays chunk by chunk, and drops a seller that is slow or lies for
// another. dest appears whole and checked or not at all; a Get that is stopped is
// taken up where it was by the next one.
func (c *Client) Get(ctx context.Context, root cid.Cid, dest string, o GetOptions) (*GetResult, error) {
	start := time.Now()
	if err := c.ready(ctx); err != nil {
		return nil, fmt.Errorf("get %s: %w", root, err)
	}
	r := &GetResult{Root: root}
	if err := c.get(ctx, r, dest, o); err != nil {
		return nil, fmt.Errorf("get %s: %w", root, err)
	}
	r.Seconds = time.Since(start).Seconds()
	return r, nil
}

func (c *Client) get(ctx context.Context, r *GetResult, dest string, o GetOptions) error {
	own, err := c.objectOf(ctx, r.Root)
	if err != nil {
		return err
	}
	if err := destinationFree(dest, own, o); err != nil {
		return err
	}
	parts, err := c.sellers(ctx, r.Root)
	if err != nil {
		return err
	}
	path := c.records.FetchPath(r.Root)
	lock, err := files.TakeLock(path + ".lock")
	if err != nil {
		return err
	}
	defer lock.Close()
	store, err := openStore(path, r.Root)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := c.fetch(ctx, r, parts, store, o); err != nil {
		return err
	}
	if err := restore(ctx, r, own, store, dest, o); err != nil {
		return err
	}
	return store.Remove()
}

// destinationFree refuses what restoring would refuse, before anything is paid.
func destinationFree(dest string, own *files.Object, o GetOptions) error {
	if o.To != nil {
		return nil
	}
	info, err := os.Lstat(dest)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		if own != nil && own.Kind == string(pack.KindDirectory) {
			return fmt.Errorf("%s: a file is in the way of a directory", dest)
		}
		return nil
	case own != nil && own.Kind == string(pack.KindFile):
		return fmt.Errorf("%s: a directory is in the way of a file", dest)
	}
	entries, err := os.ReadDir(dest)
	if err == nil && len(entries) > 0 {
		return fmt.Errorf("%s: a directory with content is in the way", dest)
	}
	return err
}

// objectOf returns the newest record of a payload, nil if it is a stranger's.
func (c *Client) objectOf(ctx context.Context, root cid.Cid) (*files.Object, error) {
	all, err := c.records.OfRoot(ctx, root.String())
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return all[len(all)-1], nil
}

// dealsOf returns the deals over a payload under which a miner holds its piece
// now: those the chain knows of and those in the records.
func (c *Client) dealsOf(ctx context.Context, root cid.Cid) ([]*chain.Deal, error) {
	ids, err := c.cfg.Directory.DealsOf(ctx, root.String())
	if err != nil {
		c.log.Warn("ask for deals by root; going on with those in the records", "root", root, "err", err)
	}
	all, err := c.records.OfRoot(ctx, root.String())
	if err != nil {
		return nil, err
	}
	shared := map[uint64]bool{} // deals over pieces that the payload shares with others
	for _, o := range all {
		for i := range o.Pieces {
			for _, d := range o.Pieces[i].Deals {
				ids = append(ids, d.ID)
				shared[d.ID] = o.In != 0
			}
		}
	}
	slices.Sort(ids)
	var out []*chain.Deal
	for _, id := range slices.Compact(ids) {
		d := new(chain.Deal)
		ok, err := c.cfg.Chain.Record(ctx, chain.DealKey(id), d)
		if err != nil {
			return nil, err
		}
		if ok && (d.PayloadRoot == root || shared[d.ID]) && (d.State == chain.DealActive || d.State == chain.DealAccepted) {
			out = append(out, d)
		}
	}
	return out, nil
}

// ErrNotStored is wrapped when no deal that is in force is over the payload.
var ErrNotStored = errors.New("no miner stores it now")

// sellers returns the pieces of a payload with who sells them. One payload may
// have been cut in several ways; a piece that claims to be a part and is not
// costs a question, since every block is checked.
func (c *Client) sellers(ctx context.Context, root cid.Cid) ([]buyer.Part, error) {
	found, err := c.dealsOf(ctx, root)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, ErrNotStored
	}
	slices.SortStableFunc(found, func(a, b *chain.Deal) int {
		if a.Parts != b.Parts {
			return int(a.Parts) - int(b.Parts)
		}
		return int(a.Part) - int(b.Part)
	})
	peers := map[chain.MinerID]chain.Peer{}
	var out []buyer.Part
	for _, d := range found {
		peer, known := peers[d.Miner]
		if !known {
			var miner chain.Miner
			if _, err := c.cfg.Chain.Record(ctx, chain.MinerKey(d.Miner), &miner); err != nil {
				return nil, err
			}
			peer = miner.Peer
			peers[d.Miner] = peer
		}
		at := slices.IndexFunc(out, func(p buyer.Part) bool { return p.Piece.Equals(d.PieceCID) })
		if at < 0 {
			part := buyer.Part{Piece: d.PieceCID}
			if d.PayloadRoot != root {
				part.Segment = root
			}
			out = append(out, part)
			at = len(out) - 1
		}
		if !slices.ContainsFunc(out[at].Sellers, func(p chain.Peer) bool { return string(p.ID) == string(peer.ID) }) {
			out[at].Sellers = append(out[at].Sellers, peer)
		}
	}
	return out, nil
}

// fetch gets what the store lacks.
func (c *Client) fetch(ctx context.Context, r *GetResult, parts []buyer.Part, store *store, o GetOptions) error {
	b, done, err := c.buyer(ctx)
	if err != nil {
		return err
	}
	defer done()
	req := buyer.Request{Root: r.Root, Parts: parts, From: store.archive.Blocks(), Have: store.get, Sink: store.archive,
		MaxPrice: o.MaxPrice, Budget: o.Budget}
	if req.MaxPrice.IsZero() {
		req.MaxPrice = DefaultChunkPrice
	}
	if o.Progress != nil {
		req.Progress = func(s buyer.Stats) { o.Progress(Progress{s.Bytes, s.Chunks, s.Spent}) }
	}
	stats, err := b.Fetch(ctx, req)
	r.Bytes, r.Chunks, r.PaidChunks, r.Paid, r.Sellers = stats.Bytes, stats.Chunks, stats.Paid, stats.Spent, stats.Sellers
	for _, s := range stats.Sellers {
		if s.Paid > 0 && r.ChunkPrice.Less(s.Price) {
			r.ChunkPrice = s.Price
		}
	}
	return err
}

// restore writes the content from the store.
func restore(ctx context.Context, r *GetResult, own *files.Object, store *store, dest string, o GetOptions) error {
	opts := pack.RestoreOptions{Root: r.Root, Key: o.Key}
	if own != nil {
		opts.Kind, opts.Mode = pack.Kind(own.Kind), fs.FileMode(own.Mode)
		if own.Key != "" {
			opts.Key = own.Key
		}
		if len(own.SHA256) == 32 {
			sum := [32]byte(own.SHA256)
			opts.SHA256 = &sum
		}
	}
	var got *pack.Restored
	var err error
	if o.To != nil {
		got, err = pack.RestoreTo(ctx, store.get, o.To, opts)
	} else {
		got, err = pack.Restore(ctx, store.get, dest, opts)
	}
	if err != nil {
		return err
	}
	r.Kind, r.Size, r.SHA256 = got.Kind, got.Size, got.SHA256
	return nil
}

// buyer makes a buyer that pays from this home's channels. done lets go of the
// payment ledger.
func (c *Client) buyer(ctx context.Context) (*buyer.Buyer, func(), error) {
	p, err := c.cfg.Chain.Params(ctx)
	if err != nil {
		return nil, nil, err
	}
	book, err := c.ledger.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	done := func() {
		if err := c.ledger.close(); err != nil {
			c.log.Error("close payment ledger", "err", err)
		}
	}
	cfg := c.cfg.Buyer
	cfg.ChainID, cfg.Dialer, cfg.Channels, cfg.Signer, cfg.Ledger = p.ChainID, c.cfg.Host, channels{c}, signer{c.cfg.Sender}, book
	b, err := buyer.New(cfg)
	if err != nil {
		done()
		return nil, nil, err
	}
	return b, done, nil
}

// store is the archive of a payload that is being fetched.
type store struct {
	file    *os.File
	archive *buyer.Archive
}

func openStore(path string, root cid.Cid) (*store, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open fetched blocks: %w", err)
	}
	a, err := buyer.OpenArchive(f, root)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &store{f, a}, nil
}

// get implements dag.Get.
func (s *store) get(_ context.Context, c cid.Cid) ([]byte, error) {
	x := s.archive.Index()
	at, ok := x.Find(c)
	if !ok {
		return nil, fmt.Errorf("block %s was not fetched", c)
	}
	return x.ReadBlock(s.file, at)
}

// Close keeps what there is for another try.
func (s *store) Close() error { return s.file.Close() }

// Remove deletes it: the content is restored.
func (s *store) Remove() error {
	if err := os.Remove(s.file.Name()); err != nil {
		return fmt.Errorf("remove fetched blocks: %w", err)
	}
	return nil
}
