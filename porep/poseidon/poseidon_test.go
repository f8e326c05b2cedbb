package poseidon

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"pgregory.net/rapid"

	"github.com/perdure/perdure/extern/vectors"
)

var arities = []int{2, 4, 8, 11}

func hasher(t testing.TB, arity int) *Hasher {
	t.Helper()
	h, err := New(arity)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// plain is the hash by its definition: constants, S-boxes, full matrix, every round.
func plain(in []fr.Element) fr.Element {
	t := len(in) + 1
	constants, mds := roundConstants(t), cauchy(t)
	state := make([]fr.Element, 1, t)
	state[0].SetUint64(1<<len(in) - 1)
	state = append(state, in...)
	rounds := fullRounds + partialRounds(t)
	for r := range rounds {
		for i := range state {
			state[i].Add(&state[i], &constants[r*t+i])
		}
		full := r < fullRounds/2 || r >= rounds-fullRounds/2
		for i := range state {
			if full || i == 0 {
				fifth(&state[i])
			}
		}
		state = mds.left(state)
	}
	return state[1]
}

func TestHashVectors(t *testing.T) {
	n := 0
	for _, v := range vectors.Matching(t, "poseidon_hash", "neptune_standard_MerkleTree") {
		var in struct {
			Arity    int      `json:"arity"`
			Elements []uint64 `json:"elements_u64"`
		}
		var want struct {
			Digest string `json:"digest_le_hex"`
		}
		v.Decode(t, &in, &want)
		if in.Arity > 11 {
			continue // wider than any tree or column
		}
		n++
		elements := make([]fr.Element, len(in.Elements))
		nodes := make([][32]byte, len(in.Elements))
		for i, e := range in.Elements {
			elements[i].SetUint64(e)
			binary.LittleEndian.PutUint64(nodes[i][:], e)
		}
		sum := hasher(t, in.Arity).Sum(elements)
		if got := NodeFromElement(&sum); got != vectors.Node(t, want.Digest) {
			t.Errorf("%s: %x, want %s", v.ID, got, want.Digest)
		}
		if got, err := Hash(nodes); err != nil || got != vectors.Node(t, want.Digest) {
			t.Errorf("%s: nodes: %x, %v, want %s", v.ID, got, err, want.Digest)
		}
	}
	if n != len(arities) {
		t.Errorf("%d vectors, want one for each arity", n)
	}
}

func TestExtremeInputs(t *testing.T) {
	largest := vectors.Node(t, "00000000fffffffffe5bfeff02a4bd5305d8a10908d83933487d9d2953a7ed73")
	for _, kind := range []struct {
		prefix string
		node   [32]byte
	}{{"zeros_arity", [32]byte{}}, {"pminus1_arity", largest}} {
		for _, v := range vectors.Matching(t, "poseidon_hash", kind.prefix) {
			var in struct {
				Arity int `json:"arity"`
			}
			var want struct {
				Digest string `json:"digest_le_hex"`
			}
			v.Decode(t, &in, &want)
			nodes := make([][32]byte, in.Arity)
			for i := range nodes {
				nodes[i] = kind.node
			}
			if got, err := Hash(nodes); err != nil || got != vectors.Node(t, want.Digest) {
				t.Errorf("%s: %x, %v, want %s", v.ID, got, err, want.Digest)
			}
		}
	}
}

func TestColumnHashVector(t *testing.T) {
	for _, v := range vectors.Load(t, "column_hash") {
		var want struct {
			Column []string `json:"column_node_0"`
			Leaf   string   `json:"tree_c_leaf_0"`
		}
		v.Decode(t, nil, &want)
		nodes := make([][32]byte, len(want.Column))
		for i, label := range want.Column {
			nodes[i] = vectors.Node(t, label)
		}
		if got, err := Hash(nodes); err != nil || got != vectors.Node(t, want.Leaf) {
			t.Errorf("%s: %x, %v, want %s", v.ID, got, err, want.Leaf)
		}
	}
}

func bigEndian(e fr.Element) []byte { b := e.Bytes(); return b[:] }

func TestParameterVectors(t *testing.T) {
	for _, v := range vectors.Matching(t, "poseidon_params", "arity") {
		var in struct{ Arity, T int }
		var want struct {
			First  []string `json:"round_constants_first4_be"`
			Last   string   `json:"round_constants_last_be"`
			Count  int      `json:"count"`
			Digest string   `json:"sha256_of_concat_32byte_be"`
			MDS    string   `json:"sha256_mds_rowmajor_be"`
		}
		v.Decode(t, &in, &want)
		constants := roundConstants(in.T)
		if len(constants) != want.Count {
			t.Fatalf("%s: %d constants, want %d", v.ID, len(constants), want.Count)
		}
		var all, mds []byte
		for i, c := range constants {
			if i < len(want.First) && hex.EncodeToString(bigEndian(c)) != want.First[i] {
				t.Errorf("%s: constant %d differs", v.ID, i)
			}
			all = append(all, bigEndian(c)...)
		}
		for _, row := range cauchy(in.T) {
			for _, e := range row {
				mds = append(mds, bigEndian(e)...)
			}
		}
		if fmt.Sprintf("%x", sha256.Sum256(all)) != want.Digest {
			t.Errorf("%s: constants differ", v.ID)
		}
		if fmt.Sprintf("%x", sha256.Sum256(mds)) != want.MDS {
			t.Errorf("%s: matrix differs", v.ID)
		}
	}
	for _, v := range vectors.Matching(t, "poseidon_params", "neptune_round_constants_t9") {
		var want struct {
			Values []string `json:"values_be_hex"`
		}
		v.Decode(t, nil, &want)
		got := roundConstants(9)
		if len(got) != len(want.Values) {
			t.Fatalf("%d constants, want %d", len(got), len(want.Values))
		}
		for i := range got {
			if hex.EncodeToString(bigEndian(got[i])) != want.Values[i] {
				t.Errorf("constant %d: %x, want %s", i, bigEndian(got[i]), want.Values[i])
			}
		}
	}
}

func TestRoundNumbers(t *testing.T) {
	for _, v := range vectors.Matching(t, "poseidon_params", "round_numbers") {
		var want struct {
			Full    int            `json:"full_rounds"`
			Partial map[string]int `json:"partial_rounds_by_t"`
		}
		v.Decode(t, nil, &want)
		if want.Full != fullRounds {
			t.Errorf("%d full rounds, want %d", fullRounds, want.Full)
		}
		n := 0
		for _, arity := range arities {
			if p, ok := want.Partial[fmt.Sprint(arity+1)]; ok {
				n++
				if p != partialRounds(arity+1) {
					t.Errorf("width %d: %d partial rounds, want %d", arity+1, partialRounds(arity+1), p)
				}
			}
		}
		if n == 0 {
			t.Error("the vector names none of the widths")
		}
	}
}

// raw is an element in Montgomery form, little-endian: how the published constant files hold it.
func raw(out []byte, elements ...fr.Element) []byte {
	for _, e := range elements {
		for _, limb := range e {
			out = binary.LittleEndian.AppendUint64(out, limb)
		}
	}
	return out
}

// TestCompressedConstants compares every constant, and the sparse form that follows from them, with
// the files of another implementation, by their digests.
func TestCompressedConstants(t *testing.T) {
	for _, v := range vectors.Matching(t, "poseidon_params", "supraseal_constants_") {
		var in struct{ Arity int }
		var want struct {
			Bytes  int    `json:"file_bytes"`
			Digest string `json:"file_sha256"`
		}
		v.Decode(t, &in, &want)
		h := hasher(t, in.Arity)
		file := raw(nil, h.pre...)
		file = raw(file, h.first...)
		file = raw(file, h.partial...)
		file = raw(file, h.second...)
		mds := cauchy(h.width)
		sparse, before := sparseForm(mds, len(h.partial))
		file = raw(file, slices.Concat(mds...)...)
		file = raw(file, slices.Concat(before...)...)
		file = raw(file, sparse...)
		if len(file) != want.Bytes || fmt.Sprintf("%x", sha256.Sum256(file)) != want.Digest {
			t.Errorf("%s: %d bytes, digest %x, want %d, %s", v.ID, len(file), sha256.Sum256(file), want.Bytes, want.Digest)
		}
	}
}

func TestSumEqualsPlain(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		arity := rapid.SampledFrom(arities).Draw(rt, "arity")
		in := make([]fr.Element, arity)
		for i := range in {
			in[i].SetBytes(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(rt, "element"))
		}
		want := plain(in)
		h, err := New(arity)
		if err != nil {
			rt.Fatal(err)
		}
		if got := h.Sum(in); got != want {
			rt.Fatalf("%v, want %v", got, want)
		}
	})
}

func TestRefusals(t *testing.T) {
	modulus := vectors.Node(t, "01000000fffffffffe5bfeff02a4bd5305d8a10908d83933487d9d2953a7ed73")
	for _, node := range [][32]byte{modulus, {31: 0x74}, [32]byte(bytes.Repeat([]byte{0xff}, 32))} {
		if _, err := ElementFromNode(node); !errors.Is(err, ErrNotElement) {
			t.Errorf("%x: %v, want ErrNotElement", node, err)
		}
		for _, arity := range arities {
			for place := range arity {
				children := make([][32]byte, arity)
				children[place] = node
				if _, err := Hash(children); !errors.Is(err, ErrNotElement) {
					t.Errorf("arity %d, node %d: %v, want ErrNotElement", arity, place, err)
				}
			}
		}
	}
	for _, n := range []int{0, 1, 3, 9, 12} {
		if _, err := Hash(make([][32]byte, n)); err == nil {
			t.Errorf("%d nodes: no error", n)
		}
		if _, err := hasher(t, 8).Hash(make([][32]byte, n)); err == nil {
			t.Errorf("%d nodes for arity 8: no error", n)
		}
		if _, err := New(n); err == nil {
			t.Errorf("arity %d: no error", n)
		}
	}
}

func FuzzElement(f *testing.F) {
	f.Add(bytes.Repeat([]byte{0xff}, 32))
	f.Add(make([]byte, 32))
	f.Add(vectors.Hex(f, "01000000fffffffffe5bfeff02a4bd5305d8a10908d83933487d9d2953a7ed73"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) != 32 {
			return
		}
		node := [32]byte(data)
		e, err := ElementFromNode(node)
		value := fr.Element{}
		reversed := bytes.Clone(data)
		for i, j := 0, 31; i < j; i, j = i+1, j-1 {
			reversed[i], reversed[j] = reversed[j], reversed[i]
		}
		value.SetBytes(reversed) // reduces
		canonical := bytes.Equal(bigEndian(value), reversed)
		if canonical != (err == nil) {
			t.Fatalf("%x: %v, canonical %v", node, err, canonical)
		}
		if err == nil && NodeFromElement(&e) != node {
			t.Fatalf("%x comes back as %x", node, NodeFromElement(&e))
		}
	})
}

func BenchmarkNewHasher(b *testing.B) {
	for b.Loop() {
		for _, arity := range arities {
			newHasher(arity)
		}
	}
}
