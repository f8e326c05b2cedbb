package proof_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/filecoin-project/go-hamt-ipld/v3"
	"github.com/ipfs/go-cid"
	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/state/proof"
)

// memory is blocks in memory, as the tree libraries write and proof reads them.
type memory map[cid.Cid][]byte

func (m memory) Block(c cid.Cid) ([]byte, error) {
	if b, ok := m[c]; ok {
		return b, nil
	}
	return nil, fmt.Errorf("%s: %w", c, proof.ErrNoBlock)
}

func (m memory) Get(_ context.Context, c cid.Cid, out any) error {
	b, err := m.Block(c)
	if err != nil {
		return err
	}
	return out.(cbg.CBORUnmarshaler).UnmarshalCBOR(bytes.NewReader(b))
}

func (m memory) Put(_ context.Context, v any) (cid.Cid, error) {
	b, err := chain.Encode(v.(cbg.CBORMarshaler))
	if err != nil {
		return cid.Undef, err
	}
	m[proof.LinkOf(b)] = b
	return proof.LinkOf(b), nil
}

// accounts is a HAMT of so many accounts, with values of many forms, and its root.
func accounts(t testing.TB, n uint64) (memory, *proof.Root) {
	t.Helper()
	m := memory{}
	tree, err := hamt.NewNode(m, proof.HAMTOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := tree.SetRaw(t.Context(), key(i), value(i)); err != nil {
			t.Fatal(err)
		}
	}
	root := new(proof.Root)
	if root.Tables[chain.TableAccount], err = tree.Write(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m, root
}

func key(i uint64) string { return string(binary.BigEndian.AppendUint64([]byte("key"), i)) }

// value is a CBOR item of one of several shapes.
func value(i uint64) []byte {
	return [][]byte{{0x18, byte(i) | 24}, {0x82, 0x01, 0x41, byte(i)}, {0xa1, 0x61, 'a', 0xf6}, {0x44, 1, 2, 3, byte(i)}, {0xf5},
		{0xd8, 0x2a, 0x42, 0, byte(i)}, {0x39, 1, byte(i)}, {0x80}}[i%8]
}

// TestHAMT finds in trees of many sizes what the library has written, and
// nothing else.
func TestHAMT(t *testing.T) {
	for _, n := range []uint64{0, 1, 3, 4, 33, 1000, 20_000} {
		m, root := accounts(t, n)
		for i := range n + 200 {
			got, err := proof.Find(m, root, chain.Key{Table: chain.TableAccount, ID: key(i)})
			if err != nil {
				t.Fatal(err)
			}
			if want := value(i); i < n && !bytes.Equal(got, want) || i >= n && got != nil {
				t.Fatalf("%d keys: key %d has %x, want %x", n, i, got, want)
			}
		}
	}
}

// TestHAMTBroken changes every byte of a node: what is found is an error, the
// same, another value or nothing, and never a panic.
func TestHAMTBroken(t *testing.T) {
	m, root := accounts(t, 60)
	top := root.Tables[chain.TableAccount]
	good, missing := m[top], 0
	for i := range good {
		for _, change := range []byte{1, 0x20, 0x80, 0xff} {
			bad := bytes.Clone(good)
			bad[i] ^= change
			m[top] = bad
			for j := range uint64(60) {
				_, err := proof.Find(m, root, chain.Key{Table: chain.TableAccount, ID: key(j)})
				if errors.Is(err, proof.ErrNoBlock) {
					missing++
				}
			}
		}
		m[top] = good[:i]
		if _, err := proof.Find(m, root, chain.Key{Table: chain.TableAccount, ID: key(59)}); i < 3 && (err == nil || !strings.Contains(err.Error(), "malformed HAMT node")) {
			t.Errorf("a node cut at %d: %v", i, err)
		}
	}
	if missing == 0 {
		t.Error("no change of a link led to a missing block")
	}
}

// TestHAMTLinks reads from each node the links that the library reads, and fails at
// one that is cut anywhere.
func TestHAMTLinks(t *testing.T) {
	for _, n := range []uint64{1, 60, 5000} {
		m, root := accounts(t, n)
		links := 0
		for c, b := range m {
			want, err := hamt.LoadNode(t.Context(), m, c, proof.HAMTOptions()...)
			if err != nil {
				t.Fatal(err)
			}
			got, err := proof.HAMTLinks(b)
			if err != nil {
				t.Fatal(err)
			}
			next := 0
			for i := range got {
				link := cid.Undef
				if want.Bitfield.Bit(i) == 1 {
					link = want.Pointers[next].Link
					next++
				}
				if got[i] != link {
					t.Fatalf("%d keys: place %d links to %s, want %s", n, i, got[i], link)
				}
				if link.Defined() {
					links++
				}
			}
		}
		if links != len(m)-1 {
			t.Errorf("%d keys: %d links lead to %d nodes", n, links, len(m)-1)
		}
		top := m[root.Tables[chain.TableAccount]]
		for i := range top {
			if _, err := proof.HAMTLinks(top[:i]); err == nil || !strings.Contains(err.Error(), "malformed HAMT node") {
				t.Errorf("%d keys: a node cut at %d: %v", n, i, err)
			}
		}
	}
}

// FuzzHAMT reads nodes that a stranger wrote, each below another.
func FuzzHAMT(f *testing.F) {
	m, root := accounts(f, 200)
	for _, b := range m {
		f.Add(b, key(7))
	}
	f.Fuzz(func(t *testing.T, node []byte, id string) {
		if len(id) == 0 || len(id) > 64 {
			return
		}
		_, _ = proof.HAMTLinks(node) // it does not panic
		r := *root
		r.Tables[chain.TableAccount] = proof.LinkOf(node)
		blocks := memory{proof.LinkOf(node): node}
		got, err := proof.Find(blocks, &r, chain.Key{Table: chain.TableAccount, ID: id})
		want, refused := library(blocks, proof.LinkOf(node), id)
		if refused == nil && (err != nil || !bytes.Equal(got, want)) {
			t.Fatalf("key %q has %x, %v; the library finds %x", id, got, err, want)
		}
	})
}

// library finds a key by the library, or says why it cannot.
func library(m memory, top cid.Cid, id string) ([]byte, error) {
	n, err := hamt.LoadNode(context.Background(), m, top, proof.HAMTOptions()...)
	if err != nil {
		return nil, err
	}
	_, b, err := n.FindRaw(context.Background(), id)
	return b, err
}
