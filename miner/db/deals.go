package db

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/miner"
)

// storedDeal is a deal's record: the chain's noun in its own encoding inside.
type storedDeal struct {
	miner.Deal
	Chain []byte `json:"chain"`
}

func decodeDeal(raw []byte) (*miner.Deal, error) {
	var s storedDeal
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	deal := s.Deal
	return &deal, chain.Decode(s.Chain, &deal.Deal)
}

// putDeal writes a deal and its lookups. d.mu is held: what was there before is read.
func (d *DB) putDeal(w pebble.Writer, deal *miner.Deal) error {
	old, ok, err := d.get(key(tableDeal, deal.ID))
	if err != nil {
		return err
	}
	if ok {
		before, err := decodeDeal(old)
		if err != nil {
			return fmt.Errorf("read deal %d: %w", deal.ID, err)
		}
		for _, k := range dealLookups(before) {
			if err := w.Delete(k, nil); err != nil {
				return err
			}
		}
	}
	raw, err := chain.Encode(&deal.Deal)
	if err != nil {
		return fmt.Errorf("encode deal %d: %w", deal.ID, err)
	}
	for _, k := range dealLookups(deal) {
		if err := w.Set(k, nil, nil); err != nil {
			return err
		}
	}
	return put(w, key(tableDeal, deal.ID), storedDeal{Deal: *deal, Chain: raw})
}

// dealLookups are the keys by which a deal is found.
func dealLookups(deal *miner.Deal) [][]byte {
	out := [][]byte{withID(pieceKey(tablePiece, deal.Deal.PieceCID), deal.ID), withID(rootKey(deal.Deal.PayloadRoot, deal.Deal.Part), deal.ID)}
	if !deal.Swept {
		out = append(out, withID(stateKey(deal.State), deal.ID))
	}
	return out
}

func withID(prefix []byte, id uint64) []byte { return binary.BigEndian.AppendUint64(prefix, id) }

func stateKey(s miner.DealState) []byte { return append(append([]byte{tableState}, s...), 0) }

// pieceKey is a table's prefix for a CID. CIDs tell their own length, so that none is
// the beginning of another; the byte behind keeps the prefix from ending in 0xff.
func pieceKey(table byte, c cid.Cid) []byte { return append(append([]byte{table}, c.Bytes()...), 0) }

func rootKey(root cid.Cid, part uint64) []byte {
	return append(binary.BigEndian.AppendUint64(pieceKey(tableRoot, root), part), 0)
}

// PutDeal stores a deal.
func (d *DB) PutDeal(deal *miner.Deal) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := d.pebble.NewBatch()
	defer b.Close()
	err := d.putDeal(b, deal)
	if err == nil {
		err = b.Commit(pebble.Sync)
	}
	if err != nil {
		return fmt.Errorf("store deal %d: %w", deal.ID, err)
	}
	d.changes.Add(1)
	return nil
}

// DropDeal removes a deal.
func (d *DB) DropDeal(id uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	deal, err := d.Deal(id)
	if errors.Is(err, miner.ErrNoRecord) {
		return nil
	}
	if err != nil {
		return err
	}
	b := d.pebble.NewBatch()
	defer b.Close()
	for _, k := range append(dealLookups(deal), key(tableDeal, id)) {
		if err := b.Delete(k, nil); err != nil {
			return fmt.Errorf("drop deal %d: %w", id, err)
		}
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("drop deal %d: %w", id, err)
	}
	d.changes.Add(1)
	return nil
}

// Deal returns a deal, or miner.ErrNoRecord.
func (d *DB) Deal(id uint64) (*miner.Deal, error) {
	raw, ok, err := d.get(key(tableDeal, id))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("deal %d: %w", id, miner.ErrNoRecord)
	}
	return decodeDeal(raw)
}

// Deals returns all deals by ID.
func (d *DB) Deals() ([]*miner.Deal, error) {
	var out []*miner.Deal
	err := d.scan(tableDeal, func(raw []byte) error {
		deal, err := decodeDeal(raw)
		out = append(out, deal)
		return err
	})
	return out, err
}

// DealsIn returns the deals in a state by ID, without those that were swept.
func (d *DB) DealsIn(state miner.DealState) ([]*miner.Deal, error) { return d.found(stateKey(state)) }

// DealsOfPiece returns the deals over a piece by ID.
func (d *DB) DealsOfPiece(piece cid.Cid) ([]*miner.Deal, error) {
	return d.found(pieceKey(tablePiece, piece))
}

// DealsOfRoot returns the deals over a part of a payload by ID.
func (d *DB) DealsOfRoot(root cid.Cid, part uint64) ([]*miner.Deal, error) {
	return d.found(rootKey(root, part))
}

// found reads the deals whose IDs follow a prefix.
func (d *DB) found(prefix []byte) ([]*miner.Deal, error) {
	var out []*miner.Deal
	err := d.walk(prefix, func(rest, _ []byte) error {
		if len(rest) != 8 {
			return fmt.Errorf("lookup of %d bytes", len(rest))
		}
		deal, err := d.Deal(binary.BigEndian.Uint64(rest))
		if errors.Is(err, miner.ErrNoRecord) {
			return nil
		}
		out = append(out, deal)
		return err
	})
	return out, err
}

// SetContents implements miner.Records.
func (d *DB) SetContents(piece cid.Cid, roots []cid.Cid) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	old, err := d.contents(piece)
	if err != nil {
		return err
	}
	b := d.pebble.NewBatch()
	defer b.Close()
	for _, root := range old {
		if err := b.Delete(contentKey(root, piece), nil); err != nil {
			return err
		}
	}
	var list []byte
	for _, root := range roots {
		list = append(binary.AppendUvarint(list, uint64(root.ByteLen())), root.Bytes()...)
		if err := b.Set(contentKey(root, piece), nil, nil); err != nil {
			return err
		}
	}
	if len(roots) == 0 {
		err = b.Delete(pieceKey(tableContents, piece), nil)
	} else {
		err = b.Set(pieceKey(tableContents, piece), list, nil)
	}
	if err == nil {
		err = b.Commit(pebble.Sync)
	}
	if err != nil {
		return fmt.Errorf("store contents of piece %s: %w", piece, err)
	}
	d.changes.Add(1)
	return nil
}

func contentKey(root, piece cid.Cid) []byte {
	return append(pieceKey(tableContent, root), piece.Bytes()...)
}

// contents are the roots noted of a piece.
func (d *DB) contents(piece cid.Cid) ([]cid.Cid, error) {
	raw, _, err := d.get(pieceKey(tableContents, piece))
	if err != nil {
		return nil, err
	}
	var out []cid.Cid
	for len(raw) > 0 {
		n, used := binary.Uvarint(raw)
		if used <= 0 || n > uint64(len(raw)-used) {
			return nil, fmt.Errorf("contents of piece %s: a length is wrong", piece)
		}
		c, err := cid.Cast(raw[used : used+int(n)])
		if err != nil {
			return nil, fmt.Errorf("contents of piece %s: %w", piece, err)
		}
		out, raw = append(out, c), raw[used+int(n):]
	}
	return out, nil
}

// Contents calls each with the pieces that hold several payloads, and the roots in them.
func (d *DB) Contents(each func(piece cid.Cid, roots []cid.Cid) error) error {
	var pieces []cid.Cid
	err := d.walk([]byte{tableContents}, func(rest, _ []byte) error {
		c, err := cid.Cast(append([]byte{}, rest[:len(rest)-1]...))
		pieces = append(pieces, c)
		return err
	})
	for i := 0; i < len(pieces) && err == nil; i++ {
		var roots []cid.Cid
		if roots, err = d.contents(pieces[i]); err == nil {
			err = each(pieces[i], roots)
		}
	}
	return err
}

// PiecesWith returns the pieces that hold the payload among others.
func (d *DB) PiecesWith(root cid.Cid) ([]cid.Cid, error) {
	var out []cid.Cid
	err := d.walk(pieceKey(tableContent, root), func(rest, _ []byte) error {
		c, err := cid.Cast(append([]byte{}, rest...))
		out = append(out, c)
		return err
	})
	return out, err
}

// addLookups brings records of version 1 to version 2.
func (d *DB) addLookups() error {
	all, err := d.Deals()
	if err != nil {
		return err
	}
	b := d.pebble.NewBatch()
	defer b.Close()
	for _, deal := range all {
		if err := d.putDeal(b, deal); err != nil {
			return err
		}
	}
	if err := b.Set(keyVersion, binary.BigEndian.AppendUint64(nil, version), nil); err != nil {
		return err
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("bring miner records to version %d: %w", version, err)
	}
	return nil
}
