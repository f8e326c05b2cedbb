package segment

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/perdure/perdure/porep/piece"
)

const (
	// EntrySize is the number of padded bytes of an entry: two elements of the piece.
	EntrySize = 64
	// span is the padded bytes of a piece for each entry that its index can hold.
	span = 2048 * EntrySize
	// leastEntries is what the smallest index holds.
	leastEntries = 4
	// checksumSize is the bytes of an entry's checksum, of which 126 bits count.
	checksumSize = 16
)

// ErrIndex is wrapped by errors about bytes that are no index, or about a piece
// that can have none.
var ErrIndex = errors.New("no data-segment index")

// Entry describes one segment of a piece.
type Entry struct {
	// CommP is the piece commitment of the segment alone.
	CommP [32]byte
	// Offset and Size are in padded bytes from the start of the piece.
	Offset, Size uint64
}

// Capacity is the number of entries that the index of a piece of that padded size holds.
func Capacity(padded uint64) uint64 {
	n := uint64(leastEntries)
	for n*2*span <= padded {
		n *= 2
	}
	return n
}

// IndexSize is the number of padded bytes of the index at the end of a piece.
func IndexSize(padded uint64) uint64 { return Capacity(padded) * EntrySize }

// raw is how many bytes before padding become so many padded ones, a multiple of 128.
func raw(padded uint64) uint64 { return padded / 128 * 127 }

// encode appends the entry's two elements.
func (e *Entry) encode(dst []byte) []byte {
	body := append([]byte(nil), e.CommP[:]...)
	body = binary.LittleEndian.AppendUint64(body, e.Offset)
	body = binary.LittleEndian.AppendUint64(body, e.Size)
	sum := checksum(body)
	return append(append(dst, body...), sum[:]...)
}

// checksum is SHA-256 of the entry with zeros in place of the checksum, cut to 126
// bits, so that the element stays below 2^254.
func checksum(body []byte) (out [checksumSize]byte) {
	var full [EntrySize]byte
	copy(full[:], body)
	digest := sha256.Sum256(full[:])
	copy(out[:], digest[:])
	out[checksumSize-1] &= 0x3f
	return out
}

// decode reads an entry and reports whether its checksum is right.
func decode(from []byte) (e Entry, ok bool) {
	const body = EntrySize - checksumSize
	copy(e.CommP[:], from)
	e.Offset = binary.LittleEndian.Uint64(from[32:])
	e.Size = binary.LittleEndian.Uint64(from[40:])
	return e, checksum(from[:body]) == [checksumSize]byte(from[body:])
}

// within reports whether the segment can be one of a piece of that padded size: a
// power of two at a multiple of itself, before the index.
func (e *Entry) within(padded uint64) bool {
	if piece.CheckPadded(e.Size) != nil || e.Offset%e.Size != 0 {
		return false
	}
	end := padded - IndexSize(padded)
	return e.Size <= end && e.Offset <= end-e.Size
}

// MarshalIndex returns the bytes of the index area as they are before padding.
func MarshalIndex(entries []Entry, padded uint64) ([]byte, error) {
	if err := checkPiece(padded); err != nil {
		return nil, err
	}
	if n := Capacity(padded); uint64(len(entries)) > n {
		return nil, fmt.Errorf("%w: %d segments, the index of a piece of %d bytes holds %d", ErrIndex, len(entries), padded, n)
	}
	area := make([]byte, 0, IndexSize(padded))
	for i := range entries {
		if !entries[i].within(padded) {
			return nil, fmt.Errorf("%w: segment %d, %d bytes at %d, is not before the index of a piece of %d bytes",
				ErrIndex, i, entries[i].Size, entries[i].Offset, padded)
		}
		area = entries[i].encode(area)
	}
	area = area[:cap(area)]
	out := make([]byte, raw(uint64(len(area))))
	if err := piece.Unpad(out, area); err != nil {
		return nil, fmt.Errorf("%w: a commitment is no element: %w", ErrIndex, err)
	}
	return out, nil
}

// checkPiece refuses sizes that no piece with an index has.
func checkPiece(padded uint64) error {
	if err := piece.CheckPadded(padded); err != nil {
		return fmt.Errorf("%w: %w", ErrIndex, err)
	}
	if padded < 2*IndexSize(padded) {
		return fmt.Errorf("%w: a piece of %d bytes is too small for one", ErrIndex, padded)
	}
	return nil
}

// ParseIndex reads the bytes of the index area, as they are before padding, and
// returns the entries that are valid: the right checksum, and a place that a
// segment can have. Anything else in the area is passed over, as the format wants it.
func ParseIndex(area []byte, padded uint64) ([]Entry, error) {
	if err := checkPiece(padded); err != nil {
		return nil, err
	}
	if want := raw(IndexSize(padded)); uint64(len(area)) != want {
		return nil, fmt.Errorf("%w: %d bytes, want %d", ErrIndex, len(area), want)
	}
	full := make([]byte, IndexSize(padded))
	piece.Pad(full, area)
	var out []Entry
	for ; len(full) > 0; full = full[EntrySize:] {
		if e, ok := decode(full[:EntrySize]); ok && e.within(padded) {
			out = append(out, e)
		}
	}
	return out, nil
}
