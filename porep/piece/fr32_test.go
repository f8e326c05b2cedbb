package piece

import (
	"bytes"
	"errors"
	"io"
	"math/big"
	"math/rand"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/perdure/perdure/extern/vectors"
)

// reversed turns little-endian bytes into big-endian ones and back.
func reversed(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[len(b)-1-i] = b[i]
	}
	return out
}

// padPlainly pads one block by the definition: element i is bits 254·i to 254·i+253 of the block.
func padPlainly(raw []byte) []byte {
	value := new(big.Int).SetBytes(reversed(raw))
	mask := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 254), big.NewInt(1))
	var out []byte
	for i := range uint(4) {
		element := new(big.Int).Rsh(value, 254*i)
		element.And(element, mask)
		out = append(out, reversed(element.FillBytes(make([]byte, 32)))...)
	}
	return out
}

func TestPadVectors(t *testing.T) {
	for _, v := range vectors.Load(t, "fr32") {
		var in struct {
			Raw string `json:"raw_hex"`
		}
		var want struct {
			Padded string `json:"padded_hex"`
		}
		v.Decode(t, &in, &want)
		raw, padded := vectors.Hex(t, in.Raw), vectors.Hex(t, want.Padded)
		// The vectors end with their last element; a piece ends with its last block.
		got, err := io.ReadAll(NewReader(bytes.NewReader(raw), MinPadded))
		if err != nil {
			t.Fatalf("%s: %v", v.ID, err)
		}
		if want := append(padded, make([]byte, MinPadded-len(padded))...); !bytes.Equal(got, want) {
			t.Errorf("%s: %x, want %x", v.ID, got, want)
		}
		back, err := io.ReadAll(NewUnpadder(bytes.NewReader(got)))
		if want := append(raw, make([]byte, 127-len(raw))...); err != nil || !bytes.Equal(back, want) {
			t.Errorf("%s: unpadded: %x, %v", v.ID, back, err)
		}
	}
}

func TestPadEqualsDefinition(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 127, 127).Draw(rt, "raw")
		got := make([]byte, 128)
		Pad(got, raw)
		if want := padPlainly(raw); !bytes.Equal(got, want) {
			rt.Fatalf("%x, want %x", got, want)
		}
	})
}

func TestStreams(t *testing.T) {
	for _, size := range []int{0, 1, 126, 127, 128, 127 * 255, 127*256 - 1, 127 * 256, 127*256 + 1, 127 * 512} {
		raw := make([]byte, size)
		for i := range raw {
			raw[i] = byte(i*i>>3 + i)
		}
		const padded = 128 * 512
		want := make([]byte, padded)
		Pad(want, append(bytes.Clone(raw), make([]byte, 127*512-size)...))
		for _, r := range []io.Reader{bytes.NewReader(raw), iotest.HalfReader(bytes.NewReader(raw)), iotest.DataErrReader(bytes.NewReader(raw))} {
			got, err := io.ReadAll(iotest.HalfReader(NewReader(r, padded)))
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes: padded differently, %v", size, err)
			}
		}
		back, err := io.ReadAll(NewUnpadder(iotest.OneByteReader(bytes.NewReader(want))))
		if err != nil || !bytes.Equal(back[:size], raw) || len(back) != 127*512 {
			t.Fatalf("%d bytes: unpadded differently, %v", size, err)
		}
	}
}

func TestStreamErrors(t *testing.T) {
	broken := errors.New("broken")
	if _, err := io.ReadAll(NewReader(bytes.NewReader(make([]byte, 128)), 128)); err == nil {
		t.Error("a raw byte too many: no error")
	}
	if _, err := io.ReadAll(NewReader(iotest.ErrReader(broken), 128)); !errors.Is(err, broken) {
		t.Errorf("broken raw reader: %v", err)
	}
	if _, err := io.ReadAll(NewReader(io.MultiReader(bytes.NewReader(make([]byte, 127)), iotest.ErrReader(broken)), 128)); !errors.Is(err, broken) {
		t.Errorf("raw reader that breaks at the end: %v", err)
	}
	if _, err := io.ReadAll(NewReader(bytes.NewReader(nil), 100)); err == nil {
		t.Error("padded size that is no multiple of 128: no error")
	}
	if _, err := io.ReadAll(NewUnpadder(bytes.NewReader(make([]byte, 200)))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a block: %v", err)
	}
	if _, err := io.ReadAll(NewUnpadder(iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("broken padded reader: %v", err)
	}
	for element := range 4 {
		for bit := range 2 {
			padded := make([]byte, 256)
			padded[128+element*32+31] = 0x40 << bit
			if err := Unpad(make([]byte, 254), padded); !errors.Is(err, ErrNotPadded) {
				t.Errorf("element %d, added bit %d set: %v", element, bit, err)
			}
			if _, err := io.ReadAll(NewUnpadder(bytes.NewReader(padded))); !errors.Is(err, ErrNotPadded) {
				t.Errorf("stream, element %d, added bit %d set: %v", element, bit, err)
			}
		}
	}
}

// FuzzFr32 checks that padding and its reverse are inverse to each other on every block.
func FuzzFr32(f *testing.F) {
	f.Add(bytes.Repeat([]byte{0xff}, 127), bytes.Repeat([]byte{0x3f}, 128))
	f.Fuzz(func(t *testing.T, raw, padded []byte) {
		if n := len(raw) / 127; n > 0 {
			raw, there, back := raw[:n*127], make([]byte, n*128), make([]byte, n*127)
			Pad(there, raw)
			if err := Unpad(back, there); err != nil || !bytes.Equal(back, raw) {
				t.Fatalf("%x comes back as %x, %v", raw, back, err)
			}
		}
		if n := len(padded) / 128; n > 0 {
			padded, back, again := padded[:n*128], make([]byte, n*127), make([]byte, n*128)
			if err := Unpad(back, padded); err != nil {
				return
			}
			if Pad(again, back); !bytes.Equal(again, padded) {
				t.Fatalf("%x is not the one padding of %x", padded, back)
			}
		}
	})
}

// FuzzStreams pads and unpads a stream through readers that return what they like.
func FuzzStreams(f *testing.F) {
	f.Add([]byte("raw"), uint8(1), int64(1))
	f.Add(bytes.Repeat([]byte{0xff}, 300), uint8(0), int64(2))
	f.Add(make([]byte, streamBlocks*rawBlock+1), uint8(200), int64(3))
	f.Fuzz(func(t *testing.T, raw []byte, zeros uint8, seed int64) {
		rng := rand.New(rand.NewSource(seed))
		blocks := (len(raw)+rawBlock-1)/rawBlock + int(zeros)
		extended := append(bytes.Clone(raw), make([]byte, blocks*rawBlock-len(raw))...)
		want := make([]byte, blocks*paddedBlock)
		Pad(want, extended)
		padded, err := io.ReadAll(iotest.HalfReader(NewReader(&lazy{raw, rng}, uint64(len(want)))))
		if err != nil || !bytes.Equal(padded, want) {
			t.Fatalf("%d bytes padded differently, %v", len(raw), err)
		}
		back, err := io.ReadAll(NewUnpadder(&lazy{padded, rng}))
		if err != nil || !bytes.Equal(back, extended) {
			t.Fatalf("%d bytes unpadded differently, %v", len(raw), err)
		}
	})
}

func BenchmarkPad(b *testing.B) {
	raw, padded := make([]byte, 127<<10), make([]byte, 128<<10)
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		Pad(padded, raw)
	}
}

func BenchmarkUnpad(b *testing.B) {
	raw, padded := make([]byte, 127<<10), make([]byte, 128<<10)
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if err := Unpad(raw, padded); err != nil {
			b.Fatal(err)
		}
	}
}
