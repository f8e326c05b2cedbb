package gateway

import (
	"context"
	"fmt"
	"io"

	"github.com/ipfs/boxo/files"
	ipfs "github.com/ipfs/boxo/gateway"
	"github.com/ipfs/boxo/path"
)

// backend finds what requests ask for, and tells each request's walk what for.
type backend struct{ *ipfs.BlocksBackend }

func newBackend(s Source) (backend, error) {
	b, err := ipfs.NewBlocksBackend(offlineBlocks(s), ipfs.WithNameSystem(noNames{}))
	if err != nil {
		return backend{}, fmt.Errorf("make gateway: %w", err)
	}
	return backend{b}, nil
}

// Get implements ipfs.IPFSBackend.
func (b backend) Get(ctx context.Context, p path.ImmutablePath, ranges ...ipfs.ByteRange) (ipfs.ContentPathMetadata, *ipfs.GetResponse, error) {
	walkOf(ctx).turn(serving)
	return b.BlocksBackend.Get(ctx, p, ranges...)
}

// GetAll implements ipfs.IPFSBackend.
func (b backend) GetAll(ctx context.Context, p path.ImmutablePath) (ipfs.ContentPathMetadata, files.Node, error) {
	walkOf(ctx).turn(serving)
	return b.BlocksBackend.GetAll(ctx, p)
}

// GetCAR implements ipfs.IPFSBackend.
func (b backend) GetCAR(ctx context.Context, p path.ImmutablePath, params ipfs.CarParams) (ipfs.ContentPathMetadata, io.ReadCloser, error) {
	walkOf(ctx).turn(archiving)
	return b.BlocksBackend.GetCAR(ctx, p, params)
}
