package piece

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrNotPadded says that bytes are not the result of padding: a bit that padding keeps zero is set.
var ErrNotPadded = errors.New("not fr32-padded data")

// Pad pads blocks of 127 bytes to blocks of 128. The length of src must be a multiple of 127, that
// of dst the same multiple of 128, and they must not overlap: anything else is a mistake of the
// calling code and panics.
func Pad(dst, src []byte) {
	mustBlocks(len(dst), len(src))
	for ; len(src) > 0; dst, src = dst[paddedBlock:], src[rawBlock:] {
		padBlock((*[paddedBlock]byte)(dst), (*[rawBlock]byte)(src))
	}
}

// Unpad is the reverse of Pad. It returns ErrNotPadded if one of the added bits is not zero.
func Unpad(dst, src []byte) error {
	mustBlocks(len(src), len(dst))
	for ; len(src) > 0; dst, src = dst[rawBlock:], src[paddedBlock:] {
		if !unpadBlock((*[rawBlock]byte)(dst), (*[paddedBlock]byte)(src)) {
			return ErrNotPadded
		}
	}
	return nil
}

func mustBlocks(padded, raw int) {
	if padded%paddedBlock != 0 || raw%rawBlock != 0 || padded/paddedBlock != raw/rawBlock {
		panic(fmt.Sprintf("piece: %d padded bytes for %d raw bytes", padded, raw))
	}
}

// topBits are the two bits that padding keeps zero in an element's last word.
const topBits = 3 << 62

// padBlock takes the block as a little-endian number of 1016 bits and gives each element 254 of
// them: element e begins at bit 254·e, which is 2·e bits before word 4·e. Constant shifts, written
// out, are several times faster than a loop.
func padBlock(dst *[paddedBlock]byte, src *[rawBlock]byte) {
	le := binary.LittleEndian
	a, b, c, d := le.Uint64(src[0:]), le.Uint64(src[8:]), le.Uint64(src[16:]), le.Uint64(src[24:])
	le.PutUint64(dst[0:], a)
	le.PutUint64(dst[8:], b)
	le.PutUint64(dst[16:], c)
	le.PutUint64(dst[24:], d&^topBits)

	e, f, g, h := le.Uint64(src[32:]), le.Uint64(src[40:]), le.Uint64(src[48:]), le.Uint64(src[56:])
	le.PutUint64(dst[32:], e<<2|d>>62)
	le.PutUint64(dst[40:], f<<2|e>>62)
	le.PutUint64(dst[48:], g<<2|f>>62)
	le.PutUint64(dst[56:], (h<<2|g>>62)&^topBits)

	i, j, k, l := le.Uint64(src[64:]), le.Uint64(src[72:]), le.Uint64(src[80:]), le.Uint64(src[88:])
	le.PutUint64(dst[64:], i<<4|h>>60)
	le.PutUint64(dst[72:], j<<4|i>>60)
	le.PutUint64(dst[80:], k<<4|j>>60)
	le.PutUint64(dst[88:], (l<<4|k>>60)&^topBits)

	m, n, o, p := le.Uint64(src[96:]), le.Uint64(src[104:]), le.Uint64(src[112:]), le.Uint64(src[rawBlock-8:])>>8
	le.PutUint64(dst[96:], m<<6|l>>58)
	le.PutUint64(dst[104:], n<<6|m>>58)
	le.PutUint64(dst[112:], o<<6|n>>58)
	le.PutUint64(dst[120:], (p<<6|o>>58)&^topBits)
}

// unpadBlock reports whether all added bits are zero.
func unpadBlock(dst *[rawBlock]byte, src *[paddedBlock]byte) bool {
	le := binary.LittleEndian
	a, b, c, d := le.Uint64(src[0:]), le.Uint64(src[8:]), le.Uint64(src[16:]), le.Uint64(src[24:])
	e, f, g, h := le.Uint64(src[32:]), le.Uint64(src[40:]), le.Uint64(src[48:]), le.Uint64(src[56:])
	i, j, k, l := le.Uint64(src[64:]), le.Uint64(src[72:]), le.Uint64(src[80:]), le.Uint64(src[88:])
	m, n, o, p := le.Uint64(src[96:]), le.Uint64(src[104:]), le.Uint64(src[112:]), le.Uint64(src[120:])

	le.PutUint64(dst[0:], a)
	le.PutUint64(dst[8:], b)
	le.PutUint64(dst[16:], c)
	le.PutUint64(dst[24:], d|e<<62)

	le.PutUint64(dst[32:], e>>2|f<<62)
	le.PutUint64(dst[40:], f>>2|g<<62)
	le.PutUint64(dst[48:], g>>2|h<<62)
	le.PutUint64(dst[56:], h>>2|i<<60)

	le.PutUint64(dst[64:], i>>4|j<<60)
	le.PutUint64(dst[72:], j>>4|k<<60)
	le.PutUint64(dst[80:], k>>4|l<<60)
	le.PutUint64(dst[88:], l>>4|m<<58)

	le.PutUint64(dst[96:], m>>6|n<<58)
	le.PutUint64(dst[104:], n>>6|o<<58)
	le.PutUint64(dst[112:], o>>6|p<<58)
	le.PutUint64(dst[rawBlock-8:], o>>62|p<<2) // the last 7 bytes, and again the one before
	return (d|h|l|p)&topBits == 0
}

// streamBlocks is how many blocks the readers pad or unpad at a time.
const streamBlocks = 256

// Reader pads a stream. It yields exactly the padded bytes of a piece, extending the raw bytes
// with zeros.
type Reader struct {
	raw  io.Reader
	left uint64 // padded bytes not yet produced
	in   []byte
	out  []byte
	rest []byte // part of out not yet read
	err  error
}

// NewReader returns a reader of the padded bytes of a piece: padded of them (a padded size, or any
// multiple of 128), from at most 127/128 as many raw bytes in r. If r holds more, reading ends with
// an error instead of io.EOF.
func NewReader(r io.Reader, padded uint64) *Reader {
	return &Reader{raw: r, left: padded, in: make([]byte, streamBlocks*rawBlock), out: make([]byte, streamBlocks*paddedBlock)}
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(r.rest) == 0 {
		if r.err == nil {
			r.err = r.fill()
		}
		if len(r.rest) == 0 {
			return 0, r.err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// fill pads the next blocks.
func (r *Reader) fill() error {
	if r.left == 0 {
		n, err := io.ReadFull(r.raw, r.in[:1])
		switch {
		case n > 0:
			return errors.New("pad piece: more raw bytes than the piece holds")
		case err != io.EOF:
			return fmt.Errorf("pad piece: %w", err)
		}
		return io.EOF
	}
	if r.left%paddedBlock != 0 {
		return fmt.Errorf("pad piece: %d bytes left, want a multiple of %d", r.left, paddedBlock)
	}
	blocks := min(r.left/paddedBlock, streamBlocks)
	in, out := r.in[:blocks*rawBlock], r.out[:blocks*paddedBlock]
	n, err := io.ReadFull(r.raw, in)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return fmt.Errorf("pad piece: %w", err)
	}
	clear(in[n:])
	Pad(out, in)
	r.rest, r.left = out, r.left-uint64(len(out))
	return nil
}

// Unpadder turns a stream of padded bytes back into raw ones.
type Unpadder struct {
	padded io.Reader
	in     []byte
	out    []byte
	rest   []byte
	err    error
}

// NewUnpadder returns a reader of the raw bytes behind the padded bytes in r, the zeros that extend
// a payload included. It fails with an error that wraps ErrNotPadded if r is not padded data, and
// with io.ErrUnexpectedEOF if r ends inside a block.
func NewUnpadder(r io.Reader) *Unpadder {
	return &Unpadder{padded: r, in: make([]byte, streamBlocks*paddedBlock), out: make([]byte, streamBlocks*rawBlock)}
}

// Read implements io.Reader.
func (u *Unpadder) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(u.rest) == 0 {
		if u.err == nil {
			u.err = u.fill()
		}
		if len(u.rest) == 0 {
			return 0, u.err
		}
	}
	n := copy(p, u.rest)
	u.rest = u.rest[n:]
	return n, nil
}

// fill unpads the next blocks; with the last ones it also returns why there are no more.
func (u *Unpadder) fill() error {
	n, err := io.ReadFull(u.padded, u.in)
	blocks := n / paddedBlock
	out := u.out[:blocks*rawBlock]
	if uerr := Unpad(out, u.in[:blocks*paddedBlock]); uerr != nil {
		return fmt.Errorf("unpad piece: %w", uerr)
	}
	u.rest = out
	switch {
	case err == nil || err == io.EOF:
		return err
	case err == io.ErrUnexpectedEOF && n%paddedBlock == 0:
		return io.EOF
	}
	return fmt.Errorf("unpad piece: %w", err)
}
