package sha256lanes

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"testing"
)

// naiveParents hashes pair by pair.
func naiveParents(src [][NodeSize]byte) [][NodeSize]byte {
	parents := make([][NodeSize]byte, len(src)/2)
	for i := range parents {
		parents[i] = sha256.Sum256(Bytes(src[2*i : 2*i+2]))
		parents[i][31] &= 0x3f
	}
	return parents
}

// checkPairs compares one kernel with crypto/sha256, apart and in place, and looks for writes
// outside of dst.
func checkPairs(t *testing.T, k PairKernel, src [][NodeSize]byte) {
	t.Helper()
	want := naiveParents(src)
	guarded := make([][NodeSize]byte, len(want)+2)
	dst, copied := guarded[1:len(guarded)-1], append([][NodeSize]byte(nil), src...)
	k.Hash(dst, src)
	if !bytes.Equal(Bytes(dst), Bytes(want)) {
		t.Fatalf("%s: %d pairs differ", k.Name, len(want))
	}
	if guarded[0] != [NodeSize]byte{} || guarded[len(guarded)-1] != [NodeSize]byte{} || !bytes.Equal(Bytes(src), Bytes(copied)) {
		t.Fatalf("%s: %d pairs: written outside of dst", k.Name, len(want))
	}
	k.Hash(copied[:len(want)], copied)
	if !bytes.Equal(Bytes(copied[:len(want)]), Bytes(want)) || !bytes.Equal(Bytes(copied[len(want):]), Bytes(src[len(want):])) {
		t.Fatalf("%s: %d pairs in place differ", k.Name, len(want))
	}
}

func TestPairs(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	for n := range 100 {
		src := make([][NodeSize]byte, 2*n)
		random.Read(Bytes(src))
		for _, k := range append(PairKernels(), PairKernel{"Pairs", 0, Pairs}) {
			checkPairs(t, k, src)
		}
	}
}

// TestPairsUnaligned hashes nodes that begin at any byte of a cache line.
func TestPairsUnaligned(t *testing.T) {
	random := rand.NewChaCha8([32]byte{3})
	buf := make([]byte, 64+2*37*NodeSize)
	random.Read(buf)
	for offset := range 64 {
		for _, k := range PairKernels() {
			checkPairs(t, k, View(buf[offset:][:2*37*NodeSize]))
		}
	}
}

func TestPairsRefuse(t *testing.T) {
	for _, k := range append(PairKernels(), PairKernel{"Pairs", 0, Pairs}) {
		for _, nodes := range []int{0, 1, 3, 5} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s: 2 parents for %d nodes: no panic", k.Name, nodes)
					}
				}()
				k.Hash(make([][NodeSize]byte, 2), make([][NodeSize]byte, nodes))
			}()
		}
	}
}

func TestPairsDoNotAllocate(t *testing.T) {
	if n := testing.AllocsPerRun(10, func() {
		var nodes [2 * 19][NodeSize]byte
		Pairs(nodes[:19], nodes[:])
	}); n != 0 {
		t.Errorf("%v allocations a call, want none", n)
	}
}

// FuzzPairs compares every kernel with crypto/sha256 on as many whole pairs as the input has.
func FuzzPairs(f *testing.F) {
	for _, n := range []int{0, 1, 2, 15, 16, 17, 33, 50} {
		f.Add(bytes.Repeat([]byte{byte(n), 0xff, 0x80, 0x01}, n*2*NodeSize/4))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		src := View(data)
		src = src[:len(src)/2*2]
		for _, k := range PairKernels() {
			checkPairs(t, k, src)
		}
	})
}

// BenchmarkPairs hashes as many nodes as stay in the first cache.
func BenchmarkPairs(b *testing.B) {
	src, dst := make([][NodeSize]byte, 512), make([][NodeSize]byte, 256)
	rand.NewChaCha8([32]byte{4}).Read(Bytes(src))
	standard := func(dst, src [][NodeSize]byte) {
		for i := range dst {
			dst[i] = trim(sha256.Sum256(Bytes(src[2*i : 2*i+2])))
		}
	}
	for _, k := range append(PairKernels(), PairKernel{"crypto", 1, standard}) {
		b.Run("kernel="+k.Name, func(b *testing.B) {
			for b.Loop() {
				k.Hash(dst, src)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(dst)), "ns/node")
		})
	}
}
