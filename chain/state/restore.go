package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/state/proof"
)

// ErrSnapshot is wrapped for bytes that are not the state of the app hash.
var ErrSnapshot = errors.New("not a snapshot of this state")

const (
	// restoreBatch is about how many bytes of blocks are written at once.
	restoreBatch = 8 << 20
	// maxSection bounds a block of a snapshot, with its CID: an Update is the
	// largest, and no block is known before all of it is there.
	maxSection = 256 << 20
)

// Restore is the state of an app hash on its way into an empty store. Every
// block is checked when it comes: it must be the one that the blocks before it
// name next, so bytes that lead elsewhere are refused at once. Until Finish
// the store has no state; a restore that broke off is wiped away by Abort, or
// when the store is opened again.
type Restore struct {
	store  *Store
	height chain.Height
	root   cid.Cid

	rest   []byte  // begins a section that is not complete
	headed bool    // the CAR's header was read
	params cid.Cid // block of the parameters, which comes next after the root
	todo   walk
	batch  staged // blocks that are not written yet
	size   int    // of them
	bare   []byte // the Update
	ended  bool
}

// Restore begins to fill the store with the state of a height and app hash.
// What the store held is gone.
func (s *Store) Restore(h chain.Height, appHash []byte) (*Restore, error) {
	root, err := proof.LinkOfAppHash(appHash)
	if err != nil {
		return nil, fmt.Errorf("restore height %d: %w", h, err)
	}
	s.writer.Lock()
	defer s.writer.Unlock()
	if err := s.clear(true); err != nil {
		return nil, fmt.Errorf("restore height %d: %w", h, err)
	}
	return &Restore{store: s, height: h, root: root, todo: from(root), batch: staged{height: h,
		blocks: map[cid.Cid][]byte{}, delta: map[cid.Cid]int{}}}, nil
}

// clear empties the store; with mark, it notes that what comes next is not
// whole before Finish.
func (s *Store) clear(mark bool) error {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.db == nil {
		return ErrClosed
	}
	batch := s.db.NewBatch()
	if err := batch.DeleteRange([]byte{0}, []byte{0xff}, nil); err != nil {
		return errors.Join(err, batch.Close())
	}
	if mark {
		set(batch, restoringKey, nil)
	}
	if err := s.fatal.guard(func() error { return s.db.Apply(batch, pebble.Sync) }); err != nil {
		return fmt.Errorf("empty the store: %w", err)
	}
	s.recent.forget()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tip, s.oldest, s.staged = nil, 0, nil
	return nil
}

// Write takes the next bytes of the CAR. An error that wraps ErrSnapshot is
// the bytes' fault. After any error the restore can only be aborted.
func (r *Restore) Write(car []byte) (int, error) {
	r.store.writer.Lock()
	defer r.store.writer.Unlock()
	r.rest = append(r.rest, car...)
	if err := r.sections(); err != nil {
		return 0, fmt.Errorf("restore height %d: %w", r.height, err)
	}
	return len(car), nil
}

// sections takes the complete sections of what has come.
func (r *Restore) sections() error {
	left := r.rest
	for {
		n, width := binary.Uvarint(left)
		if width < 0 || n > maxSection {
			return fmt.Errorf("%w: bad section length", ErrSnapshot)
		}
		if width == 0 || uint64(len(left)-width) < n {
			break
		}
		if err := r.section(left[:uint64(width)+n], left[width:uint64(width)+n]); err != nil {
			return err
		}
		left = left[uint64(width)+n:]
	}
	r.rest = append(r.rest[:0], left...)
	return nil
}

// section takes the header or a block; whole is it with its length.
func (r *Restore) section(whole, body []byte) error {
	if !r.headed {
		if !bytes.Equal(whole, proof.CARHeader(r.root)) {
			return fmt.Errorf("%w: another CAR header", ErrSnapshot)
		}
		r.headed = true
		return nil
	}
	next, more := r.todo.next()
	if !more {
		return fmt.Errorf("%w: it goes on after its last block", ErrSnapshot)
	}
	link, block := body[:min(len(body), proof.LinkSize)], body[min(len(body), proof.LinkSize):]
	if !bytes.Equal(link, next.link.Bytes()) || proof.LinkOf(block) != next.link {
		return fmt.Errorf("%w: a block is not %s, which comes next", ErrSnapshot, next.link)
	}
	block = bytes.Clone(block)
	err := r.todo.step(block)
	switch {
	case err != nil:
	case next.kind == kindRoot:
		err = r.checkRoot(block)
	case next.link == r.params:
		err = r.store.checkParams(block)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	if next.kind == kindUpdate {
		r.bare = block
		return nil
	}
	r.batch.blocks[next.link] = block
	r.batch.delta[next.link]++
	if r.size += len(block); r.size >= restoreBatch {
		return r.flush()
	}
	return nil
}

// checkRoot refuses a root that this store could not go on from.
func (r *Restore) checkRoot(block []byte) error {
	root := new(proof.Root)
	if err := chain.Decode(block, root); err != nil {
		return fmt.Errorf("decode root: %w", err)
	}
	g := new(chain.Global)
	if err := chain.Decode(root.Single, g); err != nil {
		return fmt.Errorf("decode global: %w", err)
	}
	if g.Height != r.height {
		return fmt.Errorf("state is of height %d, want %d", g.Height, r.height)
	}
	if root.Schema != proof.Schema {
		return fmt.Errorf("state schema %d, want %d", root.Schema, proof.Schema)
	}
	r.params = root.Params
	return nil
}

// flush writes the blocks that have come, unsynced: the last batch's sync covers all.
func (r *Restore) flush() error {
	s := r.store
	s.life.RLock()
	defer s.life.RUnlock()
	if s.db == nil {
		return ErrClosed
	}
	batch := s.db.NewBatch()
	if err := s.writeBlocks(batch, &r.batch); err != nil {
		return errors.Join(err, batch.Close())
	}
	if err := s.fatal.guard(func() error { return s.db.Apply(batch, pebble.NoSync) }); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	clear(r.batch.blocks)
	clear(r.batch.delta)
	r.size = 0
	return nil
}

// Finish checks that everything has come, rebuilds what is derived from the
// tree and makes it the store's state, durably.
func (r *Restore) Finish() error {
	r.store.writer.Lock()
	defer r.store.writer.Unlock()
	if err := r.finish(); err != nil {
		return fmt.Errorf("restore height %d: %w", r.height, err)
	}
	r.ended = true
	return nil
}

func (r *Restore) finish() error {
	if next, more := r.todo.next(); more || len(r.rest) > 0 {
		return fmt.Errorf("%w: it ends before block %s", ErrSnapshot, next.link)
	}
	u := new(consensus.Update)
	if err := chain.Decode(r.bare, u); err != nil {
		return fmt.Errorf("decode update: %w", err)
	}
	if err := r.flush(); err != nil {
		return err
	}
	tree, err := r.store.tree(r.height, r.root)
	if err != nil {
		return err
	}
	book, err := rebuild(tree)
	if err != nil {
		return err
	}
	return r.store.settle(&staged{height: r.height, update: u, raw: r.bare, cid: r.root, root: tree.root, book: book})
}

// settle writes the rest of a restored state and makes it the tip.
func (s *Store) settle(b *staged) error {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.db == nil {
		return ErrClosed
	}
	batch := s.db.NewBatch()
	s.writeTip(batch, b.height, b.cid)
	set(batch, heightKey(prefixUpdate, b.height), b.raw)
	remove(batch, restoringKey)
	if err := s.writeReceipts(batch, b); err != nil {
		return errors.Join(err, batch.Close())
	}
	if err := s.fatal.guard(func() error { return s.db.Apply(batch, pebble.Sync) }); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	s.recent.advance(nil, b.height)
	s.publish(b, b.height)
	return nil
}

// Abort wipes away what came so far. After Finish it does nothing.
func (r *Restore) Abort() error {
	r.store.writer.Lock()
	defer r.store.writer.Unlock()
	if r.ended {
		return nil
	}
	r.ended = true
	if err := r.store.clear(false); err != nil {
		return fmt.Errorf("abort restore of height %d: %w", r.height, err)
	}
	return nil
}
