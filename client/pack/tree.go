package pack

import (
	"context"
	"io"
)

// sink takes a directory tree: enter and leave come in pairs around what a
// directory holds, the root first with the path "". Paths are relative, with
// slashes, and come in the order of a walk in which each directory's names are
// sorted by their bytes.
type sink interface {
	enter(path string) error
	leave(path string) error
	// file takes exactly size bytes and then Close, which also comes, with its
	// result unused, when the bytes could not be had.
	file(path string, size int64, exec bool) (io.WriteCloser, error)
	symlink(path, target string) error
}

// source puts a tree into a sink.
type source func(ctx context.Context, to sink) error

// tee is a sink that passes everything to several.
type tee []sink

func (t tee) enter(path string) error {
	return t.each(func(s sink) error { return s.enter(path) })
}

func (t tee) leave(path string) error {
	return t.each(func(s sink) error { return s.leave(path) })
}

func (t tee) symlink(path, target string) error {
	return t.each(func(s sink) error { return s.symlink(path, target) })
}

func (t tee) each(f func(sink) error) error {
	for _, s := range t {
		if err := f(s); err != nil {
			return err
		}
	}
	return nil
}

func (t tee) file(path string, size int64, exec bool) (io.WriteCloser, error) {
	var out teeFile
	for _, s := range t {
		w, err := s.file(path, size, exec)
		if err != nil {
			out.Close()
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

// teeFile is a file in several sinks.
type teeFile []io.WriteCloser

func (t teeFile) Write(p []byte) (int, error) {
	for _, w := range t {
		if n, err := w.Write(p); err != nil {
			return n, err
		}
	}
	return len(p), nil
}

func (t teeFile) Close() error {
	var first error
	for _, w := range t {
		if err := w.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// copyFile passes exactly size bytes of src to the file in the sink. It says
// io.ErrUnexpectedEOF if src has fewer.
func copyFile(to sink, path string, size int64, exec bool, src io.Reader) (err error) {
	w, err := to.file(path, size, exec)
	if err != nil {
		return err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, io.LimitReader(src, size), make([]byte, min(size+1, 128<<10)))
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	return err
}

// within makes a reader that stops when ctx is done and counts what it reads.
type within struct {
	ctx  context.Context
	src  io.Reader
	tell func(n int)
}

func (w within) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.src.Read(p)
	if w.tell != nil && n > 0 {
		w.tell(n)
	}
	return n, err
}
