package pack

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"
	"time"
)

// tarSink writes a tree as a tar whose bytes are a function of names, contents
// and link targets alone:
//
//   - the entries of the root directory, without an entry for itself, in the
//     order of a walk in which each directory's names are sorted by their
//     bytes, a directory before what it holds, its name ending in a slash;
//   - time 0, owner and group 0 without names; mode 0755 for a directory,
//     0644 for everything else;
//   - USTAR headers, with a PAX header before those whose name, target or size
//     USTAR cannot hold; two zero blocks at the end and nothing more.
//
// With keepExec a file that its owner may execute has mode 0755.
type tarSink struct {
	dst      *tar.Writer
	keepExec bool
}

func newTarSink(dst io.Writer, keepExec bool) *tarSink {
	return &tarSink{dst: tar.NewWriter(dst), keepExec: keepExec}
}

func (t *tarSink) header(h *tar.Header) error {
	h.ModTime = time.Unix(0, 0)
	if err := t.dst.WriteHeader(h); err != nil {
		return fmt.Errorf("write tar entry %q: %w", h.Name, err)
	}
	return nil
}

func (t *tarSink) enter(path string) error {
	if path == "" {
		return nil
	}
	return t.header(&tar.Header{Typeflag: tar.TypeDir, Name: path + "/", Mode: 0o755})
}

// leave ends the tar when it is the root that is left.
func (t *tarSink) leave(path string) error {
	if path != "" {
		return nil
	}
	if err := t.dst.Close(); err != nil {
		return fmt.Errorf("end tar: %w", err)
	}
	return nil
}

func (t *tarSink) file(path string, size int64, exec bool) (io.WriteCloser, error) {
	mode := int64(0o644)
	if exec && t.keepExec {
		mode = 0o755
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: path, Size: size, Mode: mode}
	return tarFile{t.dst}, t.header(h)
}

func (t *tarSink) symlink(path, target string) error {
	return t.header(&tar.Header{Typeflag: tar.TypeSymlink, Name: path, Linkname: target, Mode: 0o644})
}

// tarFile is the body of one entry.
type tarFile struct{ dst *tar.Writer }

func (f tarFile) Write(p []byte) (int, error) { return f.dst.Write(p) }
func (f tarFile) Close() error                { return f.dst.Flush() }

// tarSize is a sink that adds up how long the tarSink's tar gets, without the bytes
// of files.
type tarSize uint64

func (t *tarSize) Write(p []byte) (int, error) {
	*t += tarSize(len(p))
	return len(p), nil
}

// entry counts what one call writes to a tar.
func (t *tarSize) entry(write func(*tarSink) error) error { return write(newTarSink(t, true)) }

func (t *tarSize) enter(path string) error {
	return t.entry(func(s *tarSink) error { return s.enter(path) })
}

func (t *tarSize) leave(path string) error {
	return t.entry(func(s *tarSink) error { return s.leave(path) })
}

func (t *tarSize) symlink(path, target string) error {
	return t.entry(func(s *tarSink) error { return s.symlink(path, target) })
}

func (t *tarSize) file(path string, size int64, exec bool) (io.WriteCloser, error) {
	const block = 512
	err := t.entry(func(s *tarSink) error { _, err := s.file(path, size, exec); return err })
	*t += tarSize((size + block - 1) / block * block)
	return nothing{}, err
}

// nothing is the body of a file that is only counted.
type nothing struct{}

func (nothing) Write(p []byte) (int, error) { return len(p), nil }
func (nothing) Close() error                { return nil }

// digestSink is the tarSink of which only the hash and the size are kept.
type digestSink struct {
	*tarSink
	counter
}

// counter hashes and counts what is written to it.
type counter struct {
	hash hash.Hash
	size uint64
}

func (c *counter) Write(p []byte) (int, error) {
	c.size += uint64(len(p))
	return c.hash.Write(p)
}

func (c *counter) sum() [sha256.Size]byte { return [sha256.Size]byte(c.hash.Sum(nil)) }

func newCounter() *counter { return &counter{hash: sha256.New()} }

func newDigestSink() *digestSink {
	d := &digestSink{counter: *newCounter()}
	d.tarSink = newTarSink(&d.counter, false)
	return d
}

// TarDigest returns the SHA-256 and the number of bytes of the deterministic
// tar of the directory at path. They depend on names, contents and link targets
// alone, so that a directory has them before it is stored and after it came
// back. The tar: the directory's entries without one for itself, walked with
// each directory's names sorted by their bytes; time, owner and group 0; mode
// 0755 for directories and 0644 for the rest; USTAR headers and PAX where a
// name, a link target or a size needs it.
func TarDigest(ctx context.Context, path string) (sum [sha256.Size]byte, size uint64, err error) {
	d := newDigestSink()
	if err := localTree(path, nil)(ctx, d); err != nil {
		return sum, 0, fmt.Errorf("tar digest of %q: %w", path, err)
	}
	return d.sum(), d.size, nil
}

// tarTree reads a tar of the form that tarSink writes. It refuses entries of
// other kinds, names that lead outside, and entries whose directory is not the
// one just walked, so that no entry can be reached through a link.
func tarTree(src io.Reader) source {
	return func(ctx context.Context, to sink) error {
		in := within{ctx: ctx, src: src}
		if err := readTar(tar.NewReader(in), to); err != nil {
			return err
		}
		// What encloses the tar ends where the tar ends, or it was cut or
		// added to.
		n, err := io.Copy(io.Discard, in)
		if err != nil {
			return fmt.Errorf("read to the end: %w", err)
		}
		if n > 0 {
			return fmt.Errorf("read tar: %w: %d bytes behind its end", ErrMalformed, n)
		}
		return nil
	}
}

func readTar(src *tar.Reader, to sink) error {
	if err := to.enter(""); err != nil {
		return err
	}
	open := []string{""}
	leaveTo := func(dir string) error {
		for open[len(open)-1] != dir {
			if len(open) == 1 {
				return fmt.Errorf("read tar: %w: directory %q is not open", ErrMalformed, dir)
			}
			if err := to.leave(open[len(open)-1]); err != nil {
				return err
			}
			open = open[:len(open)-1]
		}
		return nil
	}
	for {
		h, err := src.Next()
		if err == io.EOF {
			if err := leaveTo(""); err != nil {
				return err
			}
			return to.leave("")
		}
		if err != nil {
			return fmt.Errorf("read tar: %w", err)
		}
		name, err := tarName(h)
		if err != nil {
			return err
		}
		if err := leaveTo(parentOf(name)); err != nil {
			return err
		}
		if err := tarEntry(src, h, name, to); err != nil {
			return err
		}
		if h.Typeflag == tar.TypeDir {
			open = append(open, name)
		}
	}
}

// parentOf is the directory of a path, "" for the root.
func parentOf(name string) string {
	if dir := path.Dir(name); dir != "." {
		return dir
	}
	return ""
}

func tarEntry(src *tar.Reader, h *tar.Header, name string, to sink) error {
	switch h.Typeflag {
	case tar.TypeDir:
		return to.enter(name)
	case tar.TypeReg:
		return copyFile(to, name, h.Size, h.Mode&0o100 != 0, src)
	case tar.TypeSymlink:
		return to.symlink(name, h.Linkname)
	default:
		return fmt.Errorf("read tar: %w: entry %q of type %q", ErrMalformed, h.Name, h.Typeflag)
	}
}

// tarName checks an entry's name and returns it without the slash of a
// directory. Sparse files, a few bytes that stand for any number of zeros, are
// refused too.
func tarName(h *tar.Header) (string, error) {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return "", fmt.Errorf("read tar: %w: entry %q is sparse", ErrMalformed, h.Name)
		}
	}
	name := h.Name
	if h.Typeflag == tar.TypeDir {
		name = strings.TrimSuffix(name, "/")
	}
	for _, element := range strings.Split(name, "/") {
		if element == "" || element == "." || element == ".." || strings.ContainsRune(element, 0) {
			return "", fmt.Errorf("read tar: %w: entry name %q", ErrMalformed, h.Name)
		}
	}
	return name, nil
}
