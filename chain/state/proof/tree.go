package proof

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-amt-ipld/v4"
	"github.com/filecoin-project/go-hamt-ipld/v3"
	"github.com/ipfs/go-cid"
	"github.com/minio/sha256-simd"
	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/perdure/perdure/chain"
)

// The shapes of the trees. Changing one changes every app hash.
const (
	hamtBits = 5
	amtBits  = 3
)

// HAMTOptions are how every HAMT of the state is read and written.
func HAMTOptions() []hamt.Option {
	return []hamt.Option{hamt.UseTreeBitWidth(hamtBits), hamt.UseHashFunction(func(b []byte) []byte {
		d := sha256.Sum256(b)
		return d[:]
	})}
}

// AMTOptions are how every AMT of the state is read and written.
func AMTOptions() []amt.Option { return []amt.Option{amt.UseTreeBitWidth(amtBits)} }

// Blocks gives blocks by their CID.
type Blocks interface {
	// Block returns the block's bytes, which the caller does not change.
	Block(c cid.Cid) ([]byte, error)
}

// ErrNoBlock is wrapped by Blocks for a block that is not there.
var ErrNoBlock = errors.New("no such block")

// reader is the read half of an IPLD store over Blocks.
type reader struct{ blocks Blocks }

// ErrReadOnly is returned for a write into a tree that is only read.
var ErrReadOnly = errors.New("tree is read-only")

// Get implements the IPLD store that the tree libraries read from.
func (r reader) Get(_ context.Context, c cid.Cid, out any) error {
	b, err := r.blocks.Block(c)
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

// Put implements the IPLD store; it always fails.
func (r reader) Put(context.Context, any) (cid.Cid, error) { return cid.Undef, ErrReadOnly }

// ReadRoot reads the root record of a CID.
func ReadRoot(blocks Blocks, c cid.Cid) (*Root, error) {
	b, err := blocks.Block(c)
	if err != nil {
		return nil, fmt.Errorf("read root: %w", err)
	}
	r := new(Root)
	if err := chain.Decode(b, r); err != nil {
		return nil, fmt.Errorf("decode root: %w", err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("state schema %d, want %d", r.Schema, Schema)
	}
	return r, nil
}

// maxKey bounds a key of bytes.
const maxKey = 64

// CheckKey refuses a key whose ID is not of its table's shape.
func CheckKey(k chain.Key) error {
	if k.Table >= chain.TableEnd {
		return fmt.Errorf("no table %d", uint64(k.Table))
	}
	n, ok := len(k.ID), false
	switch k.Table.Shape() {
	case chain.ShapeSingle:
		ok = n == 0
	case chain.ShapeDense:
		ok = n == 8 && Number(k.ID) <= amt.MaxIndex
	case chain.ShapeOwned:
		ok = n == 16 && Number(k.ID) <= amt.MaxIndex && Number(k.ID[8:]) <= amt.MaxIndex
	case chain.ShapeBytes:
		ok = n > 0 && n <= maxKey
	}
	if !ok {
		return fmt.Errorf("%s has no key of %d bytes %x", k.Table, n, k.ID)
	}
	return nil
}

// Number reads the big-endian number at the start of a dense or owned key.
func Number(id string) uint64 { return binary.BigEndian.Uint64([]byte(id[:8])) }

// Find returns the record of a key in the tree under a root, or nil if there
// is none.
func Find(blocks Blocks, r *Root, k chain.Key) ([]byte, error) {
	if err := CheckKey(k); err != nil {
		return nil, err
	}
	if k.Table.Shape() == chain.ShapeSingle {
		return r.Single, nil
	}
	top := r.Tables[k.Table]
	if !top.Defined() {
		return nil, nil
	}
	store := reader{blocks}
	var b []byte
	var err error
	switch k.Table.Shape() {
	case chain.ShapeBytes:
		b, err = findBytes(blocks, top, k.ID)
	case chain.ShapeDense:
		b, err = findDense(store, top, Number(k.ID))
	default:
		b, err = findOwned(store, top, k.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("find %s %x: %w", k.Table, k.ID, err)
	}
	return b, nil
}

func findDense(store reader, top cid.Cid, id uint64) ([]byte, error) {
	ctx := context.Background()
	a, err := amt.LoadAMT(ctx, store, top, AMTOptions()...)
	if err != nil {
		return nil, err
	}
	var v cbg.Deferred
	found, err := a.Get(ctx, id, &v)
	if err != nil || !found {
		return nil, err
	}
	return v.Raw, nil
}

func findOwned(store reader, top cid.Cid, id string) ([]byte, error) {
	raw, err := findDense(store, top, Number(id))
	if err != nil || raw == nil {
		return nil, err
	}
	inner, err := cbg.ReadCid(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("link of owner %d: %w", Number(id), err)
	}
	return findDense(store, inner, Number(id[8:]))
}

// ForEach calls f with every record of a table: numbers in rising order, keys
// of bytes in the order of their hashes.
func ForEach(blocks Blocks, r *Root, t chain.Table, f func(id string, record []byte) error) error {
	if t >= chain.TableEnd {
		return fmt.Errorf("no table %d", uint64(t))
	}
	if t.Shape() == chain.ShapeSingle {
		return f("", r.Single)
	}
	if !r.Tables[t].Defined() {
		return nil
	}
	store := reader{blocks}
	switch t.Shape() {
	case chain.ShapeBytes:
		ctx := context.Background()
		n, err := hamt.LoadNode(ctx, store, r.Tables[t], HAMTOptions()...)
		if err != nil {
			return fmt.Errorf("read table %s: %w", t, err)
		}
		return n.ForEach(ctx, func(k string, v *cbg.Deferred) error { return f(k, v.Raw) })
	case chain.ShapeDense:
		return eachDense(store, r.Tables[t], "", f)
	}
	return eachDense(store, r.Tables[t], "", func(owner string, raw []byte) error {
		inner, err := cbg.ReadCid(bytes.NewReader(raw))
		if err != nil {
			return fmt.Errorf("link of owner %x: %w", owner, err)
		}
		return eachDense(store, inner, owner, f)
	})
}

func eachDense(store reader, top cid.Cid, prefix string, f func(id string, record []byte) error) error {
	ctx := context.Background()
	a, err := amt.LoadAMT(ctx, store, top, AMTOptions()...)
	if err != nil {
		return fmt.Errorf("read numbered records: %w", err)
	}
	return a.ForEach(ctx, func(i uint64, v *cbg.Deferred) error {
		return f(prefix+string(binary.BigEndian.AppendUint64(nil, i)), v.Raw)
	})
}
