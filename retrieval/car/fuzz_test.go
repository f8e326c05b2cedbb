package car

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"testing"

	"github.com/ipfs/go-cid"
)

// FuzzReader reads arbitrary bytes: what is read must be what go-car reads,
// and writing it again must give the same bytes.
func FuzzReader(f *testing.F) {
	good, _ := sample(f, 0, 10, 300)
	f.Add(good)
	f.Add(good[:len(good)-3])
	f.Add(append(bytes.Clone(good), 0, 0, 0))
	f.Add(appendHeader(nil, nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		blocks, err := readAll(raw, Options{})
		if err != nil {
			return
		}
		theirs, err := reference(raw, false)
		if err != nil {
			t.Fatalf("go-car refuses what we read: %v", err)
		}
		if err := sameBlocks(blocks, theirs); err != nil {
			t.Fatal(err)
		}
		r, err := NewReader(bytes.NewReader(raw), Options{})
		if err != nil {
			t.Fatal(err)
		}
		var again bytes.Buffer
		w, err := NewWriter(&again, r.Roots()[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks {
			if err := w.Put(b.CID, b.Data); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(again.Bytes(), raw) {
			t.Fatal("written again it differs")
		}
	})
}

// FuzzIndex decodes arbitrary bytes with a right checksum.
func FuzzIndex(f *testing.F) {
	for _, sizes := range [][]int{{}, {1}, {0, 1, 300, 5}} {
		_, x := sample(f, sizes...)
		raw, _ := x.MarshalBinary()
		f.Add(raw[:len(raw)-4])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		raw := binary.BigEndian.AppendUint32(bytes.Clone(body), crc32.Checksum(body, castagnoli))
		x, err := UnmarshalIndex(raw)
		if err != nil {
			return
		}
		again, err := x.MarshalBinary()
		if err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("stored again it differs (%v)", err)
		}
	})
}

// FuzzHeader decodes arbitrary headers.
func FuzzHeader(f *testing.F) {
	f.Add(appendHeader(nil, []cid.Cid{cidOf(cid.Raw, nil)})[1:])
	f.Add([]byte("\xa2eroots\x80gversion\x01"))
	f.Add([]byte("\xa2eroots\x9a\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, body []byte) {
		roots, err := parseHeader(body)
		if err != nil {
			return
		}
		raw := appendHeader(nil, roots)
		r, err := NewReader(bytes.NewReader(raw), Options{AnyRoots: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Next(); err != io.EOF {
			t.Fatal(err)
		}
	})
}
