package state

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// Update returns the encoded Update of a kept height: ErrPruned below, ErrFuture above.
func (s *Store) Update(h chain.Height) ([]byte, error) {
	if err := s.kept(h); err != nil {
		return nil, fmt.Errorf("read update: %w", err)
	}
	b, err := s.get(heightKey(prefixUpdate, h))
	if err != nil {
		return nil, fmt.Errorf("read update of height %d: %w", h, err)
	}
	if b == nil {
		return nil, fmt.Errorf("read update: height %d: %w", h, ErrPruned)
	}
	return b, nil
}

// AppHashAt returns the app hash of a kept height: ErrPruned below, ErrFuture above.
func (s *Store) AppHashAt(h chain.Height) ([]byte, error) {
	if err := s.kept(h); err != nil {
		return nil, fmt.Errorf("read app hash: %w", err)
	}
	b, err := s.get(heightKey(prefixRoot, h))
	if err != nil {
		return nil, fmt.Errorf("read app hash of height %d: %w", h, err)
	}
	if b == nil { // pruned between the check and the read
		return nil, fmt.Errorf("read app hash: height %d: %w", h, ErrPruned)
	}
	return b, nil
}

// Where is the place of a message in the chain.
type Where struct {
	Height chain.Height
	Index  uint32 // among the block's messages and its Update's Receipts
}

// receiptSize is height, index, and whether the message had an effect.
const receiptSize = 8 + 4 + 1

// Locate finds the receipt of a message in the kept heights. A message may
// stand in several blocks, but has an effect in one at most, which wins.
func (s *Store) Locate(hash chain.Hash) (Where, bool, error) {
	b, err := s.get(digestKey(prefixReceipt, hash))
	if err != nil {
		return Where{}, false, fmt.Errorf("read receipt %s: %w", hash, err)
	}
	at, ok := where(b)
	return at, ok, nil
}

func where(b []byte) (Where, bool) {
	if len(b) != receiptSize {
		return Where{}, false
	}
	return Where{chain.Height(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint32(b[8:])}, true
}

// writeReceipts notes where the block's messages stand.
func (s *Store) writeReceipts(batch *pebble.Batch, b *staged) error {
	written := map[chain.Hash]bool{}
	for i, r := range b.update.Receipts {
		effect := r.Code == uint64(consensus.CodeOK) || r.Code == uint64(consensus.CodeFailed)
		hash := chain.Hash(r.Hash)
		if !effect {
			old, err := s.read(digestKey(prefixReceipt, hash))
			if err != nil {
				return fmt.Errorf("read receipt %s: %w", hash, err)
			}
			if written[hash] || len(old) == receiptSize && old[receiptSize-1] == 1 {
				continue
			}
		}
		written[hash] = written[hash] || effect
		v := binary.BigEndian.AppendUint32(heightKey(0, b.height)[1:], uint32(i))
		if v = append(v, 0); effect {
			v[receiptSize-1] = 1
		}
		set(batch, digestKey(prefixReceipt, hash), v)
	}
	return nil
}

// forgetReceipts removes the places that point to a pruned height.
func (s *Store) forgetReceipts(batch *pebble.Batch, h chain.Height) error {
	raw, err := s.read(heightKey(prefixUpdate, h))
	if err != nil || raw == nil {
		return err
	}
	var u consensus.Update
	if err := chain.Decode(raw, &u); err != nil {
		return fmt.Errorf("decode update: %w", err)
	}
	for _, r := range u.Receipts {
		b, err := s.read(digestKey(prefixReceipt, r.Hash))
		if err != nil {
			return err
		}
		if at, ok := where(b); ok && at.Height == h {
			remove(batch, digestKey(prefixReceipt, r.Hash))
		}
	}
	return nil
}
