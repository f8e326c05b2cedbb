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
// them: bit 0 of padded word 4e+i is raw bit 64·(4e+i) - 2e.
func padBlock(dst *[paddedBlock]byte, src *[rawBlock]byte) {
	var raw [17]uint64 // one zero word in front
	for i := range 15 {
		raw[i+1] = binary.LittleEndian.Uint64(src[8*i:])
	}
	raw[16] = binary.LittleEndian.Uint64(src[rawBlock-8:]) >> 8
	for i := range 16 {
		shift := i / 4 * 2
		word := raw[i+1]<<shift | raw[i]>>(64-shift) // a shift by 64 gives zero
		if i%4 == 3 {
			word &^= topBits
		}
		binary.LittleEndian.PutUint64(dst[8*i:], word)
	}
}

// unpadBlock reports whether all added bits are zero.
func unpadBlock(dst *[rawBlock]byte, src *[paddedBlock]byte) bool {
	var padded [17]uint64 // one zero word behind
	for i := range 16 {
		padded[i] = binary.LittleEndian.Uint64(src[8*i:])
	}
	var added, last uint64
	for i := range 16 {
		shift := i / 4 * 2
		rest := 64 - shift
		if i%4 == 3 {
			added |= padded[i] & topBits
			rest -= 2
		}
		last = padded[i]>>shift | padded[i+1]<<rest
		if i < 15 {
			binary.LittleEndian.PutUint64(dst[8*i:], last)
		}
	}
	for i := range 7 {
		dst[120+i] = byte(last >> (8 * i))
	}
	return added == 0
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
