package seal

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/perdure/perdure/internal/merkle"
)

// digestChunk is the bytes of a file that are hashed by one job.
const digestChunk = 1 << 20

// chunks are buffers of digestChunk bytes.
var chunks = sync.Pool{New: func() any { return new([digestChunk]byte) }}

// noteFile returns the size, time of change and digest of an open file.
func noteFile(file *os.File, run merkle.Runner) (fileRecord, error) {
	info, err := file.Stat()
	if err != nil {
		return fileRecord{}, err
	}
	sum, err := fileDigest(file, info.Size(), run)
	return fileRecord{Size: info.Size(), Modified: info.ModTime().UnixNano(), Digest: sum}, err
}

// fileDigest is the SHA-256 of the SHA-256 digests of the consecutive chunks of
// a file, which are hashed in parallel.
func fileDigest(file *os.File, size int64, run merkle.Runner) (digest, error) {
	sums := make([]byte, (size+digestChunk-1)/digestChunk*sha256.Size)
	err := run(len(sums)/sha256.Size, func(job int) error {
		at := int64(job) * digestChunk
		buf := chunks.Get().(*[digestChunk]byte)
		defer chunks.Put(buf)
		chunk := buf[:min(digestChunk, size-at)]
		if err := readAt(file, chunk, at); err != nil {
			return err
		}
		sum := sha256.Sum256(chunk)
		copy(sums[job*sha256.Size:], sum[:])
		return nil
	})
	return sha256.Sum256(sums), err
}

// fileReader is a file as the steps read it.
type fileReader interface {
	io.ReaderAt
	Name() string
}

// readAt fills buf from a place in a file. Errors name the file.
func readAt(file fileReader, buf []byte, at int64) error {
	n, err := file.ReadAt(buf, at)
	if n == len(buf) {
		return nil
	}
	if err == io.EOF || err == nil {
		return fmt.Errorf("read %s: %d bytes from %d, want %d: %w", file.Name(), n, at, len(buf), io.ErrUnexpectedEOF)
	}
	return err // of package os: it has the name
}
