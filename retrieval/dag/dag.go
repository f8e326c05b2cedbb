// Package dag reads the graphs of blocks that Perdure stores: UnixFS files and
// directories of raw and dag-pb blocks, every block named by the sha2-256 CID
// of its bytes (https://specs.ipfs.tech/unixfs/).
//
// It is what the receiving side knows about content before it has any:
//
//   - Walker names the blocks of a payload in the one order in which they are
//     stored and sent: depth first, a node before its children, children in
//     the order of their links, each block once. It checks every block that
//     comes and says which CID must be next.
//   - Range names the blocks that a byte range of a file needs, level by level.
//   - File, List and Readlink read content through a Get.
//
// Nothing here trusts where blocks come from: each is hashed against the CID
// that asked for it. What a hostile author of a payload can do is bounded by
// MaxPending, MaxDepth and the limits of package car.
package dag

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/boxo/ipld/unixfs/pb"
	"github.com/ipfs/go-cid"
	dagpb "github.com/ipld/go-codec-dagpb"
	cidlink "github.com/ipld/go-ipld-prime/linking/cid"
	mh "github.com/multiformats/go-multihash"
	"google.golang.org/protobuf/proto"

	"github.com/perdure/perdure/retrieval/car"
)

const (
	// MaxPending is the most links that a Walker keeps open at one time.
	MaxPending = 1 << 20
	// MaxDepth is the most levels that a file or a sharded directory may have.
	// A balanced file of 2^64 bytes has nine.
	MaxDepth = 64
	// MaxShardWidth is the most links that one node of a sharded directory
	// may have.
	MaxShardWidth = 1024
)

var (
	// ErrMalformed is wrapped by every error about a block that hashes right
	// and yet is no node of the kind that its place calls for.
	ErrMalformed = errors.New("malformed node")
	// ErrUnsupported is wrapped when a CID has a codec or a hash other than
	// those of a payload.
	ErrUnsupported = errors.New("not a payload CID")
	// ErrTooLarge is wrapped when a graph exceeds MaxPending or MaxDepth.
	ErrTooLarge = errors.New("graph over the limit")
)

// Get returns the bytes of one block. The callers in this package check them.
// The slice must stay unchanged until the next call. An error says which block
// it is about.
type Get func(ctx context.Context, c cid.Cid) ([]byte, error)

// Kind is what a node is in UnixFS.
type Kind uint8

// The kinds of nodes. A shard is a part of a large directory.
const (
	KindFile Kind = iota + 1
	KindDirectory
	KindSymlink
	KindShard
)

// String returns the kind as one word.
func (k Kind) String() string {
	switch k {
	case KindFile:
		return "file"
	case KindDirectory:
		return "directory"
	case KindSymlink:
		return "symlink"
	case KindShard:
		return "shard"
	default:
		return fmt.Sprintf("kind(%d)", uint8(k))
	}
}

// Link is one link of a dag-pb node.
type Link struct {
	// Name is the entry's name in a directory, empty in a file. In a shard
	// the bucket, in hexadecimal digits, stands before it.
	Name string
	// CID names the child.
	CID cid.Cid
	// Size is what the author claims the child and all below it to have, in
	// bytes. Nothing checks it.
	Size uint64
}

// Node is one decoded block.
type Node struct {
	// Kind is what the node is.
	Kind Kind
	// Data is the content that the node itself holds: bytes of a file, the
	// target of a symlink, the bitmap of a shard. It shares the block's memory
	// where it can.
	Data []byte
	// Links are the children.
	Links []Link
	// Sizes are the file bytes below each link of a file, as many as Links.
	Sizes []uint64
	// FileSize is the number of bytes of the file from this node down: Data
	// and all Sizes together.
	FileSize uint64
	// width is the number of buckets of a shard.
	width uint64
}

// Width is the number of buckets of a shard, 0 for other nodes.
func (n *Node) Width() uint64 { return n.width }

// Check refuses a CID that a payload cannot have: only sha2-256 of full length,
// only raw and dag-pb. The error does not name it.
func Check(c cid.Cid) error {
	if !c.Defined() {
		return fmt.Errorf("undefined CID: %w", ErrUnsupported)
	}
	p := c.Prefix()
	if p.MhType != mh.SHA2_256 || p.MhLength != 32 {
		return fmt.Errorf("hash 0x%x of %d bytes: %w", p.MhType, p.MhLength, ErrUnsupported)
	}
	if p.Codec != cid.Raw && p.Codec != cid.DagProtobuf {
		return fmt.Errorf("codec 0x%x: %w", p.Codec, ErrUnsupported)
	}
	return nil
}

// verify checks the form of the CID, the size of the block and its hash.
func verify(c cid.Cid, block []byte) error {
	if err := Check(c); err != nil {
		return car.Named("block", c, err)
	}
	if len(block) > car.MaxBlockSize {
		return car.Named("block", c, fmt.Errorf("%d bytes: %w", len(block), car.ErrTooLarge))
	}
	return car.Verify(c, block)
}

// malformed is an error about a block that is no node of the kind that its place calls
// for, which the rest says.
func malformed(c cid.Cid, why string, args ...any) error {
	return car.Named("block", c, fmt.Errorf("%w: "+why, append([]any{ErrMalformed}, args...)...))
}

// Load gets the block of c, checks it and decodes it.
func Load(ctx context.Context, get Get, c cid.Cid) (*Node, error) {
	if err := Check(c); err != nil {
		return nil, car.Named("block", c, err)
	}
	block, err := get(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := verify(c, block); err != nil {
		return nil, err
	}
	return Decode(c, block)
}

// Decode decodes a block whose hash is right as a UnixFS node.
func Decode(c cid.Cid, block []byte) (*Node, error) {
	if c.Prefix().Codec == cid.Raw {
		return &Node{Kind: KindFile, Data: block, FileSize: uint64(len(block))}, nil
	}
	links, data, err := decodeProtobuf(c, block)
	if err != nil {
		return nil, err
	}
	var fs pb.Data
	if err := proto.Unmarshal(data, &fs); err != nil {
		return nil, malformed(c, "UnixFS data: %w", err)
	}
	node := &Node{Data: fs.GetData(), Links: links}
	if err := node.setKind(&fs); err != nil {
		return nil, malformed(c, "%w", err)
	}
	return node, nil
}

func (n *Node) setKind(fs *pb.Data) error {
	switch fs.GetType() {
	case pb.Data_File, pb.Data_Raw:
		n.Kind = KindFile
		return n.setSizes(fs)
	case pb.Data_Directory:
		n.Kind = KindDirectory
	case pb.Data_Symlink:
		n.Kind = KindSymlink
	case pb.Data_HAMTShard:
		n.Kind = KindShard
		n.width = fs.GetFanout()
		if n.width < 8 || n.width > MaxShardWidth || n.width&(n.width-1) != 0 {
			return fmt.Errorf("shard of %d buckets", n.width)
		}
	default:
		return fmt.Errorf("UnixFS type %d", fs.GetType())
	}
	return nil
}

// setSizes takes the sizes of a file node over and adds them up.
func (n *Node) setSizes(fs *pb.Data) error {
	n.Sizes = fs.GetBlocksizes()
	if len(n.Sizes) != len(n.Links) {
		return fmt.Errorf("%d links and %d sizes", len(n.Links), len(n.Sizes))
	}
	total := uint64(len(n.Data))
	for _, size := range n.Sizes {
		if total+size < total {
			return errors.New("sizes overflow")
		}
		total += size
	}
	if fs.Filesize != nil && fs.GetFilesize() != total || total > 1<<62 {
		return fmt.Errorf("file size %d claimed, its parts have %d", fs.GetFilesize(), total)
	}
	n.FileSize = total
	return nil
}

// Children returns the CIDs that a block links to, in the order of its links,
// whatever the node means.
func Children(c cid.Cid, block []byte) ([]cid.Cid, error) {
	if c.Prefix().Codec == cid.Raw {
		return nil, nil
	}
	links, _, err := decodeProtobuf(c, block)
	if err != nil {
		return nil, err
	}
	out := make([]cid.Cid, len(links))
	for i, l := range links {
		out[i] = l.CID
	}
	return out, nil
}

// decodeProtobuf takes a dag-pb block apart.
func decodeProtobuf(c cid.Cid, block []byte) (links []Link, data []byte, err error) {
	builder := dagpb.Type.PBNode.NewBuilder()
	if err := dagpb.DecodeBytes(builder, block); err != nil {
		return nil, nil, malformed(c, "%w", err)
	}
	node, ok := builder.Build().(dagpb.PBNode)
	if !ok {
		return nil, nil, malformed(c, "no dag-pb node")
	}
	links = make([]Link, 0, node.Links.Length())
	for it := node.Links.Iterator(); !it.Done(); {
		_, pbLink := it.Next()
		child, ok := pbLink.Hash.Link().(cidlink.Link)
		if !ok {
			return nil, nil, malformed(c, "link %d names no CID", len(links))
		}
		link := Link{CID: child.Cid}
		if pbLink.Name.Exists() {
			link.Name = pbLink.Name.Must().String()
		}
		if pbLink.Tsize.Exists() {
			link.Size = uint64(pbLink.Tsize.Must().Int())
		}
		links = append(links, link)
	}
	if node.Data.Exists() {
		data = node.Data.Must().Bytes()
	}
	return links, data, nil
}
