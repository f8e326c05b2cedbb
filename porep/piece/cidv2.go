package piece

import (
	"fmt"
	"math/bits"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
	"github.com/multiformats/go-varint"
)

// What a piece CID of version 2 is made of (FRC-0069): the codec of raw bytes over a hash function
// whose digest is
//
//	uvarint(zero bytes behind the payload) || height of the tree || root
//
// A tree of height h has 2^h leaves of 32 bytes.
const (
	codecRaw     = 0x55
	hashUnpadded = 0x1011 // fr32-sha2-256-trunc254-padbintree
)

// minHeight is that of the smallest piece, 128 padded bytes.
const minHeight = 2

// CIDv2 returns the piece CID of version 2, which names the sizes beside the commitment. It fails
// unless the sizes are those of a piece.
func (i Info) CIDv2() (cid.Cid, error) {
	comm, err := ParseUnsealedCID(i.CID)
	if err != nil {
		return cid.Undef, err
	}
	height := bits.TrailingZeros64(i.PaddedSize) - 5
	if bits.OnesCount64(i.PaddedSize) != 1 || height < minHeight || i.PaddedSize > MaxPadded || i.PayloadSize > MaxPayload(i.PaddedSize) {
		return cid.Undef, fmt.Errorf("piece CID of %d bytes padded to %d: %w", i.PayloadSize, i.PaddedSize, ErrCID)
	}
	digest := varint.ToUvarint(MaxPayload(i.PaddedSize) - i.PayloadSize)
	digest = append(append(digest, byte(height)), comm[:]...)
	hash, err := multihash.Encode(digest, hashUnpadded)
	if err != nil {
		return cid.Undef, fmt.Errorf("piece CID: %w", err)
	}
	return cid.NewCidV1(codecRaw, hash), nil
}

// ParseCIDv2 returns what a piece CID of version 2 names: the CID of version 1 and both sizes. The
// error wraps ErrCID.
func ParseCIDv2(c cid.Cid) (Info, error) {
	fail := func(format string, args ...any) (Info, error) {
		return Info{}, fmt.Errorf("piece CID %s: %w: %s", c, ErrCID, fmt.Sprintf(format, args...))
	}
	if !c.Defined() {
		return fail("it is empty")
	}
	if p := c.Prefix(); p.Version != 1 || p.Codec != codecRaw || p.MhType != hashUnpadded {
		return fail("version %d, codec %#x, hash %#x; want version 1, codec %#x, hash %#x", p.Version, p.Codec, p.MhType, codecRaw, hashUnpadded)
	}
	decoded, err := multihash.Decode(c.Hash())
	if err != nil {
		return fail("%v", err)
	}
	padding, n, err := varint.FromUvarint(decoded.Digest)
	if err != nil {
		return fail("padding: %v", err)
	}
	rest := decoded.Digest[n:]
	if len(rest) != 1+32 {
		return fail("%d bytes behind the padding, want 33", len(rest))
	}
	height := rest[0]
	if height < minHeight || height > byte(bits.TrailingZeros64(MaxPadded)-5) {
		return fail("a tree of height %d", height)
	}
	padded := uint64(32) << height
	if padding > MaxPayload(padded) {
		return fail("%d bytes of padding in a piece of %d", padding, padded)
	}
	return Info{CID: UnsealedCID([32]byte(rest[1:])), PaddedSize: padded, PayloadSize: MaxPayload(padded) - padding}, nil
}
