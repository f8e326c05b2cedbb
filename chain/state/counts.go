package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
)

// refs is the number of places where a block hangs in the newest tree, and
// the height at which it last fell to none.
type refs struct {
	count   uint32
	dropped chain.Height
}

const refsSize = 12

func (r refs) bytes() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, r.count), uint64(r.dropped))
}

// counts looks up the references of many blocks. Most of what it is asked for
// is not there. A Get would read the database's last level to find that out;
// an iterator may ask the filters of that level, too. Digests should come in
// their order: then the next one is never far.
type counts struct{ refs, nodes *pebble.Iterator }

// counts opens both iterators; the caller holds life and closes them.
func (s *Store) counts() (*counts, error) {
	open := func(prefix byte) (*pebble.Iterator, error) {
		return s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{prefix}, UpperBound: []byte{prefix + 1}, UseL6Filters: true})
	}
	r, err := open(prefixRefs)
	if err != nil {
		return nil, err
	}
	n, err := open(prefixNode)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &counts{r, n}, nil
}

func (c *counts) close() error { return errors.Join(c.refs.Close(), c.nodes.Close()) }

// of returns a block's references and whether it is stored at all, which the
// caller may know.
func (c *counts) of(d [32]byte, known bool) (stored bool, r refs, err error) {
	b, err := find(c.refs, digestKey(prefixRefs, d))
	switch {
	case err != nil:
		return false, r, err
	case b == nil && known:
		return true, refs{count: 1}, nil
	case b == nil:
		n, err := find(c.nodes, digestKey(prefixNode, d))
		if err != nil || n == nil {
			return false, r, err
		}
		return true, refs{count: 1}, nil
	case len(b) != refsSize:
		return false, r, fmt.Errorf("%d bytes, want %d", len(b), refsSize)
	}
	return true, refs{binary.BigEndian.Uint32(b), chain.Height(binary.BigEndian.Uint64(b[4:]))}, nil
}

// find returns a key's value, until the iterator moves, or nil.
func find(it *pebble.Iterator, key []byte) ([]byte, error) {
	if !it.SeekPrefixGE(key) || !bytes.Equal(it.Key(), key) {
		return nil, it.Error()
	}
	return it.ValueAndErr()
}
