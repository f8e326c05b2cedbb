package state

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
)

// Rollback makes the state of the height before the tip the newest one, so
// that the tip's block can be executed again. That height must be kept.
func (s *Store) Rollback() error {
	s.writer.Lock()
	defer s.writer.Unlock()
	tip := s.View()
	if tip == nil {
		return ErrNoGenesis
	}
	if tip.height == 0 {
		return errors.New("roll back: the tip is genesis")
	}
	if err := s.rollback(tip); err != nil {
		return fmt.Errorf("roll back height %d: %w", tip.height, err)
	}
	return nil
}

func (s *Store) rollback(tip *View) error {
	s.staged = nil
	before, err := s.At(tip.height - 1)
	if err != nil {
		return err
	}
	book, err := rebuild(before)
	if err != nil {
		return err
	}
	// Blocks that only the tip has fall to no place at its height, as if a
	// block of that height had dropped them: their journal deletes them later.
	d := &differ{blocks: s, delta: map[cid.Cid]int{}}
	if err := d.roots(tip.cid, before.cid, tip.root, before.root); err != nil {
		return err
	}
	if err := s.unwrite(tip.height, before, d.delta); err != nil {
		return err
	}
	s.recent.forget()
	s.recent.advance(nil, before.height)
	s.publish(&staged{height: before.height, cid: before.cid, root: before.root, book: book}, s.Oldest())
	return nil
}

// unwrite writes the state before a height over the state of that height.
func (s *Store) unwrite(h chain.Height, before *Tree, delta map[cid.Cid]int) error {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.db == nil {
		return ErrClosed
	}
	batch := s.db.NewBatch()
	err := s.forgetReceipts(batch, h)
	if err == nil {
		err = s.writeBlocks(batch, &staged{height: h, delta: delta})
	}
	if err != nil {
		return errors.Join(err, batch.Close())
	}
	remove(batch, heightKey(prefixRoot, h))
	remove(batch, heightKey(prefixUpdate, h))
	s.writeTip(batch, before.height, before.cid)
	if err := s.fatal.guard(func() error { return s.db.Apply(batch, pebble.Sync) }); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
