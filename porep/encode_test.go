package porep_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/perdure/perdure/porep"
)

// order is the order of the scalar field of BLS12-381.
var order, _ = new(big.Int).SetString("73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001", 16)

// element is a number as a node.
func element(x *big.Int) (node [32]byte) {
	x.FillBytes(node[:])
	slices.Reverse(node[:])
	return node
}

// edges are the numbers at which carries and reductions change, and some others.
func edges() []*big.Int {
	one := big.NewInt(1)
	out := []*big.Int{new(big.Int), one, new(big.Int).Sub(order, one), new(big.Int).Rsh(order, 1), new(big.Int).Add(new(big.Int).Rsh(order, 1), one)}
	for word := uint(64); word < 256; word += 64 {
		edge := new(big.Int).Lsh(one, word)
		out = append(out, edge, new(big.Int).Sub(edge, one))
	}
	for i := range 40 {
		digest := sha256.Sum256([]byte{byte(i)})
		out = append(out, new(big.Int).Mod(new(big.Int).SetBytes(digest[:]), order))
	}
	return out
}

// TestEncodeNodes compares the sums and differences of all pairs with big
// integers and with Encode and Decode.
func TestEncodeNodes(t *testing.T) {
	var labels, data, want []byte
	for _, a := range edges() {
		for _, b := range edges() {
			label, node := element(a), element(b)
			sum := element(new(big.Int).Mod(new(big.Int).Add(a, b), order))
			labels, data, want = append(labels, label[:]...), append(data, node[:]...), append(want, sum[:]...)
			if got, err := porep.Encode(label, node); err != nil || got != sum {
				t.Fatalf("%x + %x is %x, %v; want %x", label, node, got, err, sum)
			}
		}
	}
	nodes := bytes.Clone(data)
	if err := porep.EncodeNodes(labels, nodes); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(nodes, want) {
		t.Error("encoded nodes are not the sums")
	}
	if err := porep.DecodeNodes(labels, nodes); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(nodes, data) {
		t.Error("decoded nodes are not the data")
	}
}

func TestEncodeNodesRefuses(t *testing.T) {
	modulus := element(order)
	all := [32]byte(bytes.Repeat([]byte{0xff}, 32))
	for name, op := range map[string]func(labels, nodes []byte) error{"encode": porep.EncodeNodes, "decode": porep.DecodeNodes} {
		for _, bad := range [][32]byte{modulus, all} {
			for place := range 3 {
				good, nodes := make([]byte, 96), make([]byte, 96)
				copy(nodes[32*place:], bad[:])
				for _, err := range []error{op(good, bytes.Clone(nodes)), op(nodes, good)} {
					if !errors.Is(err, porep.ErrElement) || !strings.Contains(err.Error(), fmt.Sprintf("node %d", place)) {
						t.Errorf("%s: bad node at %d: %v", name, place, err)
					}
				}
			}
		}
		for _, lengths := range [][2]int{{32, 64}, {64, 32}, {33, 33}} {
			if err := op(make([]byte, lengths[0]), make([]byte, lengths[1])); err == nil {
				t.Errorf("%s: %d bytes of labels for %d bytes of nodes accepted", name, lengths[0], lengths[1])
			}
		}
	}
}

func BenchmarkEncodeNodes(b *testing.B) { benchmarkNodes(b, porep.EncodeNodes) }
func BenchmarkDecodeNodes(b *testing.B) { benchmarkNodes(b, porep.DecodeNodes) }

func benchmarkNodes(b *testing.B, op func(labels, nodes []byte) error) {
	labels, nodes := make([]byte, 1<<18), make([]byte, 1<<18)
	for at := 0; at < len(nodes); at += 32 {
		label, node := sha256.Sum256([]byte{1, byte(at >> 5), byte(at >> 13)}), sha256.Sum256([]byte{2, byte(at >> 5), byte(at >> 13)})
		label[31], node[31] = label[31]&0x3f, node[31]&0x3f
		copy(labels[at:], label[:])
		copy(nodes[at:], node[:])
	}
	b.SetBytes(int64(len(nodes)))
	for b.Loop() {
		if err := op(labels, nodes); err != nil {
			b.Fatal(err)
		}
	}
}
