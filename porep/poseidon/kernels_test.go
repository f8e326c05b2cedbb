package poseidon

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"github.com/perdure/perdure/extern/vectors"
)

// extremes are the nodes 0, 1, 2^52-1, 2^52, 2^254, r-2 and r-1: the ends of the field, and of limbs.
func extremes() [][32]byte {
	one := fr.One()
	var zero, limb, next, high, last, before fr.Element
	limb.SetUint64(1<<limbBits - 1)
	next.SetUint64(1 << limbBits)
	high = power2(254)
	last.Neg(&one)
	before.Sub(&last, &one)
	var nodes [][32]byte
	for _, e := range []*fr.Element{&zero, &one, &limb, &next, &high, &before, &last} {
		nodes = append(nodes, NodeFromElement(e))
	}
	return nodes
}

// randomNodes draws elements of the field, some of them extremes.
func randomNodes(r *rand.Rand, n int) [][32]byte {
	ends := extremes()
	nodes := make([][32]byte, n)
	for i := range nodes {
		if r.IntN(8) == 0 {
			nodes[i] = ends[r.IntN(len(ends))]
			continue
		}
		var wide [32]byte
		for j := range wide {
			wide[j] = byte(r.Uint32())
		}
		var e fr.Element
		e.SetBytes(wide[:])
		nodes[i] = NodeFromElement(&e)
	}
	return nodes
}

// one hashes a group by itself, element by element.
func one(t testing.TB, h *Hasher, children [][32]byte) [32]byte {
	t.Helper()
	in := make([]fr.Element, len(children))
	for i := range in {
		var err error
		if in[i], err = ElementFromNode(children[i]); err != nil {
			t.Fatal(err)
		}
	}
	out := h.Sum(in)
	return NodeFromElement(&out)
}

// eachKernel runs a test for every kernel and arity.
func eachKernel(t *testing.T, test func(t *testing.T, k Kernel, h *Hasher)) {
	for _, k := range Kernels() {
		for _, arity := range arities {
			t.Run(fmt.Sprintf("%s/%d", k.Name, arity), func(t *testing.T) { test(t, k, hasher(t, arity)) })
		}
	}
}

// columnsOf turns groups into rows: node i of each group.
func columnsOf(children [][32]byte, arity int) [][][32]byte {
	rows := make([][][32]byte, arity)
	for i, node := range children {
		rows[i%arity] = append(rows[i%arity], node)
	}
	return rows
}

// compare hashes groups by a kernel, in rows and in columns, in place and not, and compares with want.
func compare(t testing.TB, k Kernel, h *Hasher, children, want [][32]byte) {
	t.Helper()
	got := make([][32]byte, len(want))
	if err := k.HashRow(h, children, got); err != nil {
		t.Fatal(err)
	}
	equal(t, "row", got, want)
	rows := columnsOf(children, h.arity)
	clear(got)
	if len(want) > 0 {
		if err := k.Columns(h, got, rows); err != nil {
			t.Fatal(err)
		}
		equal(t, "columns", got, want)
		if err := k.Columns(h, rows[h.arity-1], rows); err != nil {
			t.Fatal(err)
		}
		equal(t, "columns in place", rows[h.arity-1], want)
	}
	children = slices.Clone(children)
	if err := k.HashRow(h, children, children[:len(want)]); err != nil {
		t.Fatal(err)
	}
	equal(t, "row in place", children[:len(want)], want)
}

func equal(t testing.TB, what string, got, want [][32]byte) {
	t.Helper()
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%s: hash %d of %d: %x, want %x", what, i, len(want), got[i], want[i])
		}
	}
}

func parentsOf(t testing.TB, h *Hasher, children [][32]byte) [][32]byte {
	t.Helper()
	want := make([][32]byte, len(children)/h.arity)
	for i := range want {
		want[i] = one(t, h, children[i*h.arity:][:h.arity])
	}
	return want
}

// TestKernelsExtremes gives all pairs of extremes to all nodes of a group, one to the even ones and
// one to the odd.
func TestKernelsExtremes(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel, h *Hasher) {
		var children [][32]byte
		for _, a := range extremes() {
			for _, b := range extremes() {
				for i := range h.arity {
					children = append(children, [][32]byte{a, b}[i%2])
				}
			}
		}
		compare(t, k, h, children, parentsOf(t, h, children))
	})
}

func TestKernelsRandom(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel, h *Hasher) {
		children := randomNodes(rand.New(rand.NewPCG(1, uint64(h.arity))), 1000*h.arity)
		compare(t, k, h, children, parentsOf(t, h, children))
	})
}

// TestKernelsCounts hashes up to 19 groups: whole batches and each number of groups left over.
func TestKernelsCounts(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel, h *Hasher) {
		children := randomNodes(rand.New(rand.NewPCG(2, uint64(h.arity))), 19*h.arity)
		want := parentsOf(t, h, children)
		for n := range 20 {
			compare(t, k, h, children[:n*h.arity], want[:n])
		}
	})
}

// TestKernelsRefuse puts a node that is no element in each place of twelve groups.
func TestKernelsRefuse(t *testing.T) {
	modulus := vectors.Node(t, "01000000fffffffffe5bfeff02a4bd5305d8a10908d83933487d9d2953a7ed73")
	all := vectors.Node(t, strings.Repeat("ff", 32))
	const count = 12
	eachKernel(t, func(t *testing.T, k Kernel, h *Hasher) {
		children := randomNodes(rand.New(rand.NewPCG(3, uint64(h.arity))), count*h.arity)
		parents := make([][32]byte, count)
		for place := range children {
			group, node := place/h.arity, place%h.arity
			wrong := slices.Clone(children)
			wrong[place] = modulus
			wrong[len(wrong)-1] = all
			err := k.HashRow(h, wrong, parents)
			if want := fmt.Sprintf("group %d: node %d: ", group, node); !errors.Is(err, ErrNotElement) || !strings.Contains(err.Error(), want) {
				t.Fatalf("%v, want %s", err, want)
			}
			err = k.Columns(h, parents, columnsOf(wrong, h.arity))
			if want := fmt.Sprintf("column %d: row %d: ", group, node); !errors.Is(err, ErrNotElement) || !strings.Contains(err.Error(), want) {
				t.Fatalf("%v, want %s", err, want)
			}
		}
		if err := k.HashRow(h, children[1:], parents); err == nil {
			t.Error("a node too few: no error")
		}
		rows := columnsOf(children, h.arity)
		if err := k.Columns(h, parents, rows[1:]); err == nil {
			t.Error("a row too few: no error")
		}
		rows[1] = rows[1][1:]
		if err := k.Columns(h, parents, rows); err == nil {
			t.Error("a row too short: no error")
		}
	})
}

func TestKernelsDoNotAllocate(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel, h *Hasher) {
		children := make([][32]byte, 12*h.arity)
		parents := make([][32]byte, 12)
		rows := columnsOf(children, h.arity)
		if n := testing.AllocsPerRun(3, func() {
			if err := errors.Join(k.HashRow(h, children, parents), k.Columns(h, parents, rows)); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// FuzzBatch hashes groups of any bytes by all kernels: they agree with each group by itself, or
// refuse the first node that is no element.
func FuzzBatch(f *testing.F) {
	f.Add(uint8(0), make([]byte, 64))
	f.Add(uint8(1), make([]byte, 9*4*32))
	for _, node := range extremes() {
		f.Add(uint8(2), slices.Repeat(node[:], 8*11))
		f.Add(uint8(3), slices.Repeat(node[:], 8*11))
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		h := hasher(t, arities[int(which)%len(arities)])
		var children [][32]byte
		valid := true
		for node := range slices.Chunk(data[:len(data)/(32*h.arity)*32*h.arity], 32) {
			children = append(children, [32]byte(node))
			_, err := ElementFromNode([32]byte(node))
			valid = valid && err == nil
		}
		if !valid {
			for _, k := range Kernels() {
				parents := make([][32]byte, len(children)/h.arity)
				if err := k.HashRow(h, children, parents); !errors.Is(err, ErrNotElement) {
					t.Fatalf("%s: %v, want ErrNotElement", k.Name, err)
				}
			}
			return
		}
		want := parentsOf(t, h, children)
		for _, k := range Kernels() {
			compare(t, k, h, children, want)
		}
	})
}

// BenchmarkHash measures each kernel on rows of 64 groups and on one group whose parent is a child of
// the next. The metric muls is the time of a hash in multiplications of field elements, each of which
// waits for the one before, measured in the same run.
func BenchmarkHash(b *testing.B) {
	for _, k := range Kernels() {
		for _, arity := range arities {
			for _, count := range []int{1, 64} {
				b.Run(fmt.Sprintf("kernel=%s/arity=%d/groups=%d", k.Name, arity, count), func(b *testing.B) {
					benchmarkRow(b, k, hasher(b, arity), count)
				})
			}
		}
	}
}

func benchmarkRow(b *testing.B, k Kernel, h *Hasher, count int) {
	children := randomNodes(rand.New(rand.NewPCG(4, 4)), count*h.arity)
	unit := min(multiplication(), multiplication(), multiplication())
	hashes := 0
	for b.Loop() {
		if err := k.HashRow(h, children, children[:count]); err != nil {
			b.Fatal(err)
		}
		hashes += count
	}
	each := float64(b.Elapsed().Nanoseconds()) / float64(hashes)
	b.ReportMetric(each, "ns/hash")
	b.ReportMetric(each/unit, "muls")
	b.ReportMetric(0, "ns/op")
}

// multiplication returns the nanoseconds of one fr.Element.Mul.
func multiplication() float64 {
	const n = 200_000
	x := fr.NewElement(3)
	x.Inverse(&x)
	y := x
	start := time.Now()
	for range n {
		x.Mul(&x, &y)
	}
	elapsed := float64(time.Since(start).Nanoseconds()) / n
	if x.IsZero() {
		panic("a product of units is zero")
	}
	return elapsed
}
