package piece

import (
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// Codecs and hash functions of the commitments' CIDs, as the multicodec table numbers them.
const (
	codecUnsealed = 0xf101 // fil-commitment-unsealed
	codecSealed   = 0xf102 // fil-commitment-sealed
	hashUnsealed  = 0x1012 // sha2-256-trunc254-padded
	hashSealed    = 0xb401 // poseidon-bls12_381-a2-fc1
)

// ErrCID says that a CID is not the CID of a commitment of the wanted kind.
var ErrCID = errors.New("not the CID of such a commitment")

// UnsealedCID returns the CID of CommP or CommD.
func UnsealedCID(comm [32]byte) cid.Cid { return commitmentCID(comm, codecUnsealed, hashUnsealed) }

// SealedCID returns the CID of CommR.
func SealedCID(commR [32]byte) cid.Cid { return commitmentCID(commR, codecSealed, hashSealed) }

func commitmentCID(comm [32]byte, codec, hash uint64) cid.Cid {
	digest, err := multihash.Encode(comm[:], hash)
	if err != nil {
		panic(fmt.Sprintf("piece: encode multihash %#x: %v", hash, err)) // fixed codes and length
	}
	return cid.NewCidV1(codec, digest)
}

// ParseUnsealedCID returns the CommP or CommD that a CID names. The error wraps ErrCID unless the
// CID is of version 1 with exactly the codec, hash function and length of such a commitment.
func ParseUnsealedCID(c cid.Cid) ([32]byte, error) {
	comm, err := parseCID(c, codecUnsealed, hashUnsealed)
	if err != nil {
		return comm, fmt.Errorf("data commitment %s: %w", c, err)
	}
	return comm, nil
}

// ParseSealedCID returns the CommR that a CID names; see [ParseUnsealedCID].
func ParseSealedCID(c cid.Cid) ([32]byte, error) {
	comm, err := parseCID(c, codecSealed, hashSealed)
	if err != nil {
		return comm, fmt.Errorf("replica commitment %s: %w", c, err)
	}
	return comm, nil
}

func parseCID(c cid.Cid, codec, hash uint64) (comm [32]byte, err error) {
	if !c.Defined() {
		return comm, fmt.Errorf("%w: it is empty", ErrCID)
	}
	if p := c.Prefix(); p.Version != 1 || p.Codec != codec || p.MhType != hash || p.MhLength != len(comm) {
		return comm, fmt.Errorf("%w: version %d, codec %#x, hash %#x, %d bytes; want version 1, codec %#x, hash %#x, %d bytes",
			ErrCID, p.Version, p.Codec, p.MhType, p.MhLength, codec, hash, len(comm))
	}
	decoded, err := multihash.Decode(c.Hash())
	if err != nil || len(decoded.Digest) != len(comm) {
		return comm, fmt.Errorf("%w: %v", ErrCID, err)
	}
	return [32]byte(decoded.Digest), nil
}
