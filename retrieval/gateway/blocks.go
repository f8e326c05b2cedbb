package gateway

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/perdure/perdure/retrieval/car"
)

// Blockstore gives out a Source's free blocks, each checked against its CID, and
// those that a CID itself holds. Nothing can be put into it.
func Blockstore(s Source) blockstore.Blockstore { return blockstore.NewIdStore(freeBlocks{s}) }

// offlineBlocks finds blocks in the source and nowhere else, for walks within
// bounds.
func offlineBlocks(s Source) blockservice.BlockService {
	return blockservice.New(walkedBlocks{Blockstore(s)}, nil)
}

// walkedBlocks shows each block to the walk that reads it, those too that a CID
// itself holds.
type walkedBlocks struct{ blockstore.Blockstore }

// Get implements blockstore.Blockstore.
func (b walkedBlocks) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	block, err := b.Blockstore.Get(ctx, c)
	if err != nil {
		return nil, err
	}
	if w := walkOf(ctx); w != nil {
		if err := w.visit(c, block.RawData()); err != nil {
			return nil, err
		}
	}
	return block, nil
}

type freeBlocks struct{ source Source }

var errReadOnly = errors.New("the gateway's blocks are read only")

// Has implements blockstore.Blockstore.
func (b freeBlocks) Has(ctx context.Context, c cid.Cid) (bool, error) {
	_, err := b.source.BlockSize(ctx, c)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Get implements blockstore.Blockstore.
func (b freeBlocks) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	data, err := b.source.Block(ctx, c)
	if err != nil {
		return nil, b.failure(c, err)
	}
	if err := car.Verify(c, data); err != nil {
		return nil, fmt.Errorf("read block: %w", err)
	}
	return blocks.NewBlockWithCid(data, c)
}

// GetSize implements blockstore.Blockstore.
func (b freeBlocks) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	n, err := b.source.BlockSize(ctx, c)
	if err != nil {
		return 0, b.failure(c, err)
	}
	return n, nil
}

func (freeBlocks) failure(c cid.Cid, err error) error {
	if errors.Is(err, ErrNotFound) {
		return ipld.ErrNotFound{Cid: c}
	}
	return err
}

// DeleteBlock implements blockstore.Blockstore by refusing.
func (freeBlocks) DeleteBlock(context.Context, cid.Cid) error { return errReadOnly }

// Put implements blockstore.Blockstore by refusing.
func (freeBlocks) Put(context.Context, blocks.Block) error { return errReadOnly }

// PutMany implements blockstore.Blockstore by refusing.
func (freeBlocks) PutMany(context.Context, []blocks.Block) error { return errReadOnly }

// AllKeysChan implements blockstore.Blockstore by refusing: nobody lists them.
func (freeBlocks) AllKeysChan(context.Context) (<-chan cid.Cid, error) {
	return nil, errors.New("the gateway's blocks are not listed")
}
