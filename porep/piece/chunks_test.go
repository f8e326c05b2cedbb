package piece

import (
	"bytes"
	"testing"
)

// TestChunks makes the same pieces of chunks, the first one of its head and its rest.
func TestChunks(t *testing.T) {
	for _, size := range []int{LeastChunked, ChunkPayload, ChunkPayload + 1, ChunkPayload + 126, 2*ChunkPayload - 1, 2 * ChunkPayload, 2*ChunkPayload + 127, 5*ChunkPayload + 300} {
		data := randomBytes(int64(size), size)
		want, err := Commit(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		first := append(make([]byte, HeadPayload), data[HeadPayload:min(size, ChunkPayload)]...)
		roots := [][32]byte{RestOf(first).Root((*[HeadPayload]byte)(data))}
		for rest := data[min(size, ChunkPayload):]; len(rest) > 0; {
			n := min(len(rest), ChunkPayload)
			roots = append(roots, ChunkRoot(rest[:n]))
			rest = rest[n:]
		}
		if got, err := JoinChunks(uint64(size), roots); err != nil || got != want {
			t.Errorf("%d bytes: %v, %v, want %v", size, got, err, want)
		}
		if _, err := JoinChunks(uint64(size), roots[1:]); err == nil {
			t.Errorf("%d bytes: joined without the first chunk", size)
		}
	}
	if _, err := JoinChunks(LeastChunked-1, [][32]byte{{}}); err == nil {
		t.Error("joined a piece that is smaller than a chunk")
	}
}
