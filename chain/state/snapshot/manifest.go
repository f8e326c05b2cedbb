package snapshot

import (
	"errors"
	"fmt"

	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/state/proof"
)

// Format is the version of snapshots that this code writes and reads.
const Format = 1

// Sizes in bytes.
const (
	ChunkSize = 4 << 20
	MaxChunks = 100_000 // of one snapshot
	hashSize  = sha256.Size
)

// Manifest describes a snapshot.
type Manifest struct {
	Format    uint64
	Height    chain.Height
	AppHash   []byte `cborgen:"maxlen=36"`
	Size      uint64 // bytes of the CAR
	ChunkSize uint64 // bytes of every chunk but the last
	Hashes    []byte `cborgen:"maxlen=3200000"` // SHA-256 of each chunk, one after the other
}

// Chunks is the number of chunks.
func (m *Manifest) Chunks() int { return len(m.Hashes) / hashSize }

// hash is the SHA-256 of a chunk.
func (m *Manifest) hash(i int) [hashSize]byte {
	return [hashSize]byte(m.Hashes[i*hashSize : (i+1)*hashSize])
}

// length is the size of a chunk.
func (m *Manifest) length(i int) uint64 {
	if i == m.Chunks()-1 {
		return m.Size - uint64(i)*m.ChunkSize
	}
	return m.ChunkSize
}

// Encode returns the manifest's bytes and their SHA-256, which names the
// snapshot among peers.
func (m *Manifest) Encode() (raw []byte, name [hashSize]byte, err error) {
	raw, err = chain.Encode(m)
	return raw, sha256.Sum256(raw), err
}

// ErrFormat is returned for a manifest of another version.
var ErrFormat = errors.New("snapshot of an unknown format")

// Parse reads a manifest and refuses one that describes no possible snapshot.
func Parse(raw []byte) (*Manifest, error) {
	m := new(Manifest)
	if err := chain.Decode(raw, m); err != nil {
		return nil, fmt.Errorf("decode manifest: %w", err)
	}
	if m.Format != Format {
		return nil, fmt.Errorf("%w: %d, want %d", ErrFormat, m.Format, Format)
	}
	if _, err := proof.LinkOfAppHash(m.AppHash); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	n := uint64(m.Chunks())
	switch {
	case len(m.Hashes)%hashSize != 0 || n == 0 || n > MaxChunks:
		return nil, fmt.Errorf("manifest: hashes of %d bytes", len(m.Hashes))
	case m.ChunkSize == 0 || m.ChunkSize > ChunkSize:
		return nil, fmt.Errorf("manifest: chunks of %d bytes, want 1 to %d", m.ChunkSize, ChunkSize)
	case m.Size <= (n-1)*m.ChunkSize || m.Size > n*m.ChunkSize:
		return nil, fmt.Errorf("manifest: %d bytes in %d chunks of %d", m.Size, n, m.ChunkSize)
	}
	return m, nil
}
