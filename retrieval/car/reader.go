package car

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-varint"
)

// Options says what a Reader accepts. The zero value is the strict form: one
// root, every block hashed, nothing behind the last section.
type Options struct {
	// Root, if defined, is the one root that the archive must have.
	Root cid.Cid
	// AnyRoots accepts archives with any number of roots, also none.
	AnyRoots bool
	// Padded accepts zero bytes, to the end of the input, behind the last
	// section: an archive as it stands in a piece.
	Padded bool
	// Unverified leaves the hashes unchecked, for bytes that were checked
	// before by other means.
	Unverified bool
}

// Block is one section of an archive.
type Block struct {
	// CID names the block.
	CID cid.Cid
	// Data is valid until the next call of the Reader that gave it.
	Data []byte
	// Offset is where Data begins, in bytes from the start of the archive.
	Offset uint64
}

// Reader reads an archive section by section.
type Reader struct {
	src   *bufio.Reader
	opts  Options
	roots []cid.Cid
	buf   []byte
	pos   uint64
	next  uint64
	err   error
}

// NewReader reads and checks the header.
func NewReader(src io.Reader, opts Options) (*Reader, error) {
	r := &Reader{src: bufio.NewReaderSize(src, 64<<10), opts: opts}
	size, err := r.length(MaxHeaderSize)
	if err != nil {
		return nil, fmt.Errorf("read archive header: %w", noEOF(err))
	}
	body, err := r.fill(size)
	if err != nil {
		return nil, fmt.Errorf("read archive header: %w", err)
	}
	if r.roots, err = parseHeader(body); err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	if len(r.roots) != 1 && !opts.AnyRoots {
		return nil, fmt.Errorf("read archive: %w: %d roots where one is due", ErrMalformed, len(r.roots))
	}
	if opts.Root.Defined() && (len(r.roots) != 1 || !r.roots[0].Equals(opts.Root)) {
		return nil, fmt.Errorf("read archive: %w: roots %s where %s is due", ErrMalformed, r.roots, opts.Root)
	}
	return r, nil
}

// Roots are the roots that the header names.
func (r *Reader) Roots() []cid.Cid { return r.roots }

// Offset is the number of bytes read so far, header included.
func (r *Reader) Offset() uint64 { return r.pos }

// Next returns the next block, or io.EOF itself behind the last one. An
// archive that ends within a section gives io.ErrUnexpectedEOF. Every error is
// final.
func (r *Reader) Next() (Block, error) {
	if r.err != nil {
		return Block{}, r.err
	}
	block, err := r.section()
	switch {
	case err == io.EOF:
		r.err = io.EOF
	case err != nil:
		r.err = fmt.Errorf("read block %d: %w", r.next, err)
	default:
		r.next++
	}
	return block, r.err
}

func (r *Reader) section() (Block, error) {
	size, err := r.length(MaxBlockSize + maxCIDSize)
	if err != nil {
		return Block{}, err
	}
	if size == 0 {
		if r.opts.Padded {
			return Block{}, r.padding()
		}
		return Block{}, fmt.Errorf("%w: empty section", ErrMalformed)
	}
	body, err := r.fill(size)
	if err != nil {
		return Block{}, err
	}
	n, c, err := cid.CidFromBytes(body)
	if err != nil {
		return Block{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if n > maxCIDSize || len(body)-n > MaxBlockSize {
		return Block{}, fmt.Errorf("%s with %d bytes: %w", c, len(body)-n, ErrTooLarge)
	}
	if !r.opts.Unverified {
		if err := Verify(c, body[n:]); err != nil {
			return Block{}, err
		}
	}
	return Block{CID: c, Data: body[n:], Offset: r.pos - uint64(len(body)-n)}, nil
}

// length reads one length and holds it against its limit. io.EOF comes only
// when not a byte is left.
func (r *Reader) length(limit uint64) (uint64, error) {
	n, err := varint.ReadUvarint(r.src)
	switch {
	case err == io.EOF:
		return 0, io.EOF
	case errors.Is(err, varint.ErrOverflow), errors.Is(err, varint.ErrNotMinimal):
		return 0, fmt.Errorf("%w: length: %w", ErrMalformed, err)
	case err != nil:
		return 0, fmt.Errorf("length: %w", err)
	case n > limit:
		return 0, fmt.Errorf("%d bytes announced, at most %d are taken: %w", n, limit, ErrTooLarge)
	}
	r.pos += uint64(varint.UvarintSize(n))
	return n, nil
}

// fill reads n bytes into the buffer, which the next call overwrites.
func (r *Reader) fill(n uint64) ([]byte, error) {
	if uint64(cap(r.buf)) < n {
		r.buf = make([]byte, n)
	}
	r.buf = r.buf[:n]
	got, err := io.ReadFull(r.src, r.buf)
	r.pos += uint64(got)
	if err != nil {
		return nil, noEOF(err)
	}
	return r.buf, nil
}

// padding reads to the end and returns io.EOF if there are only zeros.
func (r *Reader) padding() error {
	for {
		chunk, err := r.src.Peek(4096)
		for _, b := range chunk {
			if b != 0 {
				return fmt.Errorf("%w: byte 0x%02x in the padding", ErrMalformed, b)
			}
		}
		n, _ := r.src.Discard(len(chunk))
		r.pos += uint64(n)
		if err != nil {
			return err
		}
	}
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
