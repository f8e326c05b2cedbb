package dag

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/retrieval/car"
)

// File reads the bytes of a UnixFS file through a Get, checking every block
// against its CID and every size against what the parent says. It holds the
// nodes of one path, so its memory does not grow with the file. A File is for
// one goroutine at a time.
type File struct {
	ctx  context.Context
	get  Get
	root *Node
	at   *cursor
}

// OpenFile gets the root of a file. ctx serves all later reads.
func OpenFile(ctx context.Context, get Get, root cid.Cid) (*File, error) {
	node, err := Load(ctx, get, root)
	if err != nil {
		return nil, car.Named("open file", root, err)
	}
	if node.Kind != KindFile {
		return nil, car.Named("open file", root, fmt.Errorf("%w: it is a %s", ErrMalformed, node.Kind))
	}
	node.Data = bytes.Clone(node.Data) // it outlives later calls of get
	f := &File{ctx: ctx, get: get, root: node}
	f.at = f.cursor(0)
	return f, nil
}

// Size is the number of bytes of the file.
func (f *File) Size() uint64 { return f.root.FileSize }

// Read reads on from where the last Read ended.
func (f *File) Read(p []byte) (int, error) { return f.at.Read(p) }

// ReadAt reads len(p) bytes from off on, getting only the blocks that the range
// touches. It gives io.EOF when the file ends before.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("read file: negative offset")
	}
	n, err := io.ReadFull(f.cursor(uint64(off)), p)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}

// cursor is a reader from one offset to the end: the open nodes from the root
// down and the bytes of the last one not yet read.
type cursor struct {
	file *File
	open []openNode
	data []byte
	skip uint64
}

// openNode is a node of which the links before next were read.
type openNode struct {
	node *Node
	next int
}

func (f *File) cursor(off uint64) *cursor {
	c := &cursor{file: f, skip: off}
	if off < f.root.FileSize {
		c.enter(f.root)
	}
	return c
}

// enter opens a node, of which skip bytes are to be left out.
func (c *cursor) enter(n *Node) {
	cut := min(c.skip, uint64(len(n.Data)))
	c.skip -= cut
	c.data = n.Data[cut:]
	if len(n.Links) > 0 {
		c.open = append(c.open, openNode{node: n})
	}
}

// Read reads the next bytes of the file.
func (c *cursor) Read(p []byte) (int, error) {
	for len(c.data) == 0 {
		if len(p) == 0 {
			return 0, nil
		}
		if len(c.open) == 0 {
			return 0, io.EOF
		}
		if err := c.step(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.data)
	c.data = c.data[n:]
	return n, nil
}

// step opens the next child, or leaves it out when all of it is to be skipped.
func (c *cursor) step() error {
	top := &c.open[len(c.open)-1]
	if top.next == len(top.node.Links) {
		c.open = c.open[:len(c.open)-1]
		return nil
	}
	link, size := top.node.Links[top.next], top.node.Sizes[top.next]
	top.next++
	if size <= c.skip {
		c.skip -= size
		return nil
	}
	if err := c.file.ctx.Err(); err != nil {
		return err
	}
	child, err := Load(c.file.ctx, c.file.get, link.CID)
	if err != nil {
		return fmt.Errorf("read file: %w", err)
	}
	switch {
	case child.Kind != KindFile:
		return fmt.Errorf("read file: block %s: %w: a %s, not part of a file", link.CID, ErrMalformed, child.Kind)
	case child.FileSize != size:
		return fmt.Errorf("read file: block %s: %w: it has %d bytes, its parent says %d", link.CID, ErrMalformed, child.FileSize, size)
	case len(c.open) > MaxDepth:
		return fmt.Errorf("read file: block %s: %w: deeper than %d levels", link.CID, ErrTooLarge, MaxDepth)
	}
	c.enter(child)
	return nil
}
