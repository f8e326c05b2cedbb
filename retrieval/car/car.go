// Package car reads, writes and indexes the archives in which Perdure keeps
// content: CARv1 files, one for each piece.
//
// A CARv1 is a header that names the root, followed by sections, one a block:
//
//	uvarint(len(header)) || header = dag-cbor {"roots": [root], "version": 1}
//	uvarint(len(cid)+len(data)) || cid || data            (repeated)
//
// (https://ipld.io/specs/transport/car/carv1/). The bytes of an archive are a
// function of its root and of its blocks in their order: Writer knows one form
// of the header and one form of a length, and Reader refuses every other.
// Whoever receives the blocks in order can therefore write the identical
// archive, and with it the identical piece.
//
// What strangers send is bounded before memory is taken for it: a header of at
// most MaxHeaderSize, a block of at most MaxBlockSize, lengths in the shortest
// form. A Reader checks the hash of every block unless told otherwise.
//
// Index maps the ordinal of a block to its CID, its place and its length, and
// back; it is made in one pass and has a compact, versioned form on disk.
package car

import (
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
	"github.com/multiformats/go-varint"
)

const (
	// MaxBlockSize is the most bytes of data a block may have.
	MaxBlockSize = 2 << 20
	// MaxHeaderSize is the most bytes a header may have, its length not counted.
	MaxHeaderSize = 64 << 10
	// maxCIDSize bounds the bytes of one CID; a sha2-256 CIDv1 has 36.
	maxCIDSize = 128
)

var (
	// ErrMalformed is wrapped by every error about bytes that are no archive,
	// or no index, of the form this package writes.
	ErrMalformed = errors.New("malformed archive")
	// ErrTooLarge is wrapped when a header or a block exceeds its limit.
	ErrTooLarge = errors.New("over the size limit")
	// ErrMismatch is wrapped when the data of a block does not hash to its CID.
	ErrMismatch = errors.New("data does not match its CID")
	// ErrHash is wrapped when a CID names a hash that is not accepted here.
	ErrHash = errors.New("hash function not accepted")
)

// Verify reports whether data is the block that c names. Accepted are sha2-256
// and sha2-512 with their full length, and identity, where the CID holds the
// data itself.
func Verify(c cid.Cid, data []byte) error {
	hash, err := mh.Decode(c.Hash())
	if err != nil {
		return Named("block", c, fmt.Errorf("%w: %w", ErrHash, err))
	}
	switch {
	case hash.Code == mh.SHA2_256 && len(hash.Digest) == sha256.Size:
		if sha256.Sum256(data) != [sha256.Size]byte(hash.Digest) {
			return Named("block", c, ErrMismatch)
		}
	case hash.Code == mh.SHA2_512 && len(hash.Digest) == sha512.Size:
		if sha512.Sum512(data) != [sha512.Size]byte(hash.Digest) {
			return Named("block", c, ErrMismatch)
		}
	case hash.Code == mh.IDENTITY:
		if string(hash.Digest) != string(data) {
			return Named("block", c, ErrMismatch)
		}
	default:
		return Named("block", c, fmt.Errorf("%w: code 0x%x of %d bytes", ErrHash, hash.Code, len(hash.Digest)))
	}
	return nil
}

// HeaderSize is the number of bytes before the first section of an archive
// with the one root.
func HeaderSize(root cid.Cid) uint64 {
	return uint64(len(appendHeader(nil, []cid.Cid{root})))
}

// SectionSize is the number of bytes that a block with n bytes of data takes
// in an archive.
func SectionSize(c cid.Cid, n int) uint64 {
	body := uint64(c.ByteLen()) + uint64(n)
	return uint64(varint.UvarintSize(body)) + body
}
