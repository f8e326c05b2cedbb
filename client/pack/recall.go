package pack

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/perdure/perdure/retrieval/car"
)

// recall is a keeper for the files of a directory. It keeps nodes in memory, and of
// leaves where they stand in their files, which are read again when the blocks are
// written out in their order. It is an ipld.DAGService for the code that builds
// directories.
type recall struct {
	root   string // of the directory
	nodes  map[spoolKey][]byte
	leaves map[spoolKey]origin
	files  []string // paths below root
	at     uint64   // where the next leaf of the last file begins
	size   uint64   // bytes of all blocks

	open *os.File // the file that was read last
	of   uint32   // its number
	buf  []byte
}

// origin is where a leaf stands.
type origin struct {
	file   uint32
	length uint32
	offset uint64
}

func newRecall(root string) *recall {
	return &recall{root: root, nodes: map[spoolKey][]byte{}, leaves: map[spoolKey]origin{}}
}

// begin says that the next leaves are of another file.
func (r *recall) begin(path string) { r.files, r.at = append(r.files, path), 0 }

// leaf implements keeper.
func (r *recall) leaf(data []byte) (cid.Cid, error) {
	c := car.LeafCID(sha256.Sum256(data))
	key, length := spoolKeyOf(c), uint64(len(data))
	if _, known := r.leaves[key]; !known {
		r.leaves[key] = origin{uint32(len(r.files) - 1), uint32(length), r.at}
		r.size += length
	}
	r.at += length
	return c, nil
}

// node implements keeper.
func (r *recall) node(n ipld.Node, file uint64) (ref, error) {
	total, err := n.Size()
	if err != nil {
		return ref{}, fmt.Errorf("size of node %s: %w", n.Cid(), err)
	}
	r.keep(n)
	return ref{cid: n.Cid(), file: file, total: total}, nil
}

func (r *recall) keep(n ipld.Node) {
	key := spoolKeyOf(n.Cid())
	if _, known := r.nodes[key]; !known {
		r.nodes[key] = n.RawData()
		r.size += uint64(len(n.RawData()))
	}
}

// get is a dag.Get. Whoever asks checks what it gives: a file may have changed.
func (r *recall) get(_ context.Context, c cid.Cid) ([]byte, error) {
	key := spoolKeyOf(c)
	if data, ok := r.nodes[key]; ok {
		return data, nil
	}
	from, ok := r.leaves[key]
	if !ok {
		return nil, ipld.ErrNotFound{Cid: c}
	}
	if err := r.turnTo(from.file); err != nil {
		return nil, err
	}
	if cap(r.buf) < int(from.length) {
		r.buf = make([]byte, chunkSize)
	}
	r.buf = r.buf[:from.length]
	if n, err := r.open.ReadAt(r.buf, int64(from.offset)); n < len(r.buf) {
		return nil, fmt.Errorf("read %q again: %w: %w", r.open.Name(), ErrChanged, err)
	}
	return r.buf, nil
}

// turnTo opens a file unless it is open.
func (r *recall) turnTo(file uint32) (err error) {
	if r.open != nil && r.of == file {
		return nil
	}
	if err := r.close(); err != nil {
		return err
	}
	path := filepath.Join(r.root, filepath.FromSlash(r.files[file]))
	if r.open, err = os.Open(path); err != nil {
		return gone(path, err)
	}
	r.of = file
	return nil
}

// close lets go of the file that is open.
func (r *recall) close() error {
	if r.open == nil {
		return nil
	}
	file := r.open
	r.open = nil
	return file.Close()
}

// changed says of an error that blocks differ from what they were that a file changed.
func changed(err error) error {
	if errors.Is(err, car.ErrMismatch) {
		return fmt.Errorf("read again: %w: %w", ErrChanged, err)
	}
	return err
}

// Add keeps a node.
func (r *recall) Add(_ context.Context, n ipld.Node) error {
	if _, ok := n.(known); !ok {
		r.keep(n)
	}
	return nil
}

// AddMany keeps several nodes.
func (r *recall) AddMany(ctx context.Context, nodes []ipld.Node) error {
	for _, n := range nodes {
		if err := r.Add(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// Get gives a node back.
func (r *recall) Get(ctx context.Context, c cid.Cid) (ipld.Node, error) {
	data, err := r.get(ctx, c)
	if err != nil {
		return nil, err
	}
	if c.Prefix().Codec == cid.Raw {
		return merkledag.NewRawNodeWPrefix(append([]byte(nil), data...), c.Prefix())
	}
	n, err := merkledag.DecodeProtobuf(data)
	if err != nil {
		return nil, err
	}
	return n, n.SetCidBuilder(c.Prefix())
}

// GetMany gives several nodes back.
func (r *recall) GetMany(ctx context.Context, cids []cid.Cid) <-chan *ipld.NodeOption {
	out := make(chan *ipld.NodeOption, len(cids))
	defer close(out)
	for _, c := range cids {
		n, err := r.Get(ctx, c)
		out <- &ipld.NodeOption{Node: n, Err: err}
	}
	return out
}

// Remove keeps the block: one that nothing links to is never written out.
func (r *recall) Remove(context.Context, cid.Cid) error { return nil }

// RemoveMany keeps the blocks, as Remove does.
func (r *recall) RemoveMany(context.Context, []cid.Cid) error { return nil }

// known stands for a node whose block was kept before: all that a link to it
// needs.
type known struct {
	ipld.Node
	ref
}

// Cid names the node.
func (k known) Cid() cid.Cid { return k.cid }

// Size is the node and all below it, in bytes.
func (k known) Size() (uint64, error) { return k.total, nil }
