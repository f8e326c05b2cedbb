package pack

import (
	"context"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/retrieval/dag"
)

// The age format with one X25519 recipient: a header of fixed length with the
// nonce, then segments of 64 KiB, each with its tag, the last one shorter.
const (
	cryptHeader  = 184
	cryptSegment = 64 << 10
	cryptTag     = 16
)

// encrypt makes a key and returns the encryption to it, which writes to dst.
func encrypt(dst io.Writer) (io.WriteCloser, string, error) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, "", fmt.Errorf("make a key: %w", err)
	}
	w, err := age.Encrypt(dst, identity.Recipient())
	if err != nil {
		return nil, "", fmt.Errorf("begin encryption: %w", err)
	}
	return w, identity.String(), nil
}

// parseKey reads Packed.Key. The error never holds the key.
func parseKey(key string) (age.Identity, error) {
	identity, err := age.ParseX25519Identity(key)
	if err != nil {
		return nil, errors.New("the key is no AGE-SECRET-KEY-1 identity")
	}
	return identity, nil
}

// Span is a run of bytes.
type Span struct{ Offset, Length uint64 }

// CipherSize is the number of bytes of the private file with size bytes of
// plaintext.
func CipherSize(size uint64) uint64 {
	segments := max(1, (size+cryptSegment-1)/cryptSegment)
	return cryptHeader + size + segments*cryptTag
}

// PlainSize is the number of bytes of plaintext of a private file that has size
// bytes as it is stored.
func PlainSize(size uint64) (uint64, error) {
	const step = cryptSegment + cryptTag
	if size >= cryptHeader+cryptTag {
		body := size - cryptHeader
		plain := body - (body+step-1)/step*cryptTag
		if CipherSize(plain) == size {
			return plain, nil
		}
	}
	return 0, fmt.Errorf("%w: no private file has %d bytes", ErrMalformed, size)
}

// CipherSpans names the bytes of a private file that are needed to read length
// bytes from offset on out of size bytes of plaintext: the header, the segments
// that hold the range, and the last segment, which proves the size. They are
// sorted and do not overlap. A range that goes beyond the end is cut there.
func CipherSpans(offset, length, size uint64) []Span {
	total := CipherSize(size)
	const step = cryptSegment + cryptTag
	last := Span{cryptHeader + (max(size, 1)-1)/cryptSegment*step, 0}
	last.Length = total - last.Offset
	spans := []Span{{0, cryptHeader}}
	if offset < size && length > 0 {
		end := offset + min(length, size-offset)
		from := cryptHeader + offset/cryptSegment*step
		to := min(cryptHeader+(end+cryptSegment-1)/cryptSegment*step, total)
		spans = join(spans, Span{from, to - from})
	}
	return join(spans, last)
}

// join adds a span that begins no earlier than those there.
func join(spans []Span, next Span) []Span {
	top := &spans[len(spans)-1]
	if end := top.Offset + top.Length; next.Offset <= end {
		top.Length = max(end, next.Offset+next.Length) - top.Offset
		return spans
	}
	return append(spans, next)
}

// Content is the plaintext of a stored file for reading in any order. It gets
// only the blocks that a read touches. It is for one goroutine at a time.
type Content struct {
	io.ReaderAt
	// Size is the number of bytes of the plaintext.
	Size uint64
}

// Open opens the file payload with this root; key is empty for public content.
// ctx serves all later reads. A private directory opens as its tar.
func Open(ctx context.Context, get dag.Get, root cid.Cid, key string) (*Content, error) {
	file, err := dag.OpenFile(ctx, get, root)
	if err != nil {
		return nil, err
	}
	content, err := Decrypt(file, file.Size(), key)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", root, err)
	}
	return content, nil
}

// Decrypt opens a file of size bytes as it is stored; key is empty for public
// content. It reads the beginning and the end, and later what is asked for.
func Decrypt(stored io.ReaderAt, size uint64, key string) (*Content, error) {
	if key == "" {
		return &Content{stored, size}, nil
	}
	identity, err := parseKey(key)
	if err != nil {
		return nil, err
	}
	plain, plainSize, err := age.DecryptReaderAt(stored, int64(size), identity)
	if err != nil {
		return nil, fmt.Errorf("decrypt: %w", err)
	}
	return &Content{plain, uint64(plainSize)}, nil
}

// plaintext opens the file payload as a stream.
func plaintext(ctx context.Context, get dag.Get, root cid.Cid, key string) (io.Reader, error) {
	file, err := dag.OpenFile(ctx, get, root)
	if err != nil {
		return nil, err
	}
	return DecryptStream(file, key)
}

// DecryptStream reads the plaintext of a file that comes as it is stored; key is
// empty for public content.
func DecryptStream(stored io.Reader, key string) (io.Reader, error) {
	if key == "" {
		return stored, nil
	}
	identity, err := parseKey(key)
	if err != nil {
		return nil, err
	}
	plain, err := age.Decrypt(stored, identity)
	if err != nil {
		return nil, fmt.Errorf("decrypt: %w", err)
	}
	return plain, nil
}
