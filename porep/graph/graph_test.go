package graph

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/perdure/perdure/extern/vectors"
)

// porepID is u64LE(registered id) and zeros.
func porepID(registered uint64) (id [32]byte) {
	binary.LittleEndian.PutUint64(id[:], registered)
	return id
}

func TestChaCha8(t *testing.T) {
	for _, v := range vectors.Load(t, "rng") {
		switch v.ID {
		case "chacha8_zero_key":
			var in struct{ Key string }
			var want struct{ Keystream64 string }
			v.Decode(t, &in, &want)
			key := vectors.Node(t, in.Key)
			var block [16]uint32
			chacha8Block(&key, 0, &block)
			var got []byte
			for _, w := range block {
				got = binary.LittleEndian.AppendUint32(got, w)
			}
			if hex.EncodeToString(got) != want.Keystream64 {
				t.Errorf("%s: got %x", v.ID, got)
			}
		case "chacha8_drsample_reg5_node2":
			var in struct {
				Registered uint64 `json:"registered_seal_proof"`
				Node       uint32
			}
			var want struct {
				FirstU64 []string `json:"first_u64"`
			}
			v.Decode(t, &in, &want)
			g, err := New(porepID(in.Registered), 64)
			if err != nil {
				t.Fatal(err)
			}
			var draws [2 * drawn]uint64
			g.draw(in.Node, &draws)
			for i, s := range want.FirstU64 {
				if strconv.FormatUint(draws[i], 10) != s {
					t.Errorf("%s: draw %d = %d, want %s", v.ID, i, draws[i], s)
				}
			}
		}
	}
}

func TestFeistel(t *testing.T) {
	seen := 0
	for _, v := range vectors.Load(t, "feistel") {
		var in struct {
			Elements  uint64 `json:"num_elements"`
			Keys      [4]uint64
			Right     string
			Key       string
			RightMask string `json:"right_mask"`
		}
		var want struct {
			LeftMask    string `json:"left_mask"`
			RightMask   string `json:"right_mask"`
			HalfBits    uint   `json:"half_bits"`
			Permutation []uint64
			F           string `json:"blake2b_512_first8_be"`
		}
		v.Decode(t, &in, &want)
		switch {
		case strings.HasPrefix(v.ID, "precompute"):
			f := newFeistel(in.Elements, [3]uint64{})
			if f.halfBits != want.HalfBits || fmt.Sprintf("%#x", f.mask) != want.RightMask ||
				fmt.Sprintf("%#x", f.mask<<f.halfBits) != want.LeftMask {
				t.Errorf("%s: half %d mask %#x", v.ID, f.halfBits, f.mask)
			}
		case strings.HasPrefix(v.ID, "perm"):
			f := newFeistel(in.Elements, [3]uint64(in.Keys[:3]))
			for x, y := range want.Permutation {
				if got := f.permute(uint64(x)); got != y {
					t.Errorf("%s: %d maps to %d, want %d", v.ID, x, got, y)
				}
			}
		case strings.HasPrefix(v.ID, "F_"):
			f := feistel{mask: number(t, in.RightMask)}
			if got := fmt.Sprintf("%#x", f.round(number(t, in.Right), number(t, in.Key))); got != want.F {
				t.Errorf("%s: got %s, want %s", v.ID, got, want.F)
			}
		default:
			t.Errorf("unknown vector %s", v.ID)
		}
		seen++
	}
	if seen < 11 {
		t.Errorf("only %d vectors", seen)
	}
}

func number(t *testing.T, s string) uint64 {
	t.Helper()
	x, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestSeeds(t *testing.T) {
	for _, v := range vectors.Load(t, "graph_seeds") {
		var in struct {
			PorepID string `json:"porep_id"`
		}
		var want struct {
			Drg         string   `json:"sha256_drg"`
			Seed        string   `json:"drg_seed_28"`
			Feistel     string   `json:"sha256_feistel"`
			FeistelKeys []string `json:"feistel_keys_u64"`
		}
		v.Decode(t, &in, &want)
		id := vectors.Node(t, in.PorepID)
		if domainSeed(drgTag, id) != vectors.Node(t, want.Drg) || domainSeed(feistelTag, id) != vectors.Node(t, want.Feistel) {
			t.Errorf("%s: domain seeds differ", v.ID)
		}
		if seed := drgSeed(id); hex.EncodeToString(seed[:]) != want.Seed {
			t.Errorf("%s: seed %x", v.ID, seed)
		}
		for i, key := range feistelKeys(domainSeed(feistelTag, id)) {
			if key != number(t, want.FeistelKeys[i]) {
				t.Errorf("%s: key %d = %#x", v.ID, i, key)
			}
		}
	}
}

func TestParents(t *testing.T) {
	for _, v := range vectors.Load(t, "graph_parents") {
		var in struct {
			Registered uint64 `json:"registered_seal_proof"`
			Nodes      uint64
		}
		var want struct {
			All     [][Degree]uint32          `json:"parents_by_node"`
			Samples map[string][Degree]uint32 `json:"samples"`
		}
		v.Decode(t, &in, &want)
		g, err := New(porepID(in.Registered), in.Nodes)
		if err != nil {
			t.Fatal(err)
		}
		fast := g.Tabulated()
		for node, parents := range want.All {
			want.Samples = add(want.Samples, strconv.Itoa(node), parents)
		}
		if len(want.Samples) == 0 {
			t.Errorf("%s: nothing to compare", v.ID)
		}
		for node, parents := range want.Samples {
			for _, g := range []*Graph{g, fast} {
				var got [Degree]uint32
				g.Parents(uint32(number(t, node)), &got)
				if got != parents {
					t.Errorf("%s: node %s: got %v, want %v", v.ID, node, got, parents)
				}
			}
		}
	}
}

func add(m map[string][Degree]uint32, k string, p [Degree]uint32) map[string][Degree]uint32 {
	if m == nil {
		m = make(map[string][Degree]uint32)
	}
	m[k] = p
	return m
}

// TestParentTables hashes whole tables, as the published parent caches hold
// them. The tables above 8 MiB sectors would take hours.
func TestParentTables(t *testing.T) {
	compared := 0
	for _, v := range vectors.Load(t, "parent_cache_digest") {
		var in struct {
			Nodes   uint64
			PorepID string `json:"porep_id"`
		}
		var want struct {
			Key    string `json:"cache_file_key"`
			Digest string `json:"sha256_of_cache_file"`
		}
		v.Decode(t, &in, &want)
		g, err := New(vectors.Node(t, in.PorepID), in.Nodes)
		if err != nil {
			t.Fatal(err)
		}
		if key := fmt.Sprintf("v28-sdr-parent-%x", g.Key()); want.Key != "" && key != want.Key {
			t.Errorf("%s: key %s, want %s", v.ID, key, want.Key)
		}
		if in.Nodes > 1<<18 {
			continue
		}
		g = g.Tabulated()
		digest := sha256.New()
		var parents [Degree]uint32
		row := make([]byte, 0, 4*Degree)
		for node := range in.Nodes {
			g.Parents(uint32(node), &parents)
			row = row[:0]
			for _, p := range parents {
				row = binary.LittleEndian.AppendUint32(row, p)
			}
			digest.Write(row)
		}
		if got := hex.EncodeToString(digest.Sum(nil)); got != want.Digest {
			t.Errorf("%s: got %s, want %s", v.ID, got, want.Digest)
		}
		compared++
	}
	if compared < 4 {
		t.Errorf("only %d tables compared", compared)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, nodes := range []uint64{0, 1, MaxNodes + 1} {
		if _, err := New([32]byte{}, nodes); !errors.Is(err, ErrNodes) {
			t.Errorf("%d nodes: %v", nodes, err)
		}
	}
	if _, err := New([32]byte{}, MaxNodes); err != nil {
		t.Error(err)
	}
}

// TestShape checks what holds for every graph: base parents come before the
// node, and the expander visits each node exactly eight times.
func TestShape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.Uint64Range(2, 600).Draw(t, "nodes")
		id := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "porepID"))
		g, err := New(id, nodes)
		if err != nil {
			t.Fatal(err)
		}
		fast := g.Tabulated()
		first := rapid.Uint64Range(0, nodes-1).Draw(t, "first")
		runs := make([][Degree]uint32, nodes)
		fast.Run(0, runs[:first])
		fast.Run(uint32(first), runs[first:])
		visits := make([]int, nodes)
		for v := range uint32(nodes) {
			var p [Degree]uint32
			g.Parents(v, &p)
			var same [Degree]uint32
			if fast.Parents(v, &same); same != p {
				t.Fatalf("node %d has parents %v, by the table %v", v, p, same)
			}
			if run := runs[v]; run != p {
				t.Fatalf("node %d has parents %v, in a run %v", v, p, run)
			}
			for _, base := range p[:BaseDegree] {
				if v > 0 && base >= v {
					t.Fatalf("base parent %d of node %d", base, v)
				}
			}
			for _, e := range p[BaseDegree:] {
				visits[e]++
			}
		}
		for v, n := range visits {
			if n != ExpanderDegree {
				t.Fatalf("node %d is an expander parent %d times", v, n)
			}
		}
	})
}

func TestParentsAllocateNothing(t *testing.T) {
	g, err := New(porepID(6), 1<<18)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range []*Graph{g, g.Tabulated()} {
		var p [Degree]uint32
		if n := testing.AllocsPerRun(100, func() { g.Parents(4711, &p) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

func TestRemainder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, n := rapid.Uint64().Draw(t, "x"), rapid.Uint64Range(1, ^uint64(0)).Draw(t, "n")
		for _, n := range []uint64{n, n%64 + 1, 1 << (n % 64), 1<<(n%64) - 1 | 1} {
			if got := remainder(x, n, reciprocal(n)); got != x%n {
				t.Fatalf("%d mod %d is %d, want %d", x, n, got, x%n)
			}
		}
	})
}

func BenchmarkParents(b *testing.B) {
	for _, size := range []struct {
		name       string
		registered uint64
		nodes      uint64
	}{{"8MiB", 6, 1 << 18}, {"32GiB", 8, 1 << 30}} {
		b.Run(size.name, func(b *testing.B) {
			g, err := New(porepID(size.registered), size.nodes)
			if err != nil {
				b.Fatal(err)
			}
			var p [Degree]uint32
			for _, fast := range []bool{false, true} {
				name := "computed"
				if fast {
					name, g = "tabulated", g.Tabulated()
				}
				b.Run(name, func(b *testing.B) {
					b.ReportAllocs()
					for i := 0; b.Loop(); i++ {
						g.Parents(uint32(uint64(i)*2654435761%size.nodes), &p)
					}
				})
			}
			b.Run("run", func(b *testing.B) {
				var out [512][Degree]uint32
				nodes := 0
				for i := uint64(1); b.Loop(); i++ {
					g.Run(uint32(i*uint64(len(out))%size.nodes), out[:])
					nodes += len(out)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(nodes), "ns/node")
			})
		})
	}
}
