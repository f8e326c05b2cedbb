package pack

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	mh "github.com/multiformats/go-multihash"
)

// spool keeps the blocks of one payload in a file, each once, until they are
// written out in their order. It is an ipld.DAGService for the code that builds
// directories.
type spool struct {
	file  *os.File
	dst   *bufio.Writer
	size  int64
	place map[spoolKey]extent
	buf   []byte
}

// spoolKey is the digest of a block; payload blocks differ in nothing else
// but the codec, which is the last byte.
type spoolKey [sha256.Size + 1]byte

type extent struct {
	offset int64
	length uint32
}

func newSpool(dir string) (*spool, error) {
	file, err := os.OpenFile(filepath.Join(dir, "blocks"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &spool{file: file, dst: bufio.NewWriterSize(file, 1<<20), place: map[spoolKey]extent{}}, nil
}

// remove closes and deletes the file.
func (s *spool) remove() error {
	return errors.Join(s.file.Close(), os.Remove(s.file.Name()))
}

func (s *spool) flush() error {
	if err := s.dst.Flush(); err != nil {
		return fmt.Errorf("keep blocks: %w", err)
	}
	return nil
}

func spoolKeyOf(c cid.Cid) spoolKey {
	var k spoolKey
	hash := c.Hash()
	copy(k[:], hash[len(hash)-sha256.Size:])
	k[sha256.Size] = byte(c.Prefix().Codec)
	return k
}

// leaf adds a raw block and returns its CID.
func (s *spool) leaf(data []byte) (cid.Cid, error) {
	sum := sha256.Sum256(data)
	c := cid.NewCidV1(cid.Raw, append(mh.Multihash{mh.SHA2_256, sha256.Size}, sum[:]...))
	return c, s.put(c, data)
}

// put adds a block unless it is there.
func (s *spool) put(c cid.Cid, data []byte) error {
	key := spoolKeyOf(c)
	if _, known := s.place[key]; known {
		return nil
	}
	if _, err := s.dst.Write(data); err != nil {
		return fmt.Errorf("keep block %s: %w", c, err)
	}
	s.place[key] = extent{s.size, uint32(len(data))}
	s.size += int64(len(data))
	return nil
}

// get is a dag.Get; it needs everything flushed.
func (s *spool) get(_ context.Context, c cid.Cid) ([]byte, error) {
	at, known := s.place[spoolKeyOf(c)]
	if !known {
		return nil, ipld.ErrNotFound{Cid: c}
	}
	if cap(s.buf) < int(at.length) {
		s.buf = make([]byte, at.length)
	}
	s.buf = s.buf[:at.length]
	if _, err := s.file.ReadAt(s.buf, at.offset); err != nil {
		return nil, fmt.Errorf("read kept block %s: %w", c, err)
	}
	return s.buf, nil
}

// Add keeps a node.
func (s *spool) Add(_ context.Context, node ipld.Node) error {
	if _, ok := node.(known); ok {
		return nil
	}
	return s.put(node.Cid(), node.RawData())
}

// AddMany keeps several nodes.
func (s *spool) AddMany(ctx context.Context, nodes []ipld.Node) error {
	for _, node := range nodes {
		if err := s.Add(ctx, node); err != nil {
			return err
		}
	}
	return nil
}

// Get reads a node back.
func (s *spool) Get(ctx context.Context, c cid.Cid) (ipld.Node, error) {
	if err := s.flush(); err != nil {
		return nil, err
	}
	data, err := s.get(ctx, c)
	if err != nil {
		return nil, err
	}
	data = append([]byte(nil), data...)
	if c.Prefix().Codec == cid.Raw {
		return merkledag.NewRawNodeWPrefix(data, c.Prefix())
	}
	node, err := merkledag.DecodeProtobuf(data)
	if err != nil {
		return nil, err
	}
	return node, node.SetCidBuilder(c.Prefix())
}

// GetMany reads several nodes back.
func (s *spool) GetMany(ctx context.Context, cids []cid.Cid) <-chan *ipld.NodeOption {
	out := make(chan *ipld.NodeOption, len(cids))
	defer close(out)
	for _, c := range cids {
		node, err := s.Get(ctx, c)
		out <- &ipld.NodeOption{Node: node, Err: err}
	}
	return out
}

// Remove keeps the block: one that nothing links to is never written out.
func (s *spool) Remove(context.Context, cid.Cid) error { return nil }

// RemoveMany keeps the blocks, as Remove does.
func (s *spool) RemoveMany(context.Context, []cid.Cid) error { return nil }

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
