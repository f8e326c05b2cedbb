package segment

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand"
	"testing"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/retrieval/car"
)

func parseCID(t testing.TB, text string) cid.Cid {
	t.Helper()
	c, err := cid.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func commP(t testing.TB, text string) [32]byte {
	t.Helper()
	out, err := piece.ParseUnsealedCID(parseCID(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// sample is the published example of the format: two archives of 512 and 256 KiB in
// a piece of 1 MiB, with its entries' checksums and its piece CID.
func sample(t testing.TB) []Entry {
	return []Entry{
		{CommP: commP(t, "baga6ea4seaqae5ysjdbsr4b5jhotaz5ooh62jrrdbxwygfpkkfjz44kvywycmgy"), Offset: 0, Size: 512 << 10},
		{CommP: commP(t, "baga6ea4seaqnrm2n2g4m23t6rs26obxjw2tjtr7tcho24gepj2naqhevytduyoa"), Offset: 512 << 10, Size: 256 << 10},
	}
}

// TestGolden: the entries of the published example have the published checksums, and
// with the index the piece has the published commitment.
func TestGolden(t *testing.T) {
	entries := sample(t)
	for i, want := range [][checksumSize]byte{
		{240, 159, 115, 245, 242, 113, 10, 184, 63, 217, 104, 66, 92, 115, 185, 30},
		{132, 3, 181, 210, 141, 102, 112, 210, 53, 106, 33, 44, 114, 197, 58, 3},
	} {
		if got := entries[i].encode(nil); [checksumSize]byte(got[EntrySize-checksumSize:]) != want {
			t.Errorf("checksum of entry %d: %v, want %v", i, got[EntrySize-checksumSize:], want)
		}
	}
	const padded = 1 << 20
	area, err := MarshalIndex(entries, padded)
	if err != nil {
		t.Fatal(err)
	}
	index, err := piece.Commit(bytes.NewReader(area))
	if err != nil {
		t.Fatal(err)
	}
	if index.PaddedSize != IndexSize(padded) {
		t.Fatalf("index of %d padded bytes, want %d", index.PaddedSize, IndexSize(padded))
	}
	parts := []piece.Piece{{CommP: entries[0].CommP, PaddedSize: 512 << 10}, {CommP: entries[1].CommP, PaddedSize: 256 << 10}}
	for size := uint64(128 << 10); size >= IndexSize(padded); size /= 2 {
		zero, err := piece.ZeroCommitment(size)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, piece.Piece{CommP: zero, PaddedSize: size})
	}
	last, err := index.Piece()
	if err != nil {
		t.Fatal(err)
	}
	commD, err := piece.CommD(append(parts, last), padded)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := piece.UnsealedCID(commD).String(), "baga6ea4seaqnqkeoqevjjjfe46wo2lpfclcbmkyms4wkz5srou3vzmr3w3c72bq"; got != want {
		t.Errorf("piece %s, want %s", got, want)
	}
	back, err := ParseIndex(area, padded)
	if err != nil || len(back) != 2 || back[0] != entries[0] || back[1] != entries[1] {
		t.Errorf("read back %v, %v", back, err)
	}
}

// TestCapacity compares with the numbers that the format's text gives.
func TestCapacity(t *testing.T) {
	for padded, want := range map[uint64]uint64{512: 4, 256 << 10: 4, 1 << 20: 8, 8 << 20: 64, 32 << 30: 256 << 10, 64 << 30: 512 << 10} {
		if got := Capacity(padded); got != want || IndexSize(padded) != 64*want {
			t.Errorf("%d bytes: %d entries, want %d", padded, got, want)
		}
	}
}

// TestIndexRefuses: what cannot be an entry is refused when written, and passed over
// when read.
func TestIndexRefuses(t *testing.T) {
	const padded = 8 << 20
	good := sample(t)[1]
	for name, e := range map[string]Entry{
		"no power of two": {Offset: 0, Size: 384},
		"not aligned":     {Offset: 128, Size: 256},
		"in the index":    {Offset: padded - 128, Size: 128},
		"over the end":    {Offset: padded, Size: 128},
		"too large":       {Offset: 0, Size: padded},
		"overflow":        {Offset: 1<<64 - 128, Size: 128},
		"empty":           {},
	} {
		if _, err := MarshalIndex([]Entry{e}, padded); !errors.Is(err, ErrIndex) {
			t.Errorf("%s: %v", name, err)
		}
		area := make([]byte, IndexSize(padded))
		copy(area, e.encode(nil))
		copy(area[5*EntrySize:], good.encode(nil))
		raw := make([]byte, len(area)/128*127)
		if err := piece.Unpad(raw, area); err != nil {
			t.Fatal(err)
		}
		if got, err := ParseIndex(raw, padded); err != nil || len(got) != 1 || got[0] != good {
			t.Errorf("%s: read %v, %v", name, got, err)
		}
		raw[5*EntrySize/128*127+70] ^= 1
		if got, err := ParseIndex(raw, padded); err != nil || len(got) != 0 {
			t.Errorf("%s: a flipped bit gave %v, %v", name, got, err)
		}
	}
	if _, err := MarshalIndex(make([]Entry, 65), padded); !errors.Is(err, ErrIndex) {
		t.Errorf("more entries than fit: %v", err)
	}
	for _, padded := range []uint64{0, 128, 256, 1000, 128 << 30} {
		if _, err := MarshalIndex(nil, padded); !errors.Is(err, ErrIndex) {
			t.Errorf("piece of %d bytes: %v", padded, err)
		}
	}
}

// payload is one raw block of size bytes as a payload, and its archive.
func payload(t testing.TB, data []byte) Payload {
	t.Helper()
	root := car.LeafCID(sha256.Sum256(data))
	var out bytes.Buffer
	w, err := car.NewWriter(&out, root)
	if err == nil {
		err = w.Put(root, data)
	}
	if err != nil {
		t.Fatal(err)
	}
	return Payload{Index: w.Index(), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.Bytes())), nil }}
}

// TestPackScan packs payloads of all sizes and finds each again, by its root, with
// its bytes; also through the stored form.
func TestPackScan(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(1, 300), rapid.IntRange(1, 70_000), rapid.IntRange(60_000, 300_000)), 1, 40).Draw(rt, "sizes")
		rng := rand.New(rand.NewSource(rapid.Int64().Draw(rt, "seed")))
		var payloads []Payload
		contents := map[cid.Cid][]byte{}
		for _, n := range sizes {
			data := make([]byte, n)
			rng.Read(data)
			payloads = append(payloads, payload(t, data))
			contents[payloads[len(payloads)-1].Index.Root()] = data
		}
		plan, err := NewPlan(payloads, 64<<20)
		if err != nil {
			rt.Fatal(err)
		}
		var out bytes.Buffer
		entries, err := plan.Write(&out, payloads)
		if err != nil {
			rt.Fatal(err)
		}
		if uint64(out.Len()) != raw(plan.Padded) {
			rt.Fatalf("%d bytes, want %d", out.Len(), raw(plan.Padded))
		}
		src := bytes.NewReader(out.Bytes())
		back, err := ReadIndex(src, plan.Padded)
		if err != nil || len(back) != len(entries) {
			rt.Fatalf("%d entries read, %d written (%v)", len(back), len(entries), err)
		}
		for i, e := range back {
			info, err := piece.Commit(io.NewSectionReader(src, int64(raw(e.Offset)), int64(raw(e.Size))))
			if err != nil || info.CID != piece.UnsealedCID(e.CommP) || e != entries[i] {
				rt.Fatalf("segment %d is %s, its entry says %x (%v)", i, info.CID, e.CommP, err)
			}
		}
		found, err := Scan(src, plan.Padded)
		if err != nil {
			rt.Fatal(err)
		}
		stored, err := Unmarshal(Marshal(found))
		if err != nil {
			rt.Fatal(err)
		}
		for _, all := range [][]*car.Index{found, stored} {
			got := map[cid.Cid]bool{}
			for _, x := range all {
				data, err := x.ReadBlock(src, 0)
				if err != nil || x.Len() != 1 || !bytes.Equal(data, contents[x.Root()]) {
					rt.Fatalf("%s: %d blocks, %v", x.Root(), x.Len(), err)
				}
				got[x.Root()] = true
			}
			if len(got) != len(contents) {
				rt.Fatalf("%d payloads of %d", len(got), len(contents))
			}
		}
	})
}

// TestThousand: a thousand small files make one piece of 2 MiB.
func TestThousand(t *testing.T) {
	var payloads []Payload
	for i := range 1000 {
		data := make([]byte, 1024)
		data[0], data[1] = byte(i), byte(i>>8)
		payloads = append(payloads, payload(t, data))
	}
	plan, err := NewPlan(payloads, 8<<20)
	if err != nil || plan.Padded != 2<<20 {
		t.Fatalf("a piece of %d bytes (%v)", plan.Padded, err)
	}
	if uint64(len(plan.Segments)) > Capacity(plan.Padded) {
		t.Errorf("%d segments", len(plan.Segments))
	}
	if _, err := NewPlan(payloads, 1<<20); !errors.Is(err, ErrTooLarge) {
		t.Errorf("in a piece of 1 MiB: %v", err)
	}
	if _, err := NewPlan(nil, 1<<20); err == nil {
		t.Error("a piece of nothing")
	}
}

// TestScanStrange: segments that others wrote otherwise are found as far as they are
// archives; what is none is passed over.
func TestScanStrange(t *testing.T) {
	const padded = 1 << 20
	blocks := [][]byte{[]byte("first"), []byte("second"), []byte("third")}
	var cids []cid.Cid
	for _, b := range blocks {
		cids = append(cids, car.LeafCID(sha256.Sum256(b)))
	}
	archive := func(roots []cid.Cid, order ...int) []byte {
		var out bytes.Buffer
		if _, err := car.NewWriter(&out, cids[0]); err != nil {
			t.Fatal(err)
		}
		out.Reset()
		out.Write(car.Header(roots))
		for _, i := range order {
			out.WriteByte(byte(cids[i].ByteLen() + len(blocks[i])))
			out.Write(cids[i].Bytes())
			out.Write(blocks[i])
		}
		return out.Bytes()
	}
	bad := archive(cids[:1], 0)
	bad[len(bad)-1] ^= 1
	full := make([]byte, raw(padded))
	var entries []Entry
	for i, segment := range [][]byte{
		archive(cids[:2], 1, 2, 0), // not in the order of the roots
		bad,
		[]byte("no archive at all"),
		archive(cids[2:], 0), // does not hold its root
	} {
		e := Entry{Offset: uint64(i) * 256, Size: 256}
		copy(full[raw(e.Offset):], segment)
		entries = append(entries, e)
	}
	area, err := MarshalIndex(entries, padded)
	if err != nil {
		t.Fatal(err)
	}
	copy(full[raw(padded-IndexSize(padded)):], area)
	found, err := Scan(bytes.NewReader(full), padded)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 2 {
		t.Fatalf("%d payloads, want those of the first segment", len(found))
	}
	for i, x := range found {
		at, ok := x.Find(cids[i])
		if !ok || x.Root() != cids[i] {
			t.Fatalf("payload %d: root %s, found %v", i, x.Root(), ok)
		}
		if data, err := x.ReadBlock(bytes.NewReader(full), at); err != nil || !bytes.Equal(data, blocks[i]) {
			t.Errorf("payload %d: %q, %v", i, data, err)
		}
	}
	if _, err := Scan(bytes.NewReader(full[:1000]), padded); err == nil {
		t.Error("a piece that ends early was read")
	}
}

// FuzzScan: whatever is in a piece, what is found in it can be read and matches its CID.
func FuzzScan(f *testing.F) {
	p := []Payload{payload(f, []byte("a")), payload(f, []byte("bb"))}
	plan, err := NewPlan(p, 1<<20)
	if err != nil {
		f.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := plan.Write(&out, p); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		full := make([]byte, raw(plan.Padded))
		copy(full, data)
		src := bytes.NewReader(full)
		found, err := Scan(src, plan.Padded)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range found {
			for i := range x.Len() {
				if _, err := x.ReadBlock(src, i); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// FuzzUnmarshal: stored contents that are read are written the same.
func FuzzUnmarshal(f *testing.F) {
	f.Add(Marshal([]*car.Index{payload(f, []byte("a")).Index}))
	f.Fuzz(func(t *testing.T, stored []byte) {
		if all, err := Unmarshal(stored); err == nil {
			if again, err := Unmarshal(Marshal(all)); err != nil || len(again) != len(all) {
				t.Fatalf("%d payloads, then %d (%v)", len(all), len(again), err)
			}
		}
	})
}
