package client

import (
	"context"
	"io"

	"github.com/perdure/perdure/client/pack"
)

// PutReader stores what src gives, to its end, as a file without a name. It is Put
// in all else; memory does not grow with the bytes.
func (c *Client) PutReader(ctx context.Context, src io.Reader, o PutOptions) (*PutResult, error) {
	o.from = src
	return c.Put(ctx, "-", o)
}

// pack packs the file or directory at a path, or what PutReader was given.
func (o *PutOptions) pack(ctx context.Context, path string, how pack.Options) (*pack.Packed, error) {
	if o.from != nil {
		return pack.PackReader(ctx, o.from, how)
	}
	return pack.Pack(ctx, path, how)
}
