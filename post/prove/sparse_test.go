//go:build unix

package prove

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep/poseidon"
	"github.com/perdure/perdure/post"
)

// zeroSector makes the directory of a sector of a large size whose replica is all
// zeros: a sparse file. In each row of its tree all nodes are the same, so that
// the files of the tree are written without hashing. It states that the sector is
// held.
func zeroSector(t testing.TB, proof abi.RegisteredPoStProof) (in post.WindowInput, dir string) {
	t.Helper()
	tree, err := post.TreeOf(proof)
	if err != nil {
		t.Fatal(err)
	}
	arities, err := tree.Shape.Arities(tree.Nodes)
	if err != nil {
		t.Fatal(err)
	}
	nodes := []merkle.Node{{}} // of each row
	for row, arity := range arities {
		nodes = append(nodes, hashed(t, slices.Repeat(nodes[row:], arity)))
	}
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sealed"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "sealed"), int64(tree.Nodes*merkle.NodeSize)); err != nil {
		t.Fatal(err)
	}
	commC, commRLast := merkle.Node{1}, nodes[len(nodes)-1]
	aux := merkle.AppendNodes(nil, []merkle.Node{commC, commRLast})
	if err := os.WriteFile(filepath.Join(dir, "p_aux"), aux, 0o600); err != nil {
		t.Fatal(err)
	}
	trees := uint64(max(tree.Shape.Sub, 1) * max(tree.Shape.Top, 1))
	stored := storedRows(t, tree.Nodes/trees, nodes)
	for i := range trees {
		name := fmt.Sprintf("sc-02-data-tree-r-last-%d.dat", i)
		if err := os.WriteFile(filepath.Join(dir, name), stored, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sector := post.Sector{Number: 4711, CommR: hashed(t, []merkle.Node{commC, commRLast})}
	return post.WindowInput{ProofType: proof, Randomness: [32]byte{8}, Sectors: []post.Sector{sector}}, dir
}

// storedRows is the file of a base tree of so many leaves: its rows from the third
// above the leaves on, each of one node over and over.
func storedRows(t testing.TB, leaves uint64, nodes []merkle.Node) []byte {
	t.Helper()
	rows, err := merkle.Octree.Rows(leaves)
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for row := 3; row < len(rows); row++ {
		out = append(out, bytes.Repeat(nodes[row][:], int(rows[row]))...)
	}
	return out
}

func hashed(t testing.TB, nodes []merkle.Node) merkle.Node {
	t.Helper()
	node, err := poseidon.Hash(nodes)
	if err != nil {
		t.Fatal(err)
	}
	return node
}

const (
	window32GiB = abi.RegisteredPoStProof_StackedDrgWindow32GiBV1_1
	window64GiB = abi.RegisteredPoStProof_StackedDrgWindow64GiBV1_1
)

// TestLargeSectors proves sectors of the two large sizes from the files that the
// reference implementation keeps of them, and finds damage.
func TestLargeSectors(t *testing.T) {
	ctx := context.Background()
	for proof, damaged := range map[abi.RegisteredPoStProof]int{window32GiB: 7, window64GiB: 15} {
		in, dir := zeroSector(t, proof)
		if err := Check(ctx, proof, in.Sectors[0], dir, 3); err != nil {
			t.Fatal(err)
		}
		made, err := Window(ctx, in, []string{dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := post.Verify(in, made); err != nil {
			t.Error(err)
		}
		// A bit of the replica flips in a segment that is challenged.
		tree, err := post.TreeOf(proof)
		if err != nil {
			t.Fatal(err)
		}
		leaves := post.Leaves(in.Randomness, in.Sectors[0].Number, tree.Nodes, post.DefaultChallenges)
		spoil(t, filepath.Join(dir, "sealed"), int64(leaves[4])*merkle.NodeSize)
		made, err = Window(ctx, in, []string{dir})
		if err != nil {
			t.Fatal(err)
		}
		var bad *post.SectorError
		if err := post.Verify(in, made); !errors.As(err, &bad) || bad.Challenge != 4 || bad.Leaf != leaves[4] {
			t.Errorf("a flipped bit of leaf %d: %v", leaves[4], err)
		}
		// A damaged root of a base tree is found at once.
		name := filepath.Join(dir, fmt.Sprintf("sc-02-data-tree-r-last-%d.dat", damaged))
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		spoil(t, name, info.Size()-merkle.NodeSize)
		if _, err := Window(ctx, in, []string{dir}); err == nil || !strings.Contains(err.Error(), "sc-02-data-tree-r-last") {
			t.Errorf("a damaged root: %v", err)
		}
	}
}

// spoil flips a bit of a file.
func spoil(t testing.TB, name string, at int64) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var b [1]byte
	if _, err := file.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := file.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkWindow32GiB proves a sector of 32 GiB from a warm tree and checks the
// proof. Each is set in proportion to what cannot be saved, in processor time by
// turns in the same run: for the proof, reading 10 segments of 16 KiB and making their 730
// hashes of 8 nodes; for the check, the hashes on the paths, each once.
func BenchmarkWindow32GiB(b *testing.B) {
	in, dir := zeroSector(b, window32GiB)
	tree, err := post.TreeOf(window32GiB)
	if err != nil {
		b.Fatal(err)
	}
	sealed, err := os.Open(filepath.Join(dir, "sealed"))
	if err != nil {
		b.Fatal(err)
	}
	defer sealed.Close()
	fresh := func() []uint64 {
		in.Randomness[0]++
		return post.Leaves(in.Randomness, in.Sectors[0].Number, tree.Nodes, post.DefaultChallenges)
	}
	b.Run("prove", func(b *testing.B) {
		var took, floor []time.Duration
		for b.Loop() {
			leaves := fresh()
			if _, err := Window(context.Background(), in, []string{dir}); err != nil { // warms what both read
				b.Fatal(err)
			}
			took = append(took, timed(b, func() error {
				_, err := Window(context.Background(), in, []string{dir})
				return err
			}))
			floor = append(floor, timed(b, func() error {
				for _, leaf := range leaves {
					nodes := make([]merkle.Node, 73*8)
					if err := merkle.LeavesAt(sealed)(leaf&^511, nodes[:512]); err != nil {
						return err
					}
					if err := (poseidon.Tree{}).HashRow(8, nodes, nodes[:73]); err != nil {
						return err
					}
				}
				return nil
			}))
		}
		b.ReportMetric(float64(median(took))/float64(median(floor)), "ratio")
		b.ReportMetric(float64(median(took).Microseconds()), "proof-µs")
	})
	b.Run("verify", func(b *testing.B) {
		var took, floor []time.Duration
		for b.Loop() {
			leaves := fresh()
			made, err := Window(context.Background(), in, []string{dir})
			if err != nil {
				b.Fatal(err)
			}
			took = append(took, timed(b, func() error { return post.Verify(in, made) }))
			nodes := make([]merkle.Node, 8*distinctGroups(leaves, 10))
			floor = append(floor, timed(b, func() error {
				return (poseidon.Tree{}).HashRow(8, nodes, nodes[:len(nodes)/8])
			}))
		}
		b.ReportMetric(float64(median(took))/float64(median(floor)), "ratio")
		b.ReportMetric(float64(median(took).Microseconds()), "check-µs")
	})
}

// distinctGroups counts the hashes of 8 nodes on the ways up from leaves.
func distinctGroups(leaves []uint64, levels int) int {
	groups := make(map[merkle.Position]bool)
	for _, at := range leaves {
		for row := range levels {
			at /= 8
			groups[merkle.Position{Row: row + 1, Index: at}] = true
		}
	}
	return len(groups)
}

// timed is the processor time of do, user and system, on all threads: waiting for a busy machine does
// not count.
func timed(b *testing.B, do func() error) time.Duration {
	b.Helper()
	start := processorTime(b)
	if err := do(); err != nil {
		b.Fatal(err)
	}
	return processorTime(b) - start
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
