package pack

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// toFile writes a file beside dest and moves it there when it is whole.
func (r *restorer) toFile(dest string) (got *Restored, err error) {
	if info, err := os.Stat(dest); err == nil && info.IsDir() {
		return nil, errors.New("a directory is in the way")
	}
	temp, err := beside(dest)
	if err != nil {
		return nil, err
	}
	mode := r.opts.Mode.Perm()
	if mode == 0 {
		mode = 0o666
	}
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, err
	}
	if got, err = r.file(file); err == nil {
		err = file.Sync()
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(temp, dest)
	}
	if err != nil {
		return nil, errors.Join(err, removeIfThere(temp))
	}
	return got, syncDirectory(filepath.Dir(dest))
}

// toDirectory fills a directory beside dest and moves it there when it is
// whole.
func (r *restorer) toDirectory(dest string) (got *Restored, err error) {
	if err := free(dest); err != nil {
		return nil, err
	}
	temp, err := beside(dest)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(temp, 0o777); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	root, err := os.OpenRoot(temp)
	if err != nil {
		return nil, err
	}
	got, err = r.directory(&diskSink{root: root})
	if cerr := root.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	if err := os.Remove(dest); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.Rename(temp, dest); err != nil {
		return nil, err
	}
	return got, syncDirectory(filepath.Dir(dest))
}

// free says whether a directory can be put at dest.
func free(dest string) error {
	entries, err := os.ReadDir(dest)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(entries) > 0:
		return errors.New("a directory with content is in the way")
	}
	return nil
}

// beside makes up a hidden name in the directory of dest, on its file system.
func beside(dest string) (string, error) {
	abs, err := filepath.Abs(dest)
	if err != nil {
		return "", err
	}
	var salt [8]byte
	rand.Read(salt[:])
	return filepath.Join(filepath.Dir(abs), ".perdure-"+hex.EncodeToString(salt[:])), nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// syncDirectory makes the names in a directory durable.
func syncDirectory(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// diskSink writes a tree under a directory that it cannot leave: os.Root
// follows no link out of it, and nothing is ever opened that was there before.
type diskSink struct{ root *os.Root }

func (d *diskSink) enter(path string) error {
	if path == "" {
		return nil
	}
	return d.root.Mkdir(filepath.FromSlash(path), 0o777)
}

// leave syncs the directory that is done.
func (d *diskSink) leave(path string) error {
	if path == "" {
		path = "."
	}
	dir, err := d.root.Open(filepath.FromSlash(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (d *diskSink) file(path string, _ int64, exec bool) (io.WriteCloser, error) {
	mode := fs.FileMode(0o666)
	if exec {
		mode = 0o777
	}
	file, err := d.root.OpenFile(filepath.FromSlash(path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, err
	}
	return syncedFile{file}, nil
}

func (d *diskSink) symlink(path, target string) error {
	if err := d.root.Symlink(target, filepath.FromSlash(path)); err != nil {
		return fmt.Errorf("make link: %w", err)
	}
	return nil
}

// syncedFile syncs when it is closed.
type syncedFile struct{ *os.File }

func (f syncedFile) Close() error { return errors.Join(f.Sync(), f.File.Close()) }
