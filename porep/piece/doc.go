// Package piece turns bytes into pieces as Filecoin defines them, and pieces into the data of a
// sector.
//
// A piece is raw bytes (the payload), extended with zeros to 127·2^k bytes and then fr32-padded:
// after every 254 bits come two zero bits, so that 127 raw bytes become 128 padded ones, four
// 32-byte elements that are each less than 2^254. Its commitment, CommP, is the root of the binary
// tree over these elements, whose node is SHA-256 of the two children with the two top bits of the
// last byte cleared. The same tree over a whole sector has the root CommD; since a piece of padded
// size s starts at a multiple of s, CommD follows from the pieces' commitments alone.
//
// Sizes: "padded" counts bytes after padding, a power of two from [MinPadded] to [MaxPadded];
// "payload" counts raw bytes before the extension.
package piece

import (
	"errors"
	"fmt"
	"math/bits"
)

// Limits of padded sizes, in bytes: four elements, and the largest sector.
const (
	MinPadded = 128
	MaxPadded = 64 << 30
)

const (
	nodeSize    = 32
	rawBlock    = 127 // raw bytes that padding takes at a time
	paddedBlock = 128 // and what they become
)

// ErrSize says that a size is not one a piece or sector can have.
var ErrSize = errors.New("not a power of two from 128 bytes to 64 GiB")

// CheckPadded returns an error that wraps ErrSize unless size is a padded size of a piece.
func CheckPadded(size uint64) error {
	if size < MinPadded || size > MaxPadded || bits.OnesCount64(size) != 1 {
		return fmt.Errorf("padded size %d: %w", size, ErrSize)
	}
	return nil
}

// PaddedSize returns the padded size of the smallest piece that holds a payload of that many bytes.
func PaddedSize(payload uint64) (uint64, error) {
	if payload > MaxPayload(MaxPadded) {
		return 0, fmt.Errorf("payload of %d bytes: more than a piece can hold, %d", payload, MaxPayload(MaxPadded))
	}
	size := uint64(MinPadded)
	for MaxPayload(size) < payload {
		size *= 2
	}
	return size, nil
}

// MaxPayload returns the raw bytes that fit a padded size: 127 for each 128.
func MaxPayload(padded uint64) uint64 { return padded / paddedBlock * rawBlock }
