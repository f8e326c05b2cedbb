package state

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/state/proof"
)

// Export is the state of one height on its way into a snapshot. It reads the
// database as it was when it was opened, so that blocks may go on and heights
// may be pruned meanwhile. It must be closed: until then nothing that was
// deleted since gives its space back.
type Export struct {
	Height  chain.Height
	AppHash []byte

	store *Store
	root  cid.Cid
	snap  *pebble.Snapshot
}

// Export opens the state of a kept height for export.
func (s *Store) Export(h chain.Height) (*Export, error) {
	s.life.RLock()
	if s.db == nil {
		s.life.RUnlock()
		return nil, ErrClosed
	}
	e := &Export{Height: h, store: s, snap: s.db.NewSnapshot()}
	s.life.RUnlock()
	var err error
	if e.AppHash, err = e.get(heightKey(prefixRoot, h)); err == nil && e.AppHash == nil {
		err = ErrPruned
	}
	if err == nil {
		e.root, err = proof.LinkOfAppHash(e.AppHash)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("export state of height %d: %w", h, err), e.Close())
	}
	return e, nil
}

// Close ends the export.
func (e *Export) Close() error { return e.snap.Close() }

// exportBuffer is about how many bytes are written at once.
const exportBuffer = 1 << 18

// Write writes the state as a CAR: the tree unfolded, from the root down and
// from left to right, a block once for each place where it hangs. The first
// blocks are the root, the parameters and the Update that made this state, as
// its hash covers it. The same state gives the same bytes on every node.
func (e *Export) Write(ctx context.Context, to io.Writer) error {
	buffer := proof.CARHeader(e.root)
	for todo := from(e.root); ; {
		b, more := todo.next()
		if !more || len(buffer) >= exportBuffer {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("export state of height %d: %w", e.Height, err)
			}
			if _, err := to.Write(buffer); err != nil {
				return fmt.Errorf("export state of height %d: %w", e.Height, err)
			}
			buffer = buffer[:0]
		}
		if !more {
			return nil
		}
		block, err := e.block(b)
		if err == nil {
			err = todo.step(block)
		}
		if err != nil {
			return fmt.Errorf("export state of height %d: %w", e.Height, err)
		}
		buffer = proof.AppendSection(buffer, b.link, block)
	}
}

func (e *Export) block(b branch) ([]byte, error) {
	if b.kind == kindUpdate {
		return e.update(b.link)
	}
	d, err := proof.Digest(b.link)
	if err != nil {
		return nil, fmt.Errorf("block %s: %w", b.link, err)
	}
	block, err := e.get(digestKey(prefixNode, d))
	if err != nil {
		return nil, fmt.Errorf("read block %s: %w", b.link, err)
	}
	if block == nil {
		return nil, fmt.Errorf("block %s: %w", b.link, proof.ErrNoBlock)
	}
	return block, nil
}

// update is the Update of the height in the form that its hash covers.
func (e *Export) update(want cid.Cid) ([]byte, error) {
	raw, err := e.get(heightKey(prefixUpdate, e.Height))
	if err != nil {
		return nil, fmt.Errorf("read update: %w", err)
	}
	u := new(consensus.Update)
	if err := chain.Decode(raw, u); err != nil {
		return nil, fmt.Errorf("decode update: %w", err)
	}
	bare, err := chain.Encode(u.Bare())
	if err != nil {
		return nil, fmt.Errorf("encode update: %w", err)
	}
	if have := proof.LinkOf(bare); have != want {
		return nil, fmt.Errorf("update is %s, the root names %s", have, want)
	}
	return bare, nil
}

func (e *Export) get(key []byte) ([]byte, error) {
	e.store.life.RLock()
	defer e.store.life.RUnlock()
	if e.store.db == nil {
		return nil, ErrClosed
	}
	return valueOf(e.snap, key)
}

// ForEach calls f with every record of a table, in the tree's order.
func (e *Export) ForEach(table chain.Table, f func(id string, record []byte) error) error {
	blocks := exportedNodes{e}
	root, err := proof.ReadRoot(blocks, e.root)
	if err != nil {
		return err
	}
	return proof.ForEach(blocks, root, table, f)
}

// exportedNodes reads the nodes of an export.
type exportedNodes struct{ e *Export }

// Block implements proof.Blocks.
func (b exportedNodes) Block(c cid.Cid) ([]byte, error) { return b.e.block(branch{link: c}) }

// Update returns the encoded Update of a height, as Store.Update did when the
// export was opened.
func (e *Export) Update(h chain.Height) ([]byte, error) {
	return e.past(prefixUpdate, h, "update")
}

// AppHashAt returns the app hash of a height, as Store.AppHashAt did when the
// export was opened.
func (e *Export) AppHashAt(h chain.Height) ([]byte, error) {
	return e.past(prefixRoot, h, "app hash")
}

func (e *Export) past(prefix byte, h chain.Height, what string) ([]byte, error) {
	b, err := e.get(heightKey(prefix, h))
	if err == nil && b == nil {
		if err = ErrFuture; h < e.Height {
			err = ErrPruned
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of height %d: %w", what, h, err)
	}
	return b, nil
}
