package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-amt-ipld/v4"
	"github.com/filecoin-project/go-hamt-ipld/v3"
	"github.com/ipfs/go-cid"
	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/orderbook"
	"github.com/perdure/perdure/chain/state/proof"
)

// staged is a block that is computed but not committed.
type staged struct {
	height chain.Height
	update *consensus.Update
	raw    []byte // the encoded Update
	cid    cid.Cid
	root   *proof.Root
	book   *orderbook.Book
	blocks map[cid.Cid][]byte // new blocks of the tree
	delta  map[cid.Cid]int    // change of places
}

// overlay is the IPLD store that a block's tree is written through: new
// blocks stay in memory, and so do old ones, which the differ reads again.
type overlay struct {
	under  proof.Blocks
	blocks map[cid.Cid][]byte // new
	read   map[cid.Cid][]byte // old
}

func newOverlay(under proof.Blocks) *overlay {
	return &overlay{under: under, blocks: map[cid.Cid][]byte{}, read: map[cid.Cid][]byte{}}
}

// Block implements proof.Blocks.
func (o *overlay) Block(c cid.Cid) ([]byte, error) {
	if b, ok := o.blocks[c]; ok {
		return b, nil
	}
	if b, ok := o.read[c]; ok {
		return b, nil
	}
	b, err := o.under.Block(c)
	if err == nil {
		o.read[c] = b
	}
	return b, err
}

// Get implements the tree libraries' IPLD store.
func (o *overlay) Get(_ context.Context, c cid.Cid, out any) error {
	b, err := o.Block(c)
	if err != nil {
		return err
	}
	v, ok := out.(cbg.CBORUnmarshaler)
	if !ok {
		return fmt.Errorf("decode block %s: %T is no CBOR noun", c, out)
	}
	if err := v.UnmarshalCBOR(bytes.NewReader(b)); err != nil {
		return fmt.Errorf("decode block %s: %w", c, err)
	}
	return nil
}

// Put implements the tree libraries' IPLD store.
func (o *overlay) Put(_ context.Context, v any) (cid.Cid, error) {
	m, ok := v.(cbg.CBORMarshaler)
	if !ok {
		return cid.Undef, fmt.Errorf("encode block: %T is no CBOR noun", v)
	}
	b, err := chain.Encode(m)
	if err != nil {
		return cid.Undef, fmt.Errorf("encode block: %w", err)
	}
	return o.put(b), nil
}

func (o *overlay) put(b []byte) cid.Cid {
	c := proof.LinkOf(b)
	o.blocks[c] = b
	return c
}

// Genesis makes the state of height 0 from its Update and commits it. On a
// store that already has state it only checks that it began the same way, as
// far as that can still be seen.
func (s *Store) Genesis(u *consensus.Update) (appHash []byte, err error) {
	s.writer.Lock()
	defer s.writer.Unlock()
	if u.Height != 0 {
		return nil, fmt.Errorf("genesis: update of height %d", u.Height)
	}
	b, err := s.stage(nil, u)
	if err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	if tip := s.View(); tip != nil {
		if tip.height != 0 || tip.cid != b.cid {
			return nil, fmt.Errorf("genesis: state is at height %d of another chain or past its start", tip.height)
		}
		return tip.AppHash(), nil
	}
	if err := s.commit(b); err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	return b.cid.Bytes(), nil
}

// Stage computes the state after an Update of the next height and returns its
// app hash. Nothing is written before Commit; a second Stage replaces the first.
func (s *Store) Stage(u *consensus.Update) (appHash []byte, err error) {
	s.writer.Lock()
	defer s.writer.Unlock()
	tip := s.View()
	if tip == nil {
		return nil, ErrNoGenesis
	}
	if u.Height != tip.height+1 {
		return nil, fmt.Errorf("stage height %d: the tip is %d", u.Height, tip.height)
	}
	s.staged = nil
	b, err := s.stage(tip, u)
	if err != nil {
		return nil, fmt.Errorf("stage height %d: %w", u.Height, err)
	}
	s.staged = b
	return b.cid.Bytes(), nil
}

// errNoStaged is returned by Commit without a Stage before it.
var errNoStaged = errors.New("commit: nothing is staged")

// Commit writes what is staged, synced. If it fails, what is on disk is either
// the old or the new state, and the store must be opened again.
func (s *Store) Commit() error {
	s.writer.Lock()
	defer s.writer.Unlock()
	b := s.staged
	if b == nil {
		return errNoStaged
	}
	s.staged = nil
	if err := s.commit(b); err != nil {
		return fmt.Errorf("commit height %d: %w", b.height, err)
	}
	return nil
}

// stage builds the tree of u over tip, which is nil for genesis.
func (s *Store) stage(tip *View, u *consensus.Update) (*staged, error) {
	raw, err := chain.Encode(u)
	if err != nil {
		return nil, fmt.Errorf("encode update: %w", err)
	}
	o := newOverlay(s)
	b := &staged{height: u.Height, update: u, raw: raw, blocks: o.blocks}
	var oldCID cid.Cid
	var old *proof.Root
	next := proof.Root{Schema: proof.Schema}
	if next.UpdateHash, err = u.Hash(); err != nil {
		return nil, fmt.Errorf("hash update: %w", err)
	}
	if tip != nil {
		oldCID, old = tip.cid, tip.root
		next.Single, next.Tables, next.Params = old.Single, old.Tables, old.Params
	} else {
		next.Params = o.put(s.paramsRaw)
	}
	for i := range u.Changes { // the root links to those in force
		if c := &u.Changes[i]; c.Key() == chain.ParamsKey() && c.Value != nil {
			next.Params = o.put(c.Value)
		}
	}
	if err := applyChanges(o, &next, u.Changes); err != nil {
		return nil, err
	}
	var g chain.Global
	if err := chain.Decode(next.Single, &g); err != nil {
		return nil, fmt.Errorf("decode global: %w", err)
	}
	next.RuleVersion = g.RuleVersion
	if b.cid, err = o.Put(context.Background(), &next); err != nil {
		return nil, err
	}
	b.root = &next
	d := &differ{blocks: o, delta: map[cid.Cid]int{}}
	if err := d.roots(oldCID, b.cid, old, b.root); err != nil {
		return nil, err
	}
	b.delta = d.delta
	if b.book, err = bookAfter(tip, u); err != nil {
		return nil, err
	}
	return b, nil
}

// applyChanges writes changes, which are ordered by table and key, into the
// tables of a root.
func applyChanges(o *overlay, r *proof.Root, changes []consensus.Change) error {
	for len(changes) > 0 {
		t := changes[0].Table
		n := 1
		for n < len(changes) && changes[n].Table == t {
			n++
		}
		for i := range changes[:n] {
			if err := proof.CheckKey(changes[i].Key()); err != nil {
				return err
			}
		}
		var err error
		switch t.Shape() {
		case chain.ShapeSingle:
			r.Single = changes[n-1].Value
		case chain.ShapeBytes:
			r.Tables[t], err = setBytes(o, r.Tables[t], changes[:n])
		case chain.ShapeDense:
			r.Tables[t], err = setDense(o, r.Tables[t], changes[:n], 0)
		default:
			r.Tables[t], err = setOwned(o, r.Tables[t], changes[:n])
		}
		if err != nil {
			return fmt.Errorf("write table %s: %w", t, err)
		}
		changes = changes[n:]
	}
	return nil
}

func setBytes(o *overlay, top cid.Cid, changes []consensus.Change) (cid.Cid, error) {
	ctx := context.Background()
	var n *hamt.Node
	var err error
	if top.Defined() {
		n, err = hamt.LoadNode(ctx, o, top, proof.HAMTOptions()...)
	} else {
		n, err = hamt.NewNode(o, proof.HAMTOptions()...)
	}
	if err != nil {
		return cid.Undef, err
	}
	for i := range changes {
		c := &changes[i]
		if c.Value == nil {
			_, err = n.Delete(ctx, string(c.ID))
		} else {
			err = n.SetRaw(ctx, string(c.ID), c.Value)
		}
		if err != nil {
			return cid.Undef, fmt.Errorf("key %x: %w", c.ID, err)
		}
	}
	if len(n.Pointers) == 0 {
		return cid.Undef, nil
	}
	return n.Write(ctx)
}

// setDense writes changes whose number stands at an offset of their ID.
func setDense(o *overlay, top cid.Cid, changes []consensus.Change, offset int) (cid.Cid, error) {
	a, err := openAMT(o, top)
	if err != nil {
		return cid.Undef, err
	}
	for i := range changes {
		var v cbg.CBORMarshaler
		if changes[i].Value != nil {
			v = &cbg.Deferred{Raw: changes[i].Value}
		}
		if err := setNumber(a, proof.Number(string(changes[i].ID[offset:])), v); err != nil {
			return cid.Undef, err
		}
	}
	return flush(a)
}

// setOwned writes the changes of each owner into the owner's own AMT.
func setOwned(o *overlay, top cid.Cid, changes []consensus.Change) (cid.Cid, error) {
	outer, err := openAMT(o, top)
	if err != nil {
		return cid.Undef, err
	}
	for len(changes) > 0 {
		n := 1
		for n < len(changes) && bytes.Equal(changes[n].ID[:8], changes[0].ID[:8]) {
			n++
		}
		owner := proof.Number(string(changes[0].ID))
		var link cbg.CborCid
		if _, err := outer.Get(context.Background(), owner, &link); err != nil {
			return cid.Undef, fmt.Errorf("owner %d: %w", owner, err)
		}
		inner, err := setDense(o, cid.Cid(link), changes[:n], 8)
		if err != nil {
			return cid.Undef, fmt.Errorf("owner %d: %w", owner, err)
		}
		var v cbg.CBORMarshaler
		if inner.Defined() {
			link = cbg.CborCid(inner)
			v = &link
		}
		if err := setNumber(outer, owner, v); err != nil {
			return cid.Undef, err
		}
		changes = changes[n:]
	}
	return flush(outer)
}

func openAMT(o *overlay, top cid.Cid) (*amt.Root, error) {
	if !top.Defined() {
		return amt.NewAMT(o, proof.AMTOptions()...)
	}
	return amt.LoadAMT(context.Background(), o, top, proof.AMTOptions()...)
}

// setNumber writes or, for nil, deletes.
func setNumber(a *amt.Root, i uint64, v cbg.CBORMarshaler) error {
	var err error
	if v == nil {
		_, err = a.Delete(context.Background(), i)
	} else {
		err = a.Set(context.Background(), i, v)
	}
	if err != nil {
		return fmt.Errorf("number %d: %w", i, err)
	}
	return nil
}

func flush(a *amt.Root) (cid.Cid, error) {
	if a.Len() == 0 {
		return cid.Undef, nil
	}
	return a.Flush(context.Background())
}
