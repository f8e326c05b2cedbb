package seal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"go.uber.org/goleak"

	"github.com/perdure/perdure/extern/vectors"
	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/piece"
)

func TestMain(m *testing.M) {
	if runChild() {
		return
	}
	goleak.VerifyTestMain(m)
}

const proof2KiB = abi.RegisteredSealProof_StackedDrg2KiBV1_1

// filled is 32 equal bytes.
func filled(b byte) [32]byte { return [32]byte(bytes.Repeat([]byte{b}, 32)) }

func bytes32(t testing.TB, s string) [32]byte {
	t.Helper()
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != 32 {
		t.Fatalf("32 bytes of hex wanted, got %q", s)
	}
	return [32]byte(raw)
}

// opened are the sectors of the running test, by directory.
var opened = map[string]*Sector{}

// open opens a sector for the rest of the test, or until its directory is opened
// again, as by another process after this one was killed.
func open(t testing.TB, cfg Config) *Sector {
	t.Helper()
	if before := opened[cfg.Dir]; before != nil {
		before.Close()
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	opened[cfg.Dir] = s
	t.Cleanup(func() {
		s.Close()
		if opened[cfg.Dir] == s {
			delete(opened, cfg.Dir)
		}
	})
	return s
}

func sealed(t testing.TB, cfg Config, ticket [32]byte, pieces ...Piece) (*Sector, Result) {
	t.Helper()
	s := open(t, cfg)
	if err := s.WriteData(context.Background(), pieces); err != nil {
		t.Fatal(err)
	}
	result, err := s.Seal(context.Background(), ticket)
	if err != nil {
		t.Fatal(err)
	}
	return s, result
}

func small(t testing.TB) Config {
	return Config{ProofType: proof2KiB, MinerID: 1000, Number: 1, Dir: t.TempDir()}
}

type e2eInput struct {
	Registered *abi.RegisteredSealProof `json:"registered_seal_proof"`
	SectorSize uint64                   `json:"sector_size"`
	Layers     int
	MinerID    uint64           `json:"miner_actor_id"`
	Number     abi.SectorNumber `json:"sector_number"`
	Ticket     string
	PorepID    string `json:"porep_id"`
	TreeShape  []int  `json:"tree_shape"`
}

type e2eAnswer struct {
	CommD       string `json:"comm_d"`
	ReplicaID   string `json:"replica_id"`
	CommC       string `json:"comm_c"`
	CommRLast   string `json:"comm_r_last"`
	CommR       string `json:"comm_r"`
	CommRCID    string `json:"comm_r_cid"`
	Aux         string `json:"p_aux"`
	Layers      map[string][]string
	TreeCLeaves []string `json:"tree_c_leaves"`
	Replica     []string
	TreeCRow1   []string `json:"tree_c_row1"`
	TreeRRow1   []string `json:"tree_r_last_row1"`
	LayerFiles  []string `json:"sha256_layer_files"`
	ReplicaFile string   `json:"sha256_replica_file"`
	BaseRoots   []string `json:"tree_r_last_base_roots"`
}

// params gives the parameters of a vector: those of its registered proof with the
// porep_id that it names, or those of a shape that has no registered proof.
func (in e2eInput) params(t *testing.T) porep.Params {
	p := porep.Params{ID: bytes32(t, in.PorepID), Nodes: in.SectorSize / porep.NodeSize, Layers: in.Layers, Shape: merkle.Octree}
	if len(in.TreeShape) == 3 {
		p.Shape = merkle.Shape{Base: in.TreeShape[0], Sub: in.TreeShape[1], Top: in.TreeShape[2]}
	}
	return p
}

// TestKnownSeals seals every sector of seal_e2e and compares all that is known of
// it, and every proof of it verifies.
func TestKnownSeals(t *testing.T) {
	for _, v := range vectors.Load(t, "seal_e2e") {
		t.Run(v.ID, func(t *testing.T) {
			var in e2eInput
			var want e2eAnswer
			if err := json.Unmarshal(v.Inputs, &in); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(v.Expected, &want); err != nil {
				t.Fatal(err)
			}
			params := in.params(t)
			cfg := Config{MinerID: in.MinerID, Number: in.Number, Dir: t.TempDir(), Params: &params}
			s, got := sealed(t, cfg, bytes32(t, in.Ticket))
			checkResult(t, got, want)
			checkFiles(t, s, want)
			proveAndVerify(t, s)
		})
	}
}

func checkResult(t *testing.T, got Result, want e2eAnswer) {
	t.Helper()
	for _, c := range []struct {
		name string
		got  [32]byte
		want string
	}{
		{"CommD", got.CommD, want.CommD}, {"CommC", got.CommC, want.CommC}, {"CommRLast", got.CommRLast, want.CommRLast},
		{"CommR", got.CommR, want.CommR}, {"replica id", got.ReplicaID, want.ReplicaID},
	} {
		if hex.EncodeToString(c.got[:]) != c.want {
			t.Errorf("%s is %x, want %s", c.name, c.got, c.want)
		}
	}
	if cid := piece.SealedCID(got.CommR).String(); cid != want.CommRCID {
		t.Errorf("sealed CID is %s, want %s", cid, want.CommRCID)
	}
}

// checkFiles compares whatever the vector says of the files.
func checkFiles(t *testing.T, s *Sector, want e2eAnswer) {
	t.Helper()
	content := func(name string) []byte {
		raw, err := os.ReadFile(s.path(name))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	if got := hex.EncodeToString(content(auxFile)); got != want.Aux {
		t.Errorf("p_aux is %s", got)
	}
	nodes := func(what string, raw []byte, want []string) {
		for i, node := range want {
			if got := hex.EncodeToString(raw[32*i : 32*i+32]); got != node {
				t.Errorf("%s: node %d is %s, want %s", what, i, got, node)
			}
		}
	}
	for layer, labels := range want.Layers {
		nodes("layer "+layer, content("sc-02-data-layer-"+layer+".dat"), labels)
	}
	for i, digest := range want.LayerFiles {
		if sum := sha256.Sum256(content(layerFile(i + 1))); hex.EncodeToString(sum[:]) != digest {
			t.Errorf("layer %d has digest %x, want %s", i+1, sum, digest)
		}
	}
	nodes("replica", content(sealedFile), want.Replica)
	if sum := sha256.Sum256(content(sealedFile)); want.ReplicaFile != "" && hex.EncodeToString(sum[:]) != want.ReplicaFile {
		t.Errorf("replica has digest %x, want %s", sum, want.ReplicaFile)
	}
	if want.TreeCLeaves != nil {
		treeC := content(treeCFile + ".dat")
		nodes("tree c", treeC, want.TreeCLeaves)
		nodes("tree c row 1", treeC[64*32:], want.TreeCRow1)
	}
	replica, err := OpenReplica(s.cfg.Dir, s.params)
	if err != nil {
		t.Fatal(err)
	}
	defer replica.Close()
	row := func(what string, row int, want []string) {
		got := make([]merkle.Node, len(want))
		if err := replica.TreeRLast(row, 0, got); err != nil {
			t.Fatal(err)
		}
		nodes(what, merkle.AppendNodes(nil, got), want)
	}
	row("tree r row 1", 1, want.TreeRRow1)
	row("base roots", 2, want.BaseRoots)
}

// proveAndVerify opens challenges under some seeds, in parts, and checks them.
func proveAndVerify(t *testing.T, s *Sector) {
	t.Helper()
	for seed := byte(1); seed <= 3; seed++ {
		for _, part := range []struct{ first, count int }{{0, 2}, {2, 1}, {0, porep.MaxPartChallenges}, {162, 18}} {
			proof, err := s.Prove(context.Background(), filled(seed), part.first, part.count)
			if err != nil {
				t.Fatal(err)
			}
			in, err := s.Statement(filled(seed), part.first, part.count)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.params.Verify(in, proof); err != nil {
				t.Errorf("seed %d, part %v: %v", seed, part, err)
			}
			in.MinerID++
			if err := s.params.Verify(in, proof); err == nil {
				t.Errorf("seed %d, part %v: another miner's proof passed", seed, part)
			}
		}
	}
}

func TestSealWithData(t *testing.T) {
	data := make([]byte, 127*3+50)
	for i := range data {
		data[i] = byte(i * 7)
	}
	first, err := piece.Commit(bytes.NewReader(data[:127]))
	if err != nil {
		t.Fatal(err)
	}
	second, err := piece.Commit(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var infos []piece.Piece
	for _, info := range []piece.Info{first, second} {
		p, err := info.Piece()
		if err != nil {
			t.Fatal(err)
		}
		infos = append(infos, p)
	}
	s, result := sealed(t, small(t), filled(7),
		Piece{Data: bytes.NewReader(data[:127]), PaddedSize: 128, CommP: infos[0].CommP},
		Piece{Data: bytes.NewReader(data), PaddedSize: 512, CommP: infos[1].CommP})
	commD, err := piece.CommD(infos, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if result.CommD != commD {
		t.Errorf("CommD is %x, the pieces give %x", result.CommD, commD)
	}
	proveAndVerify(t, s)

	want := make([]byte, 16*127)
	copy(want, data[:127])
	copy(want[4*127:], data)
	for _, keep := range []Keep{{Unsealed: true, LastLayer: true, Proving: true}, {LastLayer: true}, {}} {
		if err := s.Finalize(keep); err != nil {
			t.Fatal(err)
		}
		checkUnsealed(t, s, want)
	}
	if _, err := s.Prove(context.Background(), filled(1), 0, 1); err == nil {
		t.Error("proved without layers")
	}
	// What is left is enough to get the data file back.
	if err := s.Restore(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.path(sealedFile)); err != nil {
		t.Fatal(err)
	}
	checkUnsealed(t, s, want)
}

func checkUnsealed(t *testing.T, s *Sector, want []byte) {
	t.Helper()
	var all bytes.Buffer
	if err := s.Unseal(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(all.Bytes(), want) {
		t.Error("unsealed data differ")
	}
	for _, r := range [][2]uint64{{0, 1}, {126, 2}, {500, 800}, {127 * 15, 127}, {5, 0}, {uint64(len(want)), 0}} {
		var part bytes.Buffer
		if err := s.UnsealRange(context.Background(), &part, r[0], r[1]); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(part.Bytes(), want[r[0]:r[0]+r[1]]) {
			t.Errorf("bytes %d+%d differ", r[0], r[1])
		}
	}
	for _, r := range [][2]uint64{{0, uint64(len(want)) + 1}, {uint64(len(want)) + 1, 0}, {1, ^uint64(0)}} {
		if err := s.UnsealRange(context.Background(), &all, r[0], r[1]); err == nil {
			t.Errorf("range %v accepted", r)
		}
	}
}

func TestDirectoryBelongsToOneSector(t *testing.T) {
	cfg := small(t)
	sealed(t, cfg, filled(1))
	found, err := Find(cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if found.Next() != Done || found.Config().Number != 1 {
		t.Errorf("found %v, next %s", found.Config(), found.Next())
	}
	if _, err := Find(filepath.Join(cfg.Dir, "nowhere")); err == nil {
		t.Error("found a sector where there is none")
	}
}
