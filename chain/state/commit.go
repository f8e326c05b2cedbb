package state

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/state/proof"
)

// pruneAtOnce bounds how many heights one commit prunes: one is the rule, more
// only after the retention was lowered.
const pruneAtOnce = 16

// commit writes a staged block in one synced batch and makes it the tip.
func (s *Store) commit(b *staged) error {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.db == nil {
		return ErrClosed
	}
	batch := s.db.NewBatch()
	oldest, err := s.fill(batch, b)
	if err != nil {
		return errors.Join(err, batch.Close())
	}
	if err := s.fatal.guard(func() error { return s.db.Apply(batch, pebble.Sync) }); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	s.recent.advance(b.update.Changes, b.height) // before anyone sees the new tip
	s.publish(b, oldest)
	return nil
}

// publish makes what was written the state that readers see.
func (s *Store) publish(b *staged, oldest chain.Height) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tip = &View{Tree: Tree{blocks: s, height: b.height, cid: b.cid, root: b.root}, store: s, book: b.book}
	s.oldest = oldest
	close(s.changed)
	s.changed = make(chan struct{})
}

// writeTip notes the newest height and its root.
func (s *Store) writeTip(batch *pebble.Batch, h chain.Height, root cid.Cid) {
	set(batch, heightKey(prefixRoot, h), root.Bytes())
	set(batch, tipKey, append(append([]byte{formatVersion}, heightKey(0, h)[1:]...), root.Bytes()...))
}

// fill puts all that a block changes into a batch and returns the oldest height
// that is kept after it.
func (s *Store) fill(batch *pebble.Batch, b *staged) (chain.Height, error) {
	if err := s.writeBlocks(batch, b); err != nil {
		return 0, err
	}
	s.writeTip(batch, b.height, b.cid)
	set(batch, heightKey(prefixUpdate, b.height), b.raw)
	if err := s.writeReceipts(batch, b); err != nil {
		return 0, err
	}
	return s.prune(batch, b)
}

// set and remove write into a batch, which fails only on misuse.
func set(b *pebble.Batch, k, v []byte) { _ = b.Set(k, v, nil) }
func remove(b *pebble.Batch, k []byte) { _ = b.Delete(k, nil) }

// writeBlocks writes new blocks and changed reference counts.
func (s *Store) writeBlocks(batch *pebble.Batch, b *staged) (err error) {
	changed := make([][32]byte, 0, len(b.delta))
	for c, delta := range b.delta {
		if delta == 0 {
			continue
		}
		d, err := proof.Digest(c)
		if err != nil {
			return fmt.Errorf("block %s: %w", c, err)
		}
		changed = append(changed, d)
	}
	slices.SortFunc(changed, func(x, y [32]byte) int { return bytes.Compare(x[:], y[:]) })
	in, err := s.counts()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.close()) }()
	for _, d := range changed {
		if err := s.writeBlock(batch, b, d, in); err != nil {
			return err
		}
	}
	return nil
}

// writeBlock writes what a block changes of one of the tree's blocks.
func (s *Store) writeBlock(batch *pebble.Batch, b *staged, d [32]byte, in *counts) error {
	c := proof.LinkOfDigest(d)
	delta := b.delta[c]
	stored, old, err := in.of(d, delta < 0)
	if err != nil {
		return fmt.Errorf("references of block %s: %w", c, err)
	}
	now := int64(old.count) + int64(delta)
	if now < 0 || now > 1<<31 {
		return fmt.Errorf("block %s would have %d references", c, now)
	}
	if !stored {
		raw, ok := b.blocks[c]
		if !ok {
			return fmt.Errorf("block %s: %w", c, proof.ErrNoBlock)
		}
		set(batch, digestKey(prefixNode, d), raw)
	}
	next := refs{count: uint32(now), dropped: old.dropped}
	if now == 0 {
		next.dropped = b.height
		set(batch, journalKey(b.height, d), nil)
	}
	if now == 1 && next.dropped == 0 {
		if stored {
			remove(batch, digestKey(prefixRefs, d))
		}
		return nil
	}
	set(batch, digestKey(prefixRefs, d), next.bytes())
	return nil
}

// prune deletes what falls out of the retention and returns the oldest height
// that stays.
func (s *Store) prune(batch *pebble.Batch, b *staged) (chain.Height, error) {
	oldest := s.Oldest()
	keep := chain.Height(s.keep.Load())
	for range pruneAtOnce {
		if oldest+keep >= b.height {
			break
		}
		if err := s.pruneHeight(batch, b, oldest); err != nil {
			return 0, fmt.Errorf("prune height %d: %w", oldest, err)
		}
		oldest++
	}
	return oldest, nil
}

// pruneHeight lets go of a height: its root, Update and receipts, and the
// blocks that the height after it dropped.
func (s *Store) pruneHeight(batch *pebble.Batch, b *staged, h chain.Height) (err error) {
	if err := s.forgetReceipts(batch, h); err != nil {
		return err
	}
	in, err := s.counts()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.close()) }()
	remove(batch, heightKey(prefixRoot, h))
	remove(batch, heightKey(prefixUpdate, h))
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: heightKey(prefixJournal, h+1), UpperBound: heightKey(prefixJournal, h+2)})
	if err != nil {
		return err
	}
	for it.First(); it.Valid(); it.Next() {
		var d [32]byte
		copy(d[:], it.Key()[9:])
		remove(batch, append([]byte{}, it.Key()...))
		_, r, err := in.of(d, true)
		if err != nil {
			return errors.Join(err, it.Close())
		}
		if r.count != 0 || r.dropped != h+1 || addedNow(b, d) {
			continue // in the newest tree again, or in a later journal
		}
		remove(batch, digestKey(prefixNode, d))
		remove(batch, digestKey(prefixRefs, d))
	}
	return errors.Join(it.Error(), it.Close())
}

// addedNow reports whether the block being committed puts a dropped block back.
func addedNow(b *staged, d [32]byte) bool {
	return b.delta[proof.LinkOfDigest(d)] > 0
}
