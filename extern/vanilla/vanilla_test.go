package vanilla

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep/poseidon"
	"github.com/perdure/perdure/post"
)

// trees are of the three variants: one octree, octrees under a sub level, and under a top level.
var trees = []post.Tree{
	{Nodes: 64, Shape: merkle.Octree},
	{Nodes: 512, Shape: merkle.Shape{Base: 8, Sub: 8}},
	{Nodes: 1024, Shape: merkle.Shape{Base: 8, Sub: 8, Top: 2}},
}

// proven makes the vanilla proof of a replica of arbitrary content in a tree, and its statement.
func proven(t testing.TB, tree post.Tree) (*Window, post.SectorInput) {
	t.Helper()
	leaves := make([]merkle.Node, tree.Nodes)
	for i := range leaves {
		leaves[i] = sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
		leaves[i][31] &= 0x3f
	}
	size, err := tree.Shape.StoredSize(tree.Nodes, 0)
	if err != nil {
		t.Fatal(err)
	}
	store := make([]byte, size)
	write, err := tree.Shape.Writer(tree.Nodes, 0, writerAt(store))
	if err != nil {
		t.Fatal(err)
	}
	root, err := merkle.Build(poseidon.Tree{}, tree.Shape, tree.Nodes, merkle.LeavesOf(leaves), write, merkle.InOrder)
	if err != nil {
		t.Fatal(err)
	}
	read, err := tree.Shape.Reader(tree.Nodes, 0, bytes.NewReader(store))
	if err != nil {
		t.Fatal(err)
	}
	w := &Window{Sector: 132, CommC: merkle.Node{7}, CommRLast: root}
	if w.CommR, err = poseidon.Hash([]merkle.Node{w.CommC, root}); err != nil {
		t.Fatal(err)
	}
	in := post.SectorInput{SectorNumber: 132, CommR: w.CommR, Randomness: [32]byte{5, 31: 0xff}}
	for _, index := range post.Leaves(in.Randomness, in.SectorNumber, tree.Nodes, post.DefaultChallenges) {
		leaf, path, err := merkle.Open(tree.Shape, tree.Nodes, index, read)
		if err != nil {
			t.Fatal(err)
		}
		w.Openings = append(w.Openings, Opening{Root: root, Leaf: leaf, Paths: cut(tree, index, path)})
	}
	return w, in
}

// cut cuts a whole path into those of the base, sub and top trees.
func cut(tree post.Tree, index uint64, path merkle.Path) [][]Level {
	var levels []Level
	for _, siblings := range path {
		arity := uint64(len(siblings)) + 1
		levels = append(levels, Level{Siblings: siblings, Place: index % arity})
		index /= arity
	}
	var above [][]Level
	for _, arity := range []int{tree.Shape.Top, tree.Shape.Sub} {
		if arity != 0 {
			last := len(levels) - 1
			above = append([][]Level{levels[last:]}, above...)
			levels = levels[:last]
		}
	}
	return append([][]Level{levels}, above...)
}

type writerAt []byte

func (w writerAt) WriteAt(p []byte, off int64) (int, error) { return copy(w[off:], p), nil }

func TestRoundTrip(t *testing.T) {
	for variant, tree := range trees {
		w, in := proven(t, tree)
		data := w.Encode()
		if got := binary.LittleEndian.Uint32(data[8+32+8+8:]); got != uint32(variant) {
			t.Errorf("%v: variant %d, want %d", tree.Shape, got, variant)
		}
		got, err := DecodeWindow(iotest.OneByteReader(bytes.NewReader(data)))
		if err != nil {
			t.Fatal(err)
		}
		if err := got.VerifyIn(tree, in); err != nil {
			t.Errorf("%v: %v", tree.Shape, err)
		}
		if !bytes.Equal(got.Encode(), data) {
			t.Errorf("%v: encoded differently", tree.Shape)
		}
		in.Randomness[0]++
		if err := got.VerifyIn(tree, in); !errors.Is(err, merkle.ErrOpening) {
			t.Errorf("%v: other randomness: %v", tree.Shape, err)
		}
	}
}

// TestRegistered checks a proof by its registered type, and the size of one of 32 GiB, which is that
// of the proof that the reference implementation has published.
func TestRegistered(t *testing.T) {
	w, in := proven(t, trees[0])
	in.ProofType = abi.RegisteredPoStProof_StackedDrgWindow2KiBV1_1
	if err := w.Verify(in); err != nil {
		t.Error(err)
	}
	in.ProofType = abi.RegisteredPoStProof_StackedDrgWindow2KiBV1
	if err := w.Verify(in); !errors.Is(err, post.ErrProofType) {
		t.Errorf("legacy: %v", err)
	}
	levels := func(n int) (path []Level) {
		for range n {
			path = append(path, Level{Siblings: make([][32]byte, 7)})
		}
		return path
	}
	large := &Window{Openings: make([]Opening, 10)}
	for i := range large.Openings {
		large.Openings[i].Paths = [][]Level{levels(9), levels(1)}
	}
	if n := len(large.Encode()); n != 24960 {
		t.Errorf("a proof of 32 GiB takes %d bytes, want 24960", n)
	}
}

// TestBytesCount flips a bit of every 23rd byte, which meets every field, cuts the proof and extends it.
func TestBytesCount(t *testing.T) {
	for _, tree := range trees {
		w, in := proven(t, tree)
		data := w.Encode()
		check := func(data []byte) error {
			got, err := DecodeWindow(bytes.NewReader(data))
			if err != nil {
				if !errors.Is(err, ErrFormat) {
					t.Fatal(err)
				}
				return err
			}
			return got.VerifyIn(tree, in)
		}
		for at := 0; at < len(data); at += 23 {
			bad := bytes.Clone(data)
			bad[at] ^= 1 << (at % 8)
			if check(bad) == nil {
				t.Fatalf("%v: passed with byte %d of %d flipped", tree.Shape, at, len(data))
			}
		}
		for _, bad := range [][]byte{nil, data[:8], data[:len(data)-1], append(bytes.Clone(data), 0), make([]byte, maxBytes+1)} {
			if err := check(bad); !errors.Is(err, ErrFormat) {
				t.Errorf("%v: %d bytes of %d: %v", tree.Shape, len(bad), len(data), err)
			}
		}
	}
}

// TestClaims spoils what a proof says about itself and its paths do not depend on.
func TestClaims(t *testing.T) {
	for _, tree := range trees[1:] {
		for name, spoil := range map[string]func(*Window){
			"sector": func(w *Window) { w.Sector++ },
			"CommR":  func(w *Window) { w.CommR[0] ^= 1 },
			"root":   func(w *Window) { w.Openings[3].Root[0] ^= 1 },
			"place":  func(w *Window) { w.Openings[3].Paths[0][0].Place ^= 1 },
			"cut": func(w *Window) {
				o := &w.Openings[3]
				o.Paths[0] = append(o.Paths[0], o.Paths[1]...)
				o.Paths = append(o.Paths[:1], o.Paths[2:]...)
			},
			"cut low": func(w *Window) {
				o := &w.Openings[3]
				last := len(o.Paths[0]) - 1
				o.Paths[1] = append(o.Paths[0][last:last+1:last+1], o.Paths[1]...)
				o.Paths[0] = o.Paths[0][:last]
			},
		} {
			w, in := proven(t, tree)
			spoil(w)
			if err := w.VerifyIn(tree, in); !errors.Is(err, ErrClaim) {
				t.Errorf("%v: %s: %v", tree.Shape, name, err)
			}
		}
		w, in := proven(t, tree)
		w.Openings = w.Openings[:4]
		if err := w.VerifyIn(tree, in); !errors.Is(err, post.ErrChallenges) {
			t.Errorf("%v: four openings for ten challenges: %v", tree.Shape, err)
		}
	}
}

func TestReadErrors(t *testing.T) {
	if _, err := DecodeWindow(iotest.ErrReader(io.ErrClosedPipe)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("broken reader: %v", err)
	}
}

// FuzzDecodeWindow: no bytes crash the decoder or the check, every proof that is read has one
// encoding, and none but the true one holds.
func FuzzDecodeWindow(f *testing.F) {
	tree := trees[2]
	w, in := proven(f, tree)
	data := w.Encode()
	f.Add(data)
	f.Add(data[:100])
	for _, other := range trees[:2] {
		w, _ := proven(f, other)
		f.Add(w.Encode())
	}
	f.Fuzz(func(t *testing.T, fuzzed []byte) {
		got, err := DecodeWindow(bytes.NewReader(fuzzed))
		if err != nil {
			return
		}
		if !bytes.Equal(got.Encode(), fuzzed) {
			t.Fatal("read, but encoded differently")
		}
		if err := got.VerifyIn(tree, in); (err == nil) != bytes.Equal(fuzzed, data) {
			t.Fatalf("%d bytes: %v", len(fuzzed), err)
		}
	})
}
