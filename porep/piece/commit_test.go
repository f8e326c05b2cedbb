package piece

import (
	"bytes"
	"errors"
	"io"
	"math/rand"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	commp "github.com/filecoin-project/go-fil-commp-hashhash"
	"pgregory.net/rapid"
)

const chunkRaw = chunkBlocks * rawBlock

// TestCommitEqualsOracle compares random payloads, written in random parts, with an independent
// implementation; that one refuses less than 65 bytes.
func TestCommitEqualsOracle(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.OneOf(rapid.IntRange(65, 600), rapid.IntRange(65, 100_000), rapid.IntRange(3*chunkRaw, 5*chunkRaw)).Draw(rt, "size")
		data := make([]byte, size)
		rand.New(rand.NewSource(rapid.Int64().Draw(rt, "seed"))).Read(data)
		var oracle commp.Calc
		if _, err := oracle.Write(data); err != nil {
			rt.Fatal(err)
		}
		want, padded, err := oracle.Digest()
		if err != nil {
			rt.Fatal(err)
		}
		var h Hasher
		for rest := data; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(rt, "part")
			if _, err := h.Write(rest[:n]); err != nil {
				rt.Fatal(err)
			}
			h.Sum() // must not disturb
			rest = rest[n:]
		}
		got, err := h.Sum().Piece()
		if err != nil || !bytes.Equal(got.CommP[:], want) || got.PaddedSize != padded {
			rt.Fatalf("%x, %d, %v; want %x, %d", got.CommP, got.PaddedSize, err, want, padded)
		}
	})
}

func TestCommitEdges(t *testing.T) {
	for size := range 129 {
		data := bytes.Repeat([]byte{7}, size)
		info, err := Commit(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		padded := uint64(128)
		if size > 127 {
			padded = 256
		}
		extended, err := Commit(bytes.NewReader(append(data, make([]byte, int(MaxPayload(padded))-size)...)))
		if err != nil || info.PaddedSize != padded || info.CID != extended.CID || info.PayloadSize != uint64(size) {
			t.Errorf("%d bytes: %v, extended %v, %v", size, info, extended, err)
		}
	}
	broken := errors.New("broken")
	if _, err := Commit(io.MultiReader(bytes.NewReader(make([]byte, 100)), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("broken reader: %v", err)
	}
	h := Hasher{payload: MaxPayload(MaxPadded) - 1}
	if n, err := h.Write([]byte{1, 2}); n != 0 || err == nil {
		t.Errorf("more than a piece holds: %d, %v", n, err)
	}
	if _, err := PaddedSize(MaxPayload(MaxPadded) + 1); err == nil {
		t.Error("padded size of too large a payload: no error")
	}
}

// randomBytes returns the bytes of a generator.
func randomBytes(seed int64, n int) []byte {
	data := make([]byte, n)
	rand.New(rand.NewSource(seed)).Read(data)
	return data
}

// lazy reads as few bytes as it likes, sometimes none, and ends with the last of them.
type lazy struct {
	rest []byte
	rng  *rand.Rand
}

func (l *lazy) Read(p []byte) (int, error) {
	if l.rng.Intn(4) == 0 {
		return 0, nil
	}
	n := copy(p[:min(len(p), 1+l.rng.Intn(1000))], l.rest)
	l.rest = l.rest[n:]
	if len(l.rest) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// TestCommitReaders commits to the same bytes through readers of all manners.
func TestCommitReaders(t *testing.T) {
	for _, size := range []int{
		0, 1, rawBlock - 1, rawBlock, rawBlock + 1, readBlocks*rawBlock - 1, readBlocks * rawBlock, readBlocks*rawBlock + 1,
		chunkRaw - 1, chunkRaw, chunkRaw + 1, 2*chunkRaw + 1, 3*chunkRaw - 1,
	} {
		data := randomBytes(int64(size), size)
		var h Hasher
		if _, err := h.Write(data); err != nil {
			t.Fatal(err)
		}
		want := h.Sum()
		for name, r := range map[string]io.Reader{
			"plain":        bytes.NewReader(data),
			"half":         iotest.HalfReader(bytes.NewReader(data)),
			"byte by byte": iotest.OneByteReader(bytes.NewReader(data)),
			"data and EOF": iotest.DataErrReader(bytes.NewReader(data)),
			"lazy":         &lazy{data, rand.New(rand.NewSource(int64(size)))},
		} {
			if got, err := Commit(r); err != nil || got != want {
				t.Errorf("%d bytes, %s: %v, %v, want %v", size, name, got, err, want)
			}
		}
	}
}

// TestCommitErrors lets the reader break after any part of a chunk.
func TestCommitErrors(t *testing.T) {
	broken := errors.New("broken")
	for _, size := range []int{0, 1, rawBlock, readBlocks * rawBlock, chunkRaw, chunkRaw + 1} {
		for _, r := range []io.Reader{
			io.MultiReader(bytes.NewReader(make([]byte, size)), iotest.ErrReader(broken)),
			io.MultiReader(iotest.OneByteReader(bytes.NewReader(make([]byte, size))), iotest.ErrReader(broken)),
		} {
			if info, err := Commit(r); !errors.Is(err, broken) || info != (Info{}) {
				t.Errorf("reader that breaks after %d bytes: %v, %v", size, info, err)
			}
		}
	}
}

// BenchmarkCommit commits to 256 MiB on one core, by turns here and with go-fil-commp-hashhash. The
// ratio is of their medians.
func BenchmarkCommit(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	data := randomBytes(1, 256<<20)
	ours := func() {
		if _, err := Commit(bytes.NewReader(data)); err != nil {
			b.Fatal(err)
		}
	}
	hashhash := func() {
		var c commp.Calc
		if _, err := io.Copy(&c, bytes.NewReader(data)); err != nil {
			b.Fatal(err)
		}
		if _, _, err := c.Digest(); err != nil {
			b.Fatal(err)
		}
	}
	for _, one := range []struct {
		name   string
		commit func()
	}{{"ours", ours}, {"hashhash", hashhash}} {
		b.Run(one.name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				one.commit()
			}
		})
	}
	b.Run("ratio", func(b *testing.B) {
		var mine, theirs []time.Duration
		for b.Loop() {
			mine = append(mine, timed(ours))
			theirs = append(theirs, timed(hashhash))
		}
		b.ReportMetric(float64(median(theirs))/float64(median(mine)), "ratio")
	})
}

func timed(run func()) time.Duration {
	start := time.Now()
	run()
	return time.Since(start)
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}
