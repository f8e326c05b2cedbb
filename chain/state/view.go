package state

import (
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/orderbook"
	"github.com/perdure/perdure/chain/state/proof"
)

// Tree is the state of one height. It never changes; it can be read for as
// long as its height is kept.
type Tree struct {
	blocks proof.Blocks
	height chain.Height
	cid    cid.Cid
	root   *proof.Root
}

// Height is the height of the block that made this state; 0 is genesis.
func (t *Tree) Height() chain.Height { return t.height }

// AppHash is the root's CID: 36 bytes, in the header of the next height.
func (t *Tree) AppHash() []byte { return t.cid.Bytes() }

// UpdateHash is the consensus.Update.Hash of the Update that made this state.
func (t *Tree) UpdateHash() [32]byte { return t.root.UpdateHash }

// Record returns the canonical encoding of a key's record, or nil if there is none.
func (t *Tree) Record(k chain.Key) ([]byte, error) {
	b, err := proof.Find(t.blocks, t.root, k)
	if err != nil {
		return nil, fmt.Errorf("state of height %d: %w", t.height, err)
	}
	return slices.Clone(b), nil
}

// ForEach calls f with every record of a table, in the tree's order.
func (t *Tree) ForEach(table chain.Table, f func(id string, record []byte) error) error {
	return proof.ForEach(t.blocks, t.root, table, f)
}

// Proof returns the proof of a key's record or absence; see proof.Verify.
func (t *Tree) Proof(k chain.Key) ([]byte, error) {
	return proof.Make(t.blocks, t.AppHash(), k)
}

// Global returns the Global record.
func (t *Tree) Global() (*chain.Global, error) {
	g := new(chain.Global)
	if err := chain.Decode(t.root.Single, g); err != nil {
		return nil, fmt.Errorf("state of height %d: decode global: %w", t.height, err)
	}
	return g, nil
}

// ParamsLink is the link of the parameters in force after this state.
func (t *Tree) ParamsLink() cid.Cid { return t.root.Params }

// Params returns the parameters in force after this state: those of the next block.
func (t *Tree) Params() (*consensus.Params, error) {
	raw, err := t.blocks.Block(t.root.Params)
	if err != nil {
		return nil, fmt.Errorf("state of height %d: parameters: %w", t.height, err)
	}
	p := new(consensus.Params)
	if err := chain.Decode(raw, p); err != nil {
		return nil, fmt.Errorf("state of height %d: decode parameters: %w", t.height, err)
	}
	return p, nil
}

// View is the state of a height that was the tip when it was asked for, with
// its order book.
type View struct {
	Tree
	store *Store
	book  *orderbook.Book
	visit bool // it leaves the store's memory as it is
}

var _ consensus.View = (*View)(nil)

// Record returns the canonical encoding of a key's record, or nil if there is
// none. It is the caller's own copy.
func (v *View) Record(k chain.Key) ([]byte, error) {
	if v.visit {
		if b, known := v.store.recent.peek(k, v.height); known {
			return slices.Clone(b), nil
		}
		return v.Tree.Record(k)
	}
	if b, known := v.store.recent.find(k, v.height); known {
		return slices.Clone(b), nil
	}
	b, err := v.Tree.Record(k)
	if err == nil {
		v.store.recent.learn(k, slices.Clone(b), v.height)
	}
	return b, err
}

// Book returns the order book. It is immutable.
func (v *View) Book() *orderbook.Book { return v.book }
