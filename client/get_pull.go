package client

import (
	"context"
	"errors"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/client/fetch"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/car"
)

// blocksAtOnce is how many single blocks are asked for at one time. They share
// chunks where they are small.
const blocksAtOnce = 64

// hire begins a transfer from the sellers known now, which runs until its Close.
func (g *getting) hire() {
	r := buyer.TransferRequest{Root: g.r.Root, Parts: g.from.parts, MaxPrice: g.o.price(), Budget: g.budget}
	r.Whole, g.fresh = g.fresh, false
	r.Progress = func(s buyer.Stats) {
		sum := g.clerk.note(s)
		if g.o.Progress != nil {
			g.o.Progress(Progress{sum.Bytes, sum.Chunks, sum.Spent})
		}
	}
	g.transfer = g.buyer.NewTransfer(g.ctx, r)
}

// steadyChunks is after how many chunks a transfer that no seller goes on with is
// worth another try with the same sellers: sessions end, with their vouchers or a
// seller's restart, and new ones may do.
const steadyChunks = 64

// persist fetches, and begins another transfer when all sellers have left this one,
// if it brought something, or if a Finder knows others. Nothing else is being
// fetched meanwhile.
func (g *getting) persist(ctx context.Context, fetch func() error) error {
	for {
		before := g.transfer.Stats().Chunks
		err := fetch()
		if err == nil || !errors.Is(err, buyer.ErrNoSeller) || errors.Is(err, buyer.ErrBudget) || ctx.Err() != nil {
			return err
		}
		if g.transfer.Stats().Chunks-before < steadyChunks && !g.c.find(ctx, g.from, g.r.Root) {
			return err
		}
		g.clerk.over(g.transfer.Close())
		g.hire()
	}
}

// pullFile fetches length bytes from offset on of a file, or to its end, into its
// region of a store, as far as they are not there.
func (g *getting) pullFile(ctx context.Context, store *fetch.Store, root cid.Cid, offset, length uint64) error {
	region := store.Region(root)
	if root.Prefix().Codec == cid.Raw && g.store.Has(root) { // the file is its top block
		block, err := g.store.Get(ctx, root)
		if err == nil {
			err = region.Start(uint64(len(block)))
		}
		if err == nil {
			_, err = region.WriteAt(block, 0)
		}
		return err
	}
	return g.persist(ctx, func() error {
		_, err := g.transfer.File(ctx, buyer.File{Root: root, Offset: offset, Length: length, To: region,
			Start: region.Start, Has: region.Has, Nodes: store.Get, Node: store.Put})
		return g.plain(err)
	})
}

// pullBlock fetches one block into the store, if it is not there.
func (g *getting) pullBlock(ctx context.Context, c cid.Cid) error {
	if g.store.Has(c) {
		return nil
	}
	block, err := g.transfer.Get(ctx, c)
	if err != nil {
		return g.plain(err)
	}
	return g.store.Put(c, block)
}

// plain is an error without the name of what it is about, if that is the root or the
// target: whoever asked for these names them.
func (g *getting) plain(err error) error {
	if of, ok := err.(*buyer.FetchError); ok && (of.CID.Equals(g.r.Root) || of.CID.Equals(g.r.Target)) {
		return of.Err
	}
	return car.Unnamed(g.r.Root, car.Unnamed(g.r.Target, err))
}

// pullTree fetches a directory with all below it.
func (g *getting) pullTree(ctx context.Context, root cid.Cid) error {
	t, err := g.store.NewTree(ctx, root)
	if err != nil {
		return g.plain(err)
	}
	for {
		for _, file := range t.Files() {
			if err := g.pullFile(ctx, g.store, file, 0, 0); err != nil {
				return err
			}
		}
		if len(t.Need()) == 0 {
			return nil
		}
		if err := g.persist(ctx, func() error { return g.pullBlocks(ctx, t.Need()) }); err != nil {
			return err
		}
		if err := t.Advance(); err != nil {
			return err
		}
	}
}

// pullBlocks fetches blocks, many at a time.
func (g *getting) pullBlocks(ctx context.Context, need []cid.Cid) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	slots := make(chan struct{}, blocksAtOnce)
	errs := make(chan error, len(need))
	for _, c := range need {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			if err := g.pullBlock(ctx, c); err != nil {
				errs <- err
				cancel()
			}
		})
	}
	all.Wait()
	close(errs)
	var first error
	for err := range errs { // those that come of the cancel tell nothing
		if first == nil || errors.Is(first, context.Canceled) {
			first = err
		}
	}
	return first
}
