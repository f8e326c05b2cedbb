package client

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/perdure/perdure/client/fetch"
	"github.com/perdure/perdure/client/pack"
)

// errWritten ends a fetch of which the rest is not needed.
var errWritten = errors.New("written")

// inTar reports whether the path leads into a private directory, which is one
// encrypted tar.
func (g *getting) inTar() bool { return len(g.o.Path) > 0 && g.key != "" }

// writeFromTar fetches a private directory as far as the file at the path, and
// writes that.
func (g *getting) writeFromTar(ctx context.Context, dest string) error {
	pull := func(ctx context.Context) error { return g.pullFile(ctx, g.store, g.r.Target, 0, 0) }
	err := g.beside(ctx, g.store, pull, func(ctx context.Context) error {
		stored, err := g.store.Region(g.r.Target).NewReader(ctx, 0, ^uint64(0))
		if err != nil {
			return err
		}
		plain, err := pack.DecryptStream(stored, g.key)
		if err != nil {
			return err
		}
		file, size, err := entryOf(plain, strings.Join(g.o.Path, "/"))
		if err != nil {
			return err
		}
		offset, length, err := g.o.Range.in(size)
		if err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, file, int64(offset)); err != nil {
			return err
		}
		if err := g.output(dest, func(w io.Writer) error { return g.copy(w, io.LimitReader(file, int64(length)), nil) }); err != nil {
			return err
		}
		return errWritten
	})
	if errors.Is(err, errWritten) {
		return nil
	}
	return err
}

// entryOf goes to the file of a name in a tar.
func entryOf(src io.Reader, name string) (io.Reader, uint64, error) {
	entries := tar.NewReader(src)
	for {
		h, err := entries.Next()
		switch {
		case err == io.EOF:
			return nil, 0, fmt.Errorf("%s: %w", name, fetch.ErrNoEntry)
		case errors.Is(err, tar.ErrHeader):
			return nil, 0, fmt.Errorf("%s: what is stored is a file, or a directory that is damaged: %w", name, err)
		case err != nil:
			return nil, 0, fmt.Errorf("read the directory's tar: %w", err)
		case strings.TrimSuffix(h.Name, "/") != name:
		case h.Typeflag != tar.TypeReg:
			return nil, 0, fmt.Errorf("%s is no file: only a file can be had of a private directory", name)
		default:
			return entries, uint64(h.Size), nil
		}
	}
}
