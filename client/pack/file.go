package pack

import (
	"fmt"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	mh "github.com/multiformats/go-multihash"
)

const (
	// chunkSize is the number of bytes of a leaf, "size-262144".
	chunkSize = 256 << 10
	// maxLinks is the number of children of a node in a file.
	maxLinks = 174
)

// cidPrefix makes the CIDs of nodes: CIDv1, dag-pb, sha2-256.
var cidPrefix = cid.Prefix{Version: 1, Codec: cid.DagProtobuf, MhType: mh.SHA2_256, MhLength: -1}

// ref is a finished node: what its parent must know.
type ref struct {
	cid   cid.Cid
	file  uint64 // bytes of the file below it
	total uint64 // bytes of the blocks below it and of itself
}

// keeper takes the blocks of a file as they are made: archive, recall, spool.
type keeper interface {
	// leaf takes the bytes of a raw block and returns its CID.
	leaf(data []byte) (cid.Cid, error)
	// node takes a node over file bytes of the file and says what its parent must know.
	node(n ipld.Node, file uint64) (ref, error)
}

// fileBuilder makes the balanced UnixFS file of the bytes written to it. Nodes
// are full from the left, all leaves lie equally deep, and a file of one leaf
// is that leaf.
type fileBuilder struct {
	blocks keeper
	chunk  []byte
	levels [][]ref // levels[0] holds leaves that have no parent yet
	root   ref     // set by Close
}

func newFileBuilder(blocks keeper) *fileBuilder {
	return &fileBuilder{blocks: blocks, levels: [][]ref{nil}}
}

// Write takes the next bytes of the file.
func (b *fileBuilder) Write(p []byte) (int, error) {
	taken := 0
	for taken < len(p) {
		if b.chunk == nil {
			b.chunk = make([]byte, 0, chunkSize)
		}
		n := min(len(p)-taken, chunkSize-len(b.chunk))
		b.chunk = append(b.chunk, p[taken:taken+n]...)
		taken += n
		if len(b.chunk) == chunkSize {
			if err := b.leaf(); err != nil {
				return taken, err
			}
		}
	}
	return taken, nil
}

// Close finishes the file; root is then set.
func (b *fileBuilder) Close() error {
	if len(b.chunk) > 0 || b.empty() {
		if err := b.leaf(); err != nil {
			return err
		}
	}
	b.chunk = nil
	for i := 0; ; i++ {
		if i == len(b.levels)-1 && len(b.levels[i]) == 1 {
			b.root = b.levels[i][0]
			return nil
		}
		if len(b.levels[i]) > 0 {
			if err := b.fold(i); err != nil {
				return err
			}
		}
	}
}

func (b *fileBuilder) empty() bool { return len(b.levels) == 1 && len(b.levels[0]) == 0 }

func (b *fileBuilder) leaf() error {
	c, err := b.blocks.leaf(b.chunk)
	if err != nil {
		return err
	}
	n := uint64(len(b.chunk))
	b.chunk = b.chunk[:0]
	return b.add(0, ref{cid: c, file: n, total: n})
}

// add puts a finished node on its level and folds the level when it is full.
func (b *fileBuilder) add(level int, r ref) error {
	if level == len(b.levels) {
		b.levels = append(b.levels, nil)
	}
	b.levels[level] = append(b.levels[level], r)
	if len(b.levels[level]) == maxLinks {
		return b.fold(level)
	}
	return nil
}

// fold makes one node of all on a level and puts it on the next.
func (b *fileBuilder) fold(level int) error {
	meta := unixfs.NewFSNode(unixfs.TFile)
	node := new(merkledag.ProtoNode)
	if err := node.SetCidBuilder(cidPrefix); err != nil {
		return fmt.Errorf("build file node: %w", err)
	}
	for _, r := range b.levels[level] {
		meta.AddBlockSize(r.file)
		if err := node.AddRawLink("", &ipld.Link{Cid: r.cid, Size: r.total}); err != nil {
			return fmt.Errorf("build file node: %w", err)
		}
	}
	b.levels[level] = b.levels[level][:0]
	data, err := meta.GetBytes()
	if err != nil {
		return fmt.Errorf("build file node: %w", err)
	}
	node.SetData(data)
	r, err := b.blocks.node(node, meta.FileSize())
	if err != nil {
		return err
	}
	return b.add(level+1, r)
}
