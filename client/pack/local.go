package pack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// localTree reads the directory at root. Symbolic links are taken as links;
// sockets, pipes and devices are refused. tell, if set, hears of bytes read.
func localTree(root string, tell func(int)) source {
	return func(ctx context.Context, to sink) error {
		l := local{ctx: ctx, to: to, root: root, tell: tell}
		info, err := os.Stat(root)
		if err != nil {
			return err
		}
		return l.directory("", root, info, os.Stat)
	}
}

// localNames reads what localTree reads without the bytes: a file gets none.
func localNames(root string) source {
	return func(ctx context.Context, to sink) error {
		l := local{ctx: ctx, to: to, root: root, names: true}
		info, err := os.Stat(root)
		if err != nil {
			return err
		}
		return l.directory("", root, info, os.Stat)
	}
}

type local struct {
	ctx   context.Context
	to    sink
	root  string
	tell  func(int)
	names bool // only names and sizes
}

// directory walks one directory. stat is how it was looked at: os.Stat for the
// root, which may be a link, os.Lstat below.
func (l *local) directory(rel, full string, before fs.FileInfo, stat func(string) (fs.FileInfo, error)) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	entries, err := os.ReadDir(full)
	if err != nil {
		return err
	}
	if err := l.to.enter(rel); err != nil {
		return err
	}
	for _, e := range entries {
		path := e.Name()
		if rel != "" {
			path = rel + "/" + path
		}
		if err := l.entry(path, filepath.Join(full, e.Name())); err != nil {
			return err
		}
	}
	if err := unchanged(full, before, stat); err != nil {
		return err
	}
	return l.to.leave(rel)
}

func (l *local) entry(rel, full string) error {
	info, err := os.Lstat(full)
	if err != nil {
		return gone(full, err)
	}
	switch {
	case info.IsDir():
		return l.directory(rel, full, info, os.Lstat)
	case info.Mode().IsRegular() && l.names:
		w, err := l.to.file(rel, info.Size(), info.Mode()&0o100 != 0)
		if err != nil {
			return err
		}
		return w.Close()
	case info.Mode().IsRegular():
		return readLocal(l.ctx, full, info, os.Lstat, l.tell, func(src io.Reader) error {
			return copyFile(l.to, rel, info.Size(), info.Mode()&0o100 != 0, src)
		})
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(full)
		if err != nil {
			return gone(full, err)
		}
		if err := unchanged(full, info, os.Lstat); err != nil {
			return err
		}
		return l.to.symlink(rel, target)
	default:
		return fmt.Errorf("read %q: neither file, directory nor symbolic link (%s)", full, info.Mode().Type())
	}
}

// readLocal opens a file that was looked at before, passes its bytes to use,
// and makes sure that it is still the same file with the same size and time,
// and had as many bytes as its size says.
func readLocal(ctx context.Context, path string, before fs.FileInfo, stat func(string) (fs.FileInfo, error), tell func(int), use func(io.Reader) error) error {
	file, err := os.Open(path)
	if err != nil {
		return gone(path, err)
	}
	defer file.Close()
	opened := func(string) (fs.FileInfo, error) { return file.Stat() }
	if err := unchanged(path, before, opened); err != nil {
		return err
	}
	err = use(within{ctx, io.LimitReader(file, before.Size()), tell})
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read %q: %w: it became shorter than %d bytes", path, ErrChanged, before.Size())
	}
	if err != nil {
		return fmt.Errorf("read %q: %w", path, err)
	}
	if n, _ := file.Read(make([]byte, 1)); n > 0 {
		return fmt.Errorf("read %q: %w: it has more than its %d bytes", path, ErrChanged, before.Size())
	}
	if err := unchanged(path, before, opened); err != nil {
		return err
	}
	return unchanged(path, before, stat)
}

// unchanged compares what is at path now with what was there before.
func unchanged(path string, before fs.FileInfo, stat func(string) (fs.FileInfo, error)) error {
	now, err := stat(path)
	if err != nil {
		return gone(path, err)
	}
	same := os.SameFile(before, now) && before.Mode().Type() == now.Mode().Type() && before.ModTime().Equal(now.ModTime())
	if same && (now.IsDir() || before.Size() == now.Size()) {
		return nil
	}
	return fmt.Errorf("read %q: %w", path, ErrChanged)
}

// gone says of a file that vanished after it was seen that it changed.
func gone(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %q: %w: %w", path, ErrChanged, err)
	}
	return err
}
