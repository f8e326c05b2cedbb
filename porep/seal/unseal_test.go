package seal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"testing"

	"github.com/perdure/perdure/porep/piece"
)

// FuzzUnsealRange unseals ranges of a sector in every way that it can be kept: a
// range is a part of the whole, and what does not lie inside is refused.
func FuzzUnsealRange(f *testing.F) {
	size := piece.MaxPayload(2048)
	data := make([]byte, 0, size)
	for i := byte(0); uint64(len(data)) < size; i++ {
		sum := sha256.Sum256([]byte{i})
		data = append(data, sum[:]...)
	}
	data = data[:size]
	kept := map[string]Keep{"unsealed": {Unsealed: true}, "key kept": {LastLayer: true}, "key dropped": {}}
	sectors := make(map[string]*Sector)
	for name, keep := range kept {
		s, _ := sealed(f, small(f), filled(1), Piece{Data: bytes.NewReader(data), PaddedSize: 2048})
		if err := s.Finalize(keep); err != nil {
			f.Fatal(err)
		}
		sectors[name] = s
	}
	for _, r := range [][2]uint64{{0, size}, {0, 1}, {126, 2}, {127, 127}, {500, 800}, {size, 0}, {size, 1}, {size + 1, 0}, {1, ^uint64(0)}, {31, 0}} {
		f.Add(r[0], r[1])
	}
	f.Fuzz(func(t *testing.T, offset, length uint64) {
		inside := offset <= size && length <= size-offset
		for name, s := range sectors {
			var part bytes.Buffer
			err := s.UnsealRange(context.Background(), &part, offset, length)
			if inside != (err == nil) {
				t.Fatalf("%s: %d bytes from %d: %v", name, length, offset, err)
			}
			if inside && !bytes.Equal(part.Bytes(), data[offset:offset+length]) {
				t.Fatalf("%s: %d bytes from %d differ", name, length, offset)
			}
		}
	})
}

// TestUnsealReportsDamage: a replica that holds no field element is named.
func TestUnsealReportsDamage(t *testing.T) {
	s, _ := sealed(t, small(t), filled(1))
	if err := s.Finalize(Keep{LastLayer: true}); err != nil {
		t.Fatal(err)
	}
	miswritten(t, s, sealedFile, func(content []byte) { copy(content[32*20:], tooLarge[:]) })
	err := s.Unseal(t.Context(), &bytes.Buffer{})
	for _, part := range []string{"sector 1", s.path(sealedFile), "node 20", "not a field element"} {
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte(part)) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
}
