package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/client/fetch"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/client/pack"
	"github.com/perdure/perdure/retrieval/dag"
)

// File is a stored file, open for reading in any order. It implements
// io.ReadSeekCloser and io.ReaderAt. Bytes are fetched and paid when they are first
// read, and kept on disk until Close.
//
// ReadAt fetches the leaves of 256 KiB that it touches. Read looks ahead: by twice
// as much each time while it goes on where it was. ReadAt may be used from many
// goroutines, Read and Seek from one.
type File struct {
	g       *getting
	ctx     context.Context
	content *pack.Content
	stored  uint64 // bytes of the file as it is stored
	finish  func(error)
	lock    *files.Lock
	dir     string

	pulling sync.Mutex
	at      int64  // of Read
	ahead   uint64 // what Read fetches at least
	err     error  // the first of a fetch
}

const (
	leafBytes = 256 << 10
	mostAhead = 8 << 20
)

// OpenFile opens a stored file, or the file at GetOptions.Path below the root.
// The context serves all later reads. Range, CAR and To of the options are not
// for it.
func (c *Client) OpenFile(ctx context.Context, root cid.Cid, o GetOptions) (*File, error) {
	f, err := c.openFile(ctx, root, o)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", root, err)
	}
	return f, nil
}

func (c *Client) openFile(ctx context.Context, root cid.Cid, o GetOptions) (*File, error) {
	if o.Range != nil || o.CAR || o.To != nil || isPiece(root) {
		return nil, errors.New("only a file can be opened, and without a range, a CAR or a writer")
	}
	if err := o.Check(root); err != nil {
		return nil, err
	}
	if err := c.canGet(ctx, o.FreeOnly); err != nil {
		return nil, err
	}
	g, err := c.newGetting(ctx, &GetResult{Root: root, Target: root}, o)
	if err != nil {
		return nil, err
	}
	if g.inTar() {
		return nil, errors.New("a private directory is one encrypted file: Get can give a file of it")
	}
	f := &File{g: g, ctx: ctx}
	if f.dir, f.lock, err = c.records.NewReading(); err != nil {
		return nil, err
	}
	if g.store, err = fetch.Open(filepath.Join(f.dir, "part"), root, 0o600); err != nil {
		return nil, errors.Join(err, files.EndReading(f.dir, f.lock))
	}
	if err = f.begin(); err != nil {
		return nil, errors.Join(err, f.end(err))
	}
	return f, nil
}

// begin fetches what is needed to know the size.
func (f *File) begin() (err error) {
	g := f.g
	if f.finish, err = g.begin(f.ctx); err != nil {
		return err
	}
	g.ctx = f.ctx
	g.hire()
	if err := g.resolve(f.ctx); err != nil {
		return err
	}
	if g.contentKind() != pack.KindFile {
		return errors.New("it is a directory")
	}
	top, err := dag.Load(f.ctx, g.store.Get, g.r.Target)
	if err != nil {
		return err
	}
	f.stored = top.FileSize
	if g.key != "" { // the header, and the end, which proves the size
		plain, err := pack.PlainSize(f.stored)
		if err != nil {
			return err
		}
		if err := f.pull(pack.CipherSpans(0, 0, plain), 0); err != nil {
			return err
		}
	}
	f.content, err = pack.Decrypt(g.store.Region(g.r.Target).ReaderAt(f.ctx), f.stored, g.key)
	return err
}

// pull fetches whole leaves for runs of the stored bytes, and at least least bytes
// from where the first missing one begins.
func (f *File) pull(runs []pack.Span, least uint64) error {
	f.pulling.Lock()
	defer f.pulling.Unlock()
	region := f.g.store.Region(f.g.r.Target)
	for _, run := range runs {
		from := run.Offset / leafBytes * leafBytes
		to := min((run.Offset+run.Length+leafBytes-1)/leafBytes*leafBytes, f.stored)
		if region.Has(from, to-from) {
			continue
		}
		to = min(max(to, from+least), f.stored)
		if err := f.g.pullFile(f.ctx, f.g.store, f.g.r.Target, from, to-from); err != nil {
			f.err = errors.Join(f.err, err)
			return err
		}
	}
	return nil
}

// Size is the number of bytes of the content.
func (f *File) Size() int64 { return int64(f.content.Size) }

// ReadAt implements io.ReaderAt.
func (f *File) ReadAt(p []byte, off int64) (int, error) { return f.read(p, off, 0) }

func (f *File) read(p []byte, off int64, ahead uint64) (int, error) {
	switch {
	case off < 0:
		return 0, errors.New("read file: negative offset")
	case off >= f.Size() || len(p) == 0:
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	want := min(uint64(len(p)), f.content.Size-uint64(off))
	runs := []pack.Span{{Offset: uint64(off), Length: want}}
	if f.g.key != "" {
		runs = pack.CipherSpans(uint64(off), want, f.content.Size)
	}
	if err := f.pull(runs, ahead); err != nil {
		return 0, fmt.Errorf("read %s at %d: %w", f.g.r.Target, off, err)
	}
	n, err := f.content.ReadAt(p[:want], off)
	if err == io.EOF && uint64(n) == want && int(want) == len(p) {
		err = nil
	}
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// Read reads on from where the last Read or Seek ended.
func (f *File) Read(p []byte) (int, error) {
	f.ahead = min(max(2*f.ahead, leafBytes), mostAhead)
	n, err := f.read(p, f.at, f.ahead)
	f.at += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

// Seek implements io.Seeker.
func (f *File) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += f.Size()
	case io.SeekStart:
	default:
		return f.at, fmt.Errorf("seek: whence %d", whence)
	}
	if offset < 0 {
		return f.at, errors.New("seek: before the beginning")
	}
	if offset != f.at {
		f.at, f.ahead = offset, 0
	}
	return offset, nil
}

// Cost says what was fetched and paid so far.
func (f *File) Cost() Progress {
	f.pulling.Lock()
	defer f.pulling.Unlock()
	s := f.g.clerk.note(f.g.transfer.Stats())
	return Progress{s.Bytes, s.Chunks, s.Spent}
}

// Close ends the sessions with the sellers, keeps the record of what was paid, and
// deletes what was kept of the file.
func (f *File) Close() error { return f.end(f.err) }

func (f *File) end(why error) error {
	if f.g.transfer != nil {
		f.g.clerk.over(f.g.transfer.Close())
	}
	if f.finish != nil {
		f.finish(why)
	}
	return errors.Join(f.g.store.Close(), files.EndReading(f.dir, f.lock))
}
