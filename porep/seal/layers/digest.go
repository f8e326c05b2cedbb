package layers

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"hash"
)

// digestChunk is the bytes of a file whose digests are hashed again.
const digestChunk = 1 << 20

// digest is that of what was written to it so far: the SHA-256 of the SHA-256 digests of the
// consecutive MiB, the form in which the record of a sector notes its files.
type digest struct {
	sums  []byte    // of the chunks that are full
	chunk hash.Hash // of the one that is not
	bytes int       // in that one
}

func newDigest() *digest { return &digest{chunk: sha256.New()} }

// Write never fails.
func (d *digest) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		n := min(len(p), digestChunk-d.bytes)
		d.chunk.Write(p[:n])
		d.bytes += n
		if p = p[n:]; d.bytes == digestChunk {
			d.sums = d.chunk.Sum(d.sums)
			d.chunk.Reset()
			d.bytes = 0
		}
	}
	return written, nil
}

// sum changes nothing: more may be written after it.
func (d *digest) sum() [sha256.Size]byte {
	all := sha256.New()
	all.Write(d.sums)
	if d.bytes > 0 {
		all.Write(d.chunk.Sum(nil))
	}
	return [sha256.Size]byte(all.Sum(nil))
}

// hex is the sum in hex.
func (d *digest) hex() string { sum := d.sum(); return hex.EncodeToString(sum[:]) }

// clone returns a digest of the same that goes its own way.
func (d *digest) clone() (*digest, error) {
	chunk, err := d.chunk.(hash.Cloner).Clone()
	if err != nil {
		return nil, err
	}
	return &digest{bytes.Clone(d.sums), chunk, d.bytes}, nil
}
