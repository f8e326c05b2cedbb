package pack

import (
	"context"
	"fmt"
	"io"
	"path"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	unixfsio "github.com/ipfs/boxo/ipld/unixfs/io"
)

const (
	// shardAbove is the sum of the lengths of names and CIDs, in bytes, above
	// which a directory is sharded.
	shardAbove = 256 << 10
	// shardWidth is the number of buckets of a shard.
	shardWidth = 256
)

// directorySink builds the UnixFS payload of a tree. Only the directories from
// the root to where the walk stands are in memory.
type directorySink struct {
	ctx    context.Context
	blocks *recall
	open   []unixfsio.Directory
	root   ref // set when the root is left
}

func (d *directorySink) enter(path string) error {
	dir, err := unixfsio.NewDirectory(d.blocks,
		unixfsio.WithCidBuilder(cidPrefix),
		unixfsio.WithMaxHAMTFanout(shardWidth),
		unixfsio.WithSizeEstimationMode(unixfsio.SizeEstimationLinks))
	if err != nil {
		return fmt.Errorf("build directory %q: %w", path, err)
	}
	dir.SetHAMTShardingSize(shardAbove)
	d.open = append(d.open, dir)
	return nil
}

func (d *directorySink) leave(path string) error {
	top := len(d.open) - 1
	node, err := d.open[top].GetNode()
	if err != nil {
		return fmt.Errorf("build directory %q: %w", path, err)
	}
	d.open = d.open[:top]
	r, err := d.blocks.node(node, 0)
	if err != nil {
		return fmt.Errorf("build directory %q: %w", path, err)
	}
	if top == 0 {
		d.root = r
		return nil
	}
	return d.add(path, r)
}

// add puts a finished node into the directory that is open.
func (d *directorySink) add(name string, r ref) error {
	if err := d.open[len(d.open)-1].AddChild(d.ctx, path.Base(name), known{ref: r}); err != nil {
		return fmt.Errorf("build directory: add %q: %w", name, err)
	}
	return nil
}

func (d *directorySink) file(path string, _ int64, _ bool) (io.WriteCloser, error) {
	d.blocks.begin(path)
	return &directoryFile{newFileBuilder(d.blocks), d, path}, nil
}

func (d *directorySink) symlink(path, target string) error {
	data, err := unixfs.SymlinkData(target)
	if err != nil {
		return fmt.Errorf("build symbolic link %q: %w", path, err)
	}
	node := merkledag.NodeWithData(data)
	if err := node.SetCidBuilder(cidPrefix); err != nil {
		return fmt.Errorf("build symbolic link %q: %w", path, err)
	}
	r, err := d.blocks.node(node, 0)
	if err != nil {
		return err
	}
	return d.add(path, r)
}

// directoryFile is a file that joins its directory when it is closed.
type directoryFile struct {
	*fileBuilder
	dir  *directorySink
	path string
}

func (f *directoryFile) Close() error {
	if err := f.fileBuilder.Close(); err != nil {
		return fmt.Errorf("build file %q: %w", f.path, err)
	}
	return f.dir.add(f.path, f.root)
}
