package piece

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/extern/vectors"
	"github.com/perdure/perdure/internal/merkle"
)

// endless yields one byte for ever.
type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

// uint32s yields the little-endian bytes of a generator's Uint32 values.
type uint32s struct {
	rng  *rand.Rand
	rest []byte
}

func (u *uint32s) Read(p []byte) (int, error) {
	for i := range p {
		if len(u.rest) == 0 {
			u.rest = binary.LittleEndian.AppendUint32(nil, u.rng.Uint32())
		}
		p[i], u.rest = u.rest[0], u.rest[1:]
	}
	return len(p), nil
}

// vectorData is the payload that a vector describes in words.
func vectorData(t *testing.T, words string) io.Reader {
	switch {
	case strings.HasPrefix(words, "0x00"):
		return endless(0)
	case strings.HasPrefix(words, "0xCC"):
		return endless(0xcc)
	case strings.HasPrefix(words, "ASCII 'a'"):
		return endless('a')
	case strings.Contains(words, "NewSource(1337)"):
		return &uint32s{rng: rand.New(rand.NewSource(1337))}
	case strings.Contains(words, "NewSource(0x7e5)"):
		return rand.New(rand.NewSource(0x7e5))
	}
	t.Fatalf("vector data %q: not known how to make it", words)
	return nil
}

func TestCommitVectors(t *testing.T) {
	const most = 20 << 20 // larger payloads add time, not cases
	n := 0
	for _, v := range vectors.Load(t, "piece_commitment") {
		var in struct {
			Payload uint64 `json:"payload_bytes"`
			Data    string `json:"data"`
		}
		var want struct {
			Padded uint64 `json:"padded_piece_size"`
			CommP  string `json:"comm_p"`
			CID    string `json:"cid"`
		}
		v.Decode(t, &in, &want)
		if in.Payload > most {
			continue
		}
		n++
		info, err := Commit(io.LimitReader(vectorData(t, in.Data), int64(in.Payload)))
		if err != nil {
			t.Fatalf("%s: %v", v.ID, err)
		}
		p, err := info.Piece()
		if err != nil {
			t.Fatalf("%s: %v", v.ID, err)
		}
		if info.CID.String() != want.CID || p.CommP != vectors.Node(t, want.CommP) || info.PaddedSize != want.Padded || info.PayloadSize != in.Payload {
			t.Errorf("%s: %s, %x, %d, %d; want %s, %s, %d", v.ID, info.CID, p.CommP, info.PaddedSize, info.PayloadSize, want.CID, want.CommP, want.Padded)
		}
	}
	if n != 86 {
		t.Errorf("%d vectors tried, want 86", n)
	}
}

func TestZeroCommitmentVectors(t *testing.T) {
	for _, v := range vectors.Load(t, "zero_commitment") {
		var in struct {
			Padded uint64 `json:"padded_bytes"`
			Level  int    `json:"tree_level"`
		}
		var want struct {
			Comm string  `json:"comm"`
			CID  *string `json:"piece_cid"`
		}
		v.Decode(t, &in, &want)
		if zeroNodes[in.Level] != vectors.Node(t, want.Comm) {
			t.Errorf("%s: level %d: %x, want %s", v.ID, in.Level, zeroNodes[in.Level], want.Comm)
		}
		got, err := ZeroCommitment(in.Padded)
		if in.Padded < MinPadded {
			if err == nil {
				t.Errorf("%s: no error", v.ID)
			}
			continue
		}
		if err != nil || got != vectors.Node(t, want.Comm) {
			t.Errorf("%s: %x, %v, want %s", v.ID, got, err, want.Comm)
		}
		if want.CID != nil && UnsealedCID(got).String() != *want.CID {
			t.Errorf("%s: %s, want %s", v.ID, UnsealedCID(got), *want.CID)
		}
	}
}

func TestTreeVectors(t *testing.T) {
	for _, v := range vectors.Matching(t, "tree_d", "hash_chunk") {
		var in struct {
			Data string `json:"data_hex"`
		}
		var want struct {
			Parent string
			Level1 []string
			Level2 string
		}
		v.Decode(t, &in, &want)
		data := vectors.Hex(t, in.Data)
		nodes, _, err := merkle.ParseNodes(data, len(data)/32)
		if err != nil {
			t.Fatal(err)
		}
		rows := map[int][]merkle.Node{}
		keep := func(row int, first uint64, nodes []merkle.Node) error {
			rows[row] = append(rows[row], nodes...)
			return nil
		}
		root, err := merkle.Build(Tree{}, merkle.Binary, uint64(len(nodes)), merkle.LeavesOf(nodes), keep, merkle.InOrder)
		if err != nil {
			t.Fatal(err)
		}
		for i, node := range want.Level1 {
			if rows[1][i] != vectors.Node(t, node) {
				t.Errorf("%s: level 1, node %d differs", v.ID, i)
			}
		}
		if top := want.Parent + want.Level2; root != vectors.Node(t, top) {
			t.Errorf("%s: %x, want %s", v.ID, root, top)
		}
	}
	for _, v := range vectors.Matching(t, "tree_d", "byte0_is_1") {
		var in struct {
			Padded uint64 `json:"padded_bytes"`
		}
		var want struct {
			CID   string   `json:"cid"`
			CommD string   `json:"comm_d"`
			Left  []string `json:"leftmost_node_by_level"`
		}
		v.Decode(t, &in, &want)
		// Byte 0 set and nothing else is the same before and after padding.
		info, err := Commit(io.MultiReader(bytes.NewReader([]byte{1}), io.LimitReader(endless(0), int64(MaxPayload(in.Padded))-1)))
		if err != nil || info.CID.String() != want.CID || info.PaddedSize != in.Padded {
			t.Errorf("%s: %v, %v, want %s", v.ID, info, err, want.CID)
		}
		node := merkle.Node{1}
		for level, left := range want.Left {
			node = join(&node, &zeroNodes[level])
			if node != vectors.Node(t, left) {
				t.Errorf("%s: level %d: %x, want %s", v.ID, level+1, node, left)
			}
		}
	}
	if _, err := (Tree{}).Hash(make([][32]byte, 3)); err == nil {
		t.Error("three children: no error")
	}
}

func TestPackingVectors(t *testing.T) {
	for _, v := range vectors.Load(t, "pieces") {
		switch v.ID {
		case "piece_alignment_table":
			testAlignment(t, v)
		case "piece_start_byte":
			testStarts(t, v)
		case "verify_padded_pieces":
			testCommD(t, v)
		default:
			t.Errorf("%s: no test", v.ID)
		}
	}
}

// testAlignment takes the pieces of (raw bytes before, raw bytes in the piece), and the zeros to the
// left and right of the second.
func testAlignment(t *testing.T, v vectors.Vector) {
	var want struct {
		Rows []struct {
			In   [2]uint64 `json:"inp"`
			Want [2]uint64 `json:"left_right"`
		}
	}
	v.Decode(t, nil, &want)
	for _, row := range want.Rows {
		var sizes []uint64
		for i, payload := range row.In {
			size, err := PaddedSize(payload)
			if err != nil {
				t.Fatal(err)
			}
			if i == 1 || payload > 0 {
				sizes = append(sizes, size)
			}
		}
		offsets, end, err := Layout(sizes, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		start := MaxPayload(offsets[len(offsets)-1])
		if got := [2]uint64{start - row.In[0], MaxPayload(end) - start - row.In[1]}; got != row.Want {
			t.Errorf("%s: %v: %v, want %v", v.ID, row.In, got, row.Want)
		}
	}
}

func testStarts(t *testing.T, v vectors.Vector) {
	var in struct {
		Before [][]uint64 `json:"previous_pieces"`
		Piece  []uint64
	}
	var want struct {
		Start []uint64 `json:"start_byte"`
	}
	v.Decode(t, &in, &want)
	for i := range in.Piece {
		var sizes []uint64
		for _, payload := range append(in.Before[i], in.Piece[i]) {
			size, err := PaddedSize(payload)
			if err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, size)
		}
		offsets, _, err := Layout(sizes, 2048)
		if err != nil {
			t.Fatal(err)
		}
		if got := MaxPayload(offsets[len(offsets)-1]); got != want.Start[i] {
			t.Errorf("%s: row %d: %d, want %d", v.ID, i, got, want.Start[i])
		}
	}
}

func testCommD(t *testing.T, v vectors.Vector) {
	var in struct {
		Sector uint64 `json:"sector_padded_bytes"`
		Pieces []struct {
			Comm     string
			Unpadded uint64
		}
	}
	var want struct {
		CommD string `json:"comm_d"`
	}
	v.Decode(t, &in, &want)
	var pieces []Piece
	for _, p := range in.Pieces {
		pieces = append(pieces, Piece{vectors.Node(t, p.Comm), p.Unpadded / 127 * 128})
	}
	if got, err := CommD(pieces, in.Sector); err != nil || got != vectors.Node(t, want.CommD) {
		t.Errorf("%s: %x, %v, want %s", v.ID, got, err, want.CommD)
	}
}

func TestLayoutRefuses(t *testing.T) {
	for _, c := range []struct {
		sizes  []uint64
		sector uint64
	}{
		{[]uint64{2048, 128}, 2048}, {[]uint64{4096}, 2048}, {[]uint64{128, 2048}, 2048}, {[]uint64{64}, 2048}, {[]uint64{0}, 2048},
		{[]uint64{192}, 2048}, {nil, 100}, {nil, 0}, {nil, 1 << 63}, {[]uint64{1 << 63}, 2048}, {[]uint64{128, 1 << 36}, 1 << 36},
	} {
		if offsets, _, err := Layout(c.sizes, c.sector); err == nil {
			t.Errorf("%v in %d: %v, want an error", c.sizes, c.sector, offsets)
		}
		var pieces []Piece
		for _, s := range c.sizes {
			pieces = append(pieces, Piece{PaddedSize: s})
		}
		if _, err := CommD(pieces, c.sector); err == nil {
			t.Errorf("CommD of %v in %d: no error", c.sizes, c.sector)
		}
	}
}

func TestCIDVectors(t *testing.T) {
	for _, v := range vectors.Load(t, "cid") {
		var want struct {
			Prefix  string `json:"cid_bytes_prefix_hex"`
			Example string
		}
		v.Decode(t, nil, &want)
		c, err := cid.Decode(want.Example)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(c.Bytes(), vectors.Hex(t, want.Prefix)) {
			t.Errorf("%s: %x", v.ID, c.Bytes())
		}
		parse, other, make := ParseUnsealedCID, ParseSealedCID, UnsealedCID
		if v.ID == "commr_prefix" {
			parse, other, make = ParseSealedCID, ParseUnsealedCID, SealedCID
		}
		comm, err := parse(c)
		if err != nil || make(comm) != c {
			t.Errorf("%s: %x, %v", v.ID, comm, err)
		}
		if _, err := other(c); !errors.Is(err, ErrCID) {
			t.Errorf("%s taken for the other kind: %v", v.ID, err)
		}
	}
	for _, s := range []string{
		"QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
	} {
		c, err := cid.Decode(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseUnsealedCID(c); !errors.Is(err, ErrCID) {
			t.Errorf("%s: %v", s, err)
		}
	}
	if _, err := ParseSealedCID(cid.Undef); !errors.Is(err, ErrCID) {
		t.Errorf("no CID: %v", err)
	}
	if _, err := (Info{}).Piece(); !errors.Is(err, ErrCID) {
		t.Errorf("empty info: %v", err)
	}
}

func FuzzCID(f *testing.F) {
	f.Add(UnsealedCID([32]byte{1}).Bytes())
	f.Add(SealedCID([32]byte{2}).Bytes())
	f.Add([]byte{1, 0x81, 0xe2, 3, 0x92, 0x20, 0x1f})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := cid.Cast(data)
		if err != nil {
			return
		}
		if comm, err := ParseUnsealedCID(c); err == nil && !bytes.Equal(UnsealedCID(comm).Bytes(), data) {
			t.Fatalf("%x is not the one form of %x", data, comm)
		}
		if comm, err := ParseSealedCID(c); err == nil && !bytes.Equal(SealedCID(comm).Bytes(), data) {
			t.Fatalf("%x is not the one form of %x", data, comm)
		}
	})
}

func ExampleCommit() {
	info, err := Commit(strings.NewReader("Perdure keeps."))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(info.CID, info.PaddedSize, info.PayloadSize)
	// Output: baga6ea4seaqimbvvclovlnqi46z2jsumbvzwzwpbxxxa2bdgg4ey7hawalom6di 128 14
}
