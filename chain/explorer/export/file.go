package export

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// SumsName is the file beside exports that holds their SHA-256, one a line, as
// sha256sum -c reads it.
const SumsName = "SHA256SUMS"

// File is an export on its way to a path. Under its name it appears when it is
// whole.
type File struct {
	path string
	part *os.File
	sum  hash.Hash
	size int64
}

// Create begins a file. What a run before left unfinished is overwritten.
func Create(path string) (*File, error) {
	part, err := os.Create(path + ".part")
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return &File{path: path, part: part, sum: sha256.New()}, nil
}

// Write implements io.Writer.
func (f *File) Write(p []byte) (int, error) {
	n, err := f.part.Write(p)
	f.sum.Write(p[:n])
	f.size += int64(n)
	return n, err
}

// Size is the number of bytes so far.
func (f *File) Size() int64 { return f.size }

// Discard removes what was written.
func (f *File) Discard() error {
	return errors.Join(f.part.Close(), os.Remove(f.part.Name()))
}

// Commit makes the file durable, gives it its name, and notes its SHA-256, which
// it returns in hexadecimal, beside it in SHA256SUMS.
func (f *File) Commit() (string, error) {
	err := errors.Join(f.part.Sync(), f.part.Close())
	if err == nil {
		err = os.Rename(f.part.Name(), f.path)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("export: %w", err), os.Remove(f.part.Name()))
	}
	sum := hex.EncodeToString(f.sum.Sum(nil))
	if err := note(filepath.Dir(f.path), filepath.Base(f.path), sum); err != nil {
		return "", fmt.Errorf("export: note the checksum of %s: %w", f.path, err)
	}
	return sum, nil
}

// note writes the line of a file in SHA256SUMS, in the place of one that it had.
func note(dir, name, sum string) error {
	path := filepath.Join(dir, SumsName)
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	lines := []string{sum + "  " + name}
	for s := bufio.NewScanner(bytes.NewReader(old)); s.Scan(); {
		if _, of, ok := strings.Cut(s.Text(), "  "); ok && of != name {
			lines = append(lines, s.Text())
		}
	}
	slices.SortFunc(lines, func(a, b string) int { // by name
		return strings.Compare(a[strings.Index(a, " "):], b[strings.Index(b, " "):])
	})
	part := path + ".part"
	if err := os.WriteFile(part, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		return err
	}
	return os.Rename(part, path)
}
