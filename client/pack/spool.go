package pack

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/perdure/perdure/retrieval/car"
)

// spool is a keeper for a stream of which nobody knows how long it is: it keeps the
// blocks in a file, each once, until they are written out in their order.
type spool struct {
	file  *os.File
	dst   *bufio.Writer
	size  uint64
	place map[spoolKey]extent
	buf   []byte
}

// spoolKey is the digest of a block; payload blocks differ in nothing else
// but the codec, which is the last byte.
type spoolKey [sha256.Size + 1]byte

type extent struct {
	offset uint64
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

// leaf implements keeper.
func (s *spool) leaf(data []byte) (cid.Cid, error) {
	c := car.LeafCID(sha256.Sum256(data))
	return c, s.put(c, data)
}

// node implements keeper.
func (s *spool) node(n ipld.Node, file uint64) (ref, error) {
	total, err := n.Size()
	if err != nil {
		return ref{}, fmt.Errorf("size of node %s: %w", n.Cid(), err)
	}
	return ref{cid: n.Cid(), file: file, total: total}, s.put(n.Cid(), n.RawData())
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
	s.size += uint64(len(data))
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
	if _, err := s.file.ReadAt(s.buf, int64(at.offset)); err != nil {
		return nil, fmt.Errorf("read kept block %s: %w", c, err)
	}
	return s.buf, nil
}
