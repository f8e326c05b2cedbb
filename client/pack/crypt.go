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
	if key == "" {
		return &Content{file, file.Size()}, nil
	}
	identity, err := parseKey(key)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", root, err)
	}
	plain, size, err := age.DecryptReaderAt(file, int64(file.Size()), identity)
	if err != nil {
		return nil, fmt.Errorf("open %s: decrypt: %w", root, err)
	}
	return &Content{plain, uint64(size)}, nil
}

// plaintext opens the file payload as a stream.
func plaintext(ctx context.Context, get dag.Get, root cid.Cid, key string) (io.Reader, error) {
	file, err := dag.OpenFile(ctx, get, root)
	if err != nil || key == "" {
		return file, err
	}
	identity, err := parseKey(key)
	if err != nil {
		return nil, err
	}
	plain, err := age.Decrypt(file, identity)
	if err != nil {
		return nil, fmt.Errorf("decrypt: %w", err)
	}
	return plain, nil
}
