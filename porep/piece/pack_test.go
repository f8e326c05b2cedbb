package piece

import (
	"bytes"
	"crypto/sha256"
	"math/rand"
	"testing"

	"github.com/perdure/perdure/internal/merkle"
)

// packPlainly places each payload at the first byte behind the one before where its piece may stand,
// and returns the sector, or nil if they do not fit.
func packPlainly(payloads [][]byte, sectorSize uint64) []byte {
	sector, end := make([]byte, sectorSize), uint64(0)
	for _, payload := range payloads {
		size := uint64(MinPadded)
		for size/128*127 < uint64(len(payload)) {
			size *= 2
		}
		start := end
		for start%size != 0 {
			start++
		}
		if start+size > sectorSize {
			return nil
		}
		raw := append(bytes.Clone(payload), make([]byte, size/128*127-uint64(len(payload)))...)
		for i := uint64(0); i < size; i += 128 {
			copy(sector[start+i:], padPlainly(raw[i/128*127:][:127]))
		}
		end = start + size
	}
	return sector
}

// rootPlainly builds the whole tree over a sector, node by node.
func rootPlainly(sector []byte) [32]byte {
	if len(sector) == 32 {
		return [32]byte(sector)
	}
	left, right := rootPlainly(sector[:len(sector)/2]), rootPlainly(sector[len(sector)/2:])
	node := sha256.Sum256(append(left[:], right[:]...))
	node[31] &= 0x3f
	return node
}

// checkPacking compares CommD, and the data tree of merkle.Build, with the naive model.
func checkPacking(t *testing.T, payloads [][]byte, sectorSize uint64) {
	t.Helper()
	var pieces []Piece
	for _, payload := range payloads {
		info, err := Commit(bytes.NewReader(payload))
		if err != nil {
			t.Fatal(err)
		}
		p, err := info.Piece()
		if err != nil {
			t.Fatal(err)
		}
		pieces = append(pieces, p)
	}
	got, err := CommD(pieces, sectorSize)
	sector := packPlainly(payloads, sectorSize)
	if sector == nil {
		if err == nil {
			t.Fatalf("%d pieces that do not fit: no error", len(pieces))
		}
		return
	}
	if err != nil {
		t.Fatalf("%d pieces that fit: %v", len(pieces), err)
	}
	want := rootPlainly(sector)
	if got != want {
		t.Fatalf("CommD of %d pieces: %x, the tree's root is %x", len(pieces), got, want)
	}
	built, err := merkle.Build(Tree{}, merkle.Binary, sectorSize/32, merkle.LeavesAt(bytes.NewReader(sector)), nil, merkle.InOrder)
	if err != nil || built != want {
		t.Fatalf("tree over the sector: %x, %v, want %x", built, err, want)
	}
}

func TestPacking(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	for range 200 {
		payloads := make([][]byte, rng.Intn(9))
		for i := range payloads {
			payloads[i] = randomBytes(rng.Int63(), rng.Intn(600))
		}
		checkPacking(t, payloads, 4<<10)
	}
}

// FuzzPacking takes lengths of payloads, two bytes each, from sizes, and their bytes from data over
// and over.
func FuzzPacking(f *testing.F) {
	f.Add([]byte{}, []byte{1})
	f.Add([]byte{0, 1, 2, 0, 0, 0, 0, 127}, []byte("payload"))
	f.Add([]byte{3, 0xf8}, []byte{0xff})
	f.Fuzz(func(t *testing.T, sizes, data []byte) {
		const sectorSize = 2 << 10
		var payloads [][]byte
		for ; len(sizes) >= 2 && len(payloads) < 20; sizes = sizes[2:] {
			payload := make([]byte, (int(sizes[0])<<8|int(sizes[1]))%(sectorSize+1))
			for n := 0; n < len(payload) && len(data) > 0; {
				n += copy(payload[n:], data)
			}
			payloads = append(payloads, payload)
		}
		checkPacking(t, payloads, sectorSize)
	})
}
