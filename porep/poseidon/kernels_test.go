package poseidon

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"github.com/perdure/perdure/extern/vectors"
	"github.com/perdure/perdure/internal/merkle"
)

// extremes are nodes at the edges of what limbs of 52 and words of 64 bits can hold, all less than r.
func extremes(t testing.TB) [][32]byte {
	ones := func(n int) (node [32]byte) {
		for i := range n {
			node[i/8] |= 1 << (i % 8)
		}
		return node
	}
	nodes := [][32]byte{
		{}, {0: 1}, {31: 0x73},
		vectors.Node(t, "00000000fffffffffe5bfeff02a4bd5305d8a10908d83933487d9d2953a7ed73"), // r-1
		vectors.Node(t, "00000080ffffff7fff2dff7f01d2de2905d0500484ec9c19a4bece94a953f639"), // about r/2
		vectors.Node(t, "fffffffffffffffffe5bfeff02a4bd5305d8a10908d83933487d9d2953a7ed72"),
	}
	for _, n := range []int{32, 51, 52, 53, 63, 64, 104, 128, 156, 192, 208, 254} {
		nodes = append(nodes, ones(n))
	}
	return nodes
}

// draw fills a slice with random nodes, one in four an extreme one.
func draw(random *rand.Rand, source *rand.ChaCha8, edges, nodes [][32]byte) {
	for i := range nodes {
		if random.IntN(4) == 0 {
			nodes[i] = edges[random.IntN(len(edges))]
			continue
		}
		for {
			source.Read(nodes[i][:])
			nodes[i][31] &= 0x7f
			if _, err := ElementFromNode(nodes[i]); err == nil {
				break
			}
		}
	}
}

// sums hashes each group by Sum, which no kernel in machine code is behind.
func sums(t testing.TB, h *Hasher, nodes [][32]byte) [][32]byte {
	t.Helper()
	var out [][32]byte
	for group := range slices.Chunk(nodes, h.arity) {
		in := make([]fr.Element, h.arity)
		for i := range group {
			var err error
			if in[i], err = ElementFromNode(group[i]); err != nil {
				t.Fatal(err)
			}
		}
		sum := h.Sum(in)
		out = append(out, NodeFromElement(&sum))
	}
	return out
}

// byColumns turns groups into rows.
func byColumns(nodes [][32]byte, arity int) [][][32]byte {
	rows := make([][][32]byte, arity)
	for i := range nodes {
		rows[i%arity] = append(rows[i%arity], nodes[i])
	}
	return rows
}

// checkKernel compares all that a kernel does with Sum: into another place, and in place.
func checkKernel(t testing.TB, k Kernel, h *Hasher, nodes [][32]byte) {
	t.Helper()
	want := sums(t, h, nodes)
	guard := [32]byte{0xaa}
	out := slices.Repeat([][32]byte{guard}, len(want)+1)
	if err := k.HashRow(h, nodes, out[:len(want)]); err != nil || !slices.Equal(out[:len(want)], want) {
		t.Fatalf("%s, arity %d: row of %d differs: %v", k.Name, h.arity, len(want), err)
	}
	if out[len(want)] != guard {
		t.Fatalf("%s, arity %d: wrote beyond a row of %d", k.Name, h.arity, len(want))
	}
	inPlace := slices.Clone(nodes)
	if err := k.HashRow(h, inPlace, inPlace[:len(want)]); err != nil || !slices.Equal(inPlace[:len(want)], want) {
		t.Fatalf("%s, arity %d: row of %d in place differs: %v", k.Name, h.arity, len(want), err)
	}
	if !slices.Equal(inPlace[len(want):], nodes[len(want):]) {
		t.Fatalf("%s, arity %d: wrote beyond a row of %d in place", k.Name, h.arity, len(want))
	}
	rows := byColumns(nodes, h.arity)
	for _, out := range [][][32]byte{make([][32]byte, len(want)), rows[h.arity-1]} {
		if err := k.HashColumns(h, rows, out); err != nil || !slices.Equal(out, want) {
			t.Fatalf("%s, arity %d: %d columns differ: %v", k.Name, h.arity, len(want), err)
		}
	}
}

func TestKernels(t *testing.T) {
	edges := extremes(t)
	source := rand.NewChaCha8([32]byte{1})
	random := rand.New(source)
	for _, k := range Kernels() {
		for _, arity := range arities {
			h := hasher(t, arity)
			for n := 1; n <= 20; n++ {
				nodes := make([][32]byte, n*arity)
				draw(random, source, edges, nodes)
				checkKernel(t, k, h, nodes)
			}
			nodes := make([][32]byte, 2000*arity)
			draw(random, source, edges, nodes)
			checkKernel(t, k, h, nodes)
			for i, want := range sums(t, h, nodes) { // kernels treat single groups apart
				var got [1][32]byte
				if err := k.HashRow(h, nodes[i*arity:][:arity], got[:]); err != nil || got[0] != want {
					t.Fatalf("%s, arity %d: group %d alone differs: %v", k.Name, arity, i, err)
				}
			}
			for _, edge := range edges {
				for _, groups := range []int{1, lanes} {
					checkKernel(t, k, h, slices.Repeat([][32]byte{edge}, groups*arity))
				}
			}
		}
	}
}

// TestKernelsRefuse puts a node that is no element in every place.
func TestKernelsRefuse(t *testing.T) {
	modulus := vectors.Node(t, "01000000fffffffffe5bfeff02a4bd5305d8a10908d83933487d9d2953a7ed73")
	bad := [][32]byte{modulus, {31: 0x74}, [32]byte(bytes.Repeat([]byte{0xff}, 32))}
	for i := range 32 { // each byte alone may make it too large
		larger := modulus
		if larger[i] < 0xff {
			larger[i]++
			bad = append(bad, larger)
		}
	}
	for _, k := range Kernels() {
		for _, arity := range arities {
			h := hasher(t, arity)
			const groups = 11
			for place := range groups * arity {
				nodes := make([][32]byte, groups*arity)
				nodes[place] = bad[place%len(bad)]
				group, node := place/arity, place%arity
				rows, alone := byColumns(nodes, arity), slices.Clone(nodes[group*arity:][:arity])
				err := k.HashRow(h, nodes, nodes[:groups])
				if want := fmt.Sprintf("group %d: poseidon: node %d: ", group, node); !errors.Is(err, ErrNotElement) || !strings.HasPrefix(err.Error(), want) {
					t.Fatalf("%s, arity %d: %v, want %s...", k.Name, arity, err, want)
				}
				if err := k.HashRow(h, alone, alone[:1]); !errors.Is(err, ErrNotElement) || !strings.Contains(err.Error(), fmt.Sprintf("node %d: ", node)) {
					t.Fatalf("%s, arity %d: %v, want node %d", k.Name, arity, err, node)
				}
				err = k.HashColumns(h, rows, rows[0])
				if want := fmt.Sprintf("column %d: poseidon: node %d: ", group, node); !errors.Is(err, ErrNotElement) || !strings.HasPrefix(err.Error(), want) {
					t.Fatalf("%s, arity %d: %v, want %s...", k.Name, arity, err, want)
				}
			}
			if err := k.HashRow(h, make([][32]byte, arity+1), make([][32]byte, 1)); err == nil {
				t.Errorf("%s: a node too many: no error", k.Name)
			}
			if err := k.HashColumns(h, make([][][32]byte, arity-1), nil); err == nil {
				t.Errorf("%s: a row short: no error", k.Name)
			}
			if err := k.HashColumns(h, make([][][32]byte, arity), make([][32]byte, 1)); err == nil {
				t.Errorf("%s: rows without nodes: no error", k.Name)
			}
		}
	}
}

func TestHashDoesNotAllocate(t *testing.T) {
	for _, arity := range arities {
		h := hasher(t, arity)
		children, parents := make([][32]byte, 9*arity), make([][32]byte, 9)
		rows := byColumns(children, arity)
		var tree merkle.Hasher = Tree{}
		for name, hash := range map[string]func() error{
			"Hash":        func() error { _, err := tree.Hash(children[:arity]); return err },
			"HashRow":     func() error { return tree.HashRow(arity, children, parents) },
			"HashColumns": func() error { return h.HashColumns(rows, parents) },
			"portable":    func() error { _, err := h.eachGroup(children, parents); return err },
		} {
			if n := testing.AllocsPerRun(10, func() {
				if err := hash(); err != nil {
					t.Error(err)
				}
			}); n != 0 {
				t.Errorf("%s, arity %d: %v allocations", name, arity, n)
			}
		}
	}
}

// FuzzBatch compares every kernel with Sum on as many whole groups as the input has.
func FuzzBatch(f *testing.F) {
	for _, node := range extremes(f) {
		f.Add(uint8(0), bytes.Repeat(node[:], 22))
	}
	f.Add(uint8(2), bytes.Repeat([]byte{0xff}, 300))
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		h := hasher(t, arities[int(which)%len(arities)])
		var nodes [][32]byte
		for chunk := range slices.Chunk(data[:min(len(data), 17*11*32)], 32) {
			var node [32]byte
			copy(node[:], chunk)
			if _, err := ElementFromNode(node); err != nil {
				node[31] &= 0x3f
			}
			nodes = append(nodes, node)
		}
		nodes = nodes[:len(nodes)/h.arity*h.arity]
		for _, k := range Kernels() {
			if len(nodes) > 0 {
				checkKernel(t, k, h, nodes)
			}
		}
	})
}

// multiplications is how long a chain of multiplications is timed at once.
const multiplications = 100_000

// multiplication is the time of one multiplication of field elements, each waiting for the one
// before, in nanoseconds: the best of some short runs.
func multiplication() float64 {
	best := time.Hour
	x := fr.NewElement(3)
	for range 20 {
		start := time.Now()
		for range multiplications {
			x.Mul(&x, &x)
		}
		best = min(best, time.Since(start))
	}
	if x.IsZero() {
		panic("a power of three is zero")
	}
	return float64(best.Nanoseconds()) / multiplications
}

// BenchmarkHash times hashes of a row and, as groups=1, single ones. The metrics are of the best run,
// since a core that is shared only ever makes one slower; muls is the time of a hash in
// multiplications of field elements.
func BenchmarkHash(b *testing.B) {
	for _, arity := range arities {
		h := hasher(b, arity)
		for _, k := range Kernels() {
			for _, groups := range []int{1, 64} {
				b.Run(fmt.Sprintf("arity=%d/kernel=%s/groups=%d", arity, k.Name, groups), func(b *testing.B) {
					nodes, parents := make([][32]byte, groups*arity), make([][32]byte, groups)
					mul, best := multiplication(), time.Hour
					for b.Loop() {
						start := time.Now()
						if err := k.HashRow(h, nodes, parents); err != nil {
							b.Fatal(err)
						}
						best = min(best, time.Since(start))
					}
					hash := float64(best.Nanoseconds()) / float64(groups)
					b.ReportMetric(hash, "ns/hash")
					b.ReportMetric(hash/mul, "muls")
				})
			}
		}
	}
}
