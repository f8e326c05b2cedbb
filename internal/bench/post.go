package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/poseidon"
	"github.com/perdure/perdure/post"
	"github.com/perdure/perdure/post/prove"
)

const (
	segmentBytes  = 16 << 10 // of the replica, read for each challenge
	segmentHashes = 73       // that rebuild the discarded rows above them
)

// PoSt measures window proofs of one sector of 32 GiB, ten challenges, on one core: proving beside
// reading the challenged segments and hashing them, verifying beside the hashes on the paths. The
// sector is a sparse file of zeros, so its files are read from memory.
func PoSt(ctx context.Context, cfg Config) ([]Row, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	dir := filepath.Join(cfg.Dir, "zeros-32GiB")
	cfg.Log("writing the trees over a replica of 32 GiB of zeros to %s", dir)
	in, err := zeroSector(dir)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	proof, err := prove.Window(ctx, in, []string{dir})
	if err != nil {
		return nil, err
	}
	replica, err := os.Open(filepath.Join(dir, "sealed"))
	if err != nil {
		return nil, err
	}
	defer replica.Close()

	cfg.Log("proving")
	proving, err := together(ctx, cfg.Rounds, each(func() error {
		_, err := prove.Window(ctx, in, []string{dir})
		return err
	}), each(func() error { return readAndHash(in, replica) }))
	if err != nil {
		return nil, err
	}
	hashes := pathHashes(len(proof))
	cfg.Log("verifying")
	verifying, err := together(ctx, cfg.Rounds, each(func() error { return post.Verify(in, proof) }), each(pathTask(hashes)))
	if err != nil {
		return nil, err
	}
	milliseconds := func(ns float64) float64 { return ns / 1e6 }
	return []Row{
		versus("prove a window, one sector of 32 GiB", "ms", "10 reads of 16 KiB and 730 hashes", [2][]float64(proving), milliseconds),
		versus("verify it", "ms", fmt.Sprintf("the %d hashes on its paths, and CommR", hashes), [2][]float64(verifying), milliseconds),
		{Name: "size of the proof", Unit: "bytes", Figure: figure([]float64{float64(len(proof))})},
	}, nil
}

// readAndHash does what proving cannot do without.
func readAndHash(in post.WindowInput, replica *os.File) error {
	var buf [segmentBytes]byte
	nodes := make([]merkle.Node, segmentBytes/merkle.NodeSize)
	for _, leaf := range post.Leaves(in.Randomness, in.Sectors[0].Number, 1<<30, post.DefaultChallenges) {
		at := int64(leaf) * merkle.NodeSize / segmentBytes * segmentBytes
		if _, err := replica.ReadAt(buf[:], at); err != nil {
			return err
		}
		for row := nodes; len(row) > 1; row = row[:len(row)/8] {
			if err := (poseidon.Tree{}).HashRow(8, row, row[:len(row)/8]); err != nil {
				return err
			}
		}
	}
	return nil
}

// pathHashes is how many hashes of arity 8 a proof of one sector stands for: each but the first
// leaf's group came with seven siblings.
func pathHashes(proofBytes int) int {
	const header = 2 + 2*merkle.NodeSize
	nodes := (proofBytes-header)/merkle.NodeSize - post.DefaultChallenges
	return nodes / 7
}

// pathTask hashes as many groups of eight, and CommC with CommRLast.
func pathTask(hashes int) func() error {
	children, parents := randomNodes(8*hashes), make([]merkle.Node, hashes)
	return func() error {
		if err := (poseidon.Tree{}).HashRow(8, children, parents); err != nil {
			return err
		}
		_, err := poseidon.Hash(children[:2])
		return err
	}
}

// zeroSector writes what proofs of a sector of 32 GiB need, for a replica of zeros: every row of
// its trees repeats one node.
func zeroSector(dir string) (in post.WindowInput, err error) {
	params, err := porep.ParamsOf(abi.RegisteredSealProof_StackedDrg32GiBV1_1)
	if err != nil {
		return in, err
	}
	arities, err := params.Shape.Arities(params.Nodes)
	if err != nil {
		return in, err
	}
	rows := make([]merkle.Node, len(arities)+1)
	for level, arity := range arities {
		if rows[level+1], err = poseidon.Hash(repeated(rows[level], arity)); err != nil {
			return in, err
		}
	}
	commC, commRLast := merkle.Node{1}, rows[len(arities)]
	commR, err := poseidon.Hash([]merkle.Node{commC, commRLast})
	if err != nil {
		return in, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return in, err
	}
	if err := os.WriteFile(filepath.Join(dir, "p_aux"), append(commC[:], commRLast[:]...), 0o644); err != nil {
		return in, err
	}
	if err := os.WriteFile(filepath.Join(dir, "sealed"), nil, 0o644); err != nil {
		return in, err
	}
	if err := os.Truncate(filepath.Join(dir, "sealed"), int64(params.SectorSize())); err != nil {
		return in, err
	}
	trees := params.Shape.Sub
	base := len(arities) - 1
	for i := range trees {
		var tree bytes.Buffer
		width := params.Nodes / uint64(trees) >> (3 * 3) // rows 0 to 2 are not stored
		for row := 3; row <= base; row, width = row+1, width/8 {
			tree.Write(bytes.Repeat(rows[row][:], int(width)))
		}
		name := filepath.Join(dir, fmt.Sprintf("sc-02-data-tree-r-last-%d.dat", i))
		if err := os.WriteFile(name, tree.Bytes(), 0o644); err != nil {
			return in, err
		}
	}
	return post.WindowInput{
		ProofType: abi.RegisteredPoStProof_StackedDrgWindow32GiBV1_1, Randomness: [32]byte{9},
		Sectors: []post.Sector{{Number: 1, CommR: commR}},
	}, nil
}

// repeated repeats a node.
func repeated(node merkle.Node, n int) []merkle.Node {
	out := make([]merkle.Node, n)
	for i := range out {
		out[i] = node
	}
	return out
}
