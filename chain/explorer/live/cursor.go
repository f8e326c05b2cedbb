package live

import (
	"encoding/base64"
	"encoding/binary"
	"errors"

	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/chain"
)

// Cursor is a place in the stream: that of the next item. The place after a
// block's last item is that before the next block.
type Cursor struct {
	Height chain.Height
	Seq    uint32 // among the items of the block, whatever a reader takes of them
}

// cursorSize is the size of a cursor: a mark of the chain, height, number.
const cursorSize = 4 + 8 + 4

// marker writes and reads the cursors of one chain.
type marker [4]byte

// newMarker returns the first bytes of SHA-256("perdure/live/1" || chain ID).
func newMarker(chainID string) (m marker) {
	sum := sha256.Sum256(append([]byte("perdure/live/1"), chainID...))
	copy(m[:], sum[:])
	return m
}

// text appends a cursor as readers see it: base64 for URLs, without padding.
func (m marker) text(to []byte, c Cursor) []byte {
	b := make([]byte, 0, cursorSize)
	b = append(b, m[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Height))
	b = binary.BigEndian.AppendUint32(b, c.Seq)
	return base64.RawURLEncoding.AppendEncode(to, b)
}

var errCursor = errors.New("cursor is none of this chain's streams")

// parse reads what text wrote.
func (m marker) parse(s string) (Cursor, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != cursorSize || marker(b[:4]) != m {
		return Cursor{}, errCursor
	}
	c := Cursor{chain.Height(binary.BigEndian.Uint64(b[4:])), binary.BigEndian.Uint32(b[12:])}
	if c.Height > maxHeight {
		return Cursor{}, errCursor
	}
	return c, nil
}

// maxHeight is beyond every height, and far from where numbers wrap.
const maxHeight = 1 << 62
