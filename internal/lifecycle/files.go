package lifecycle

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"syscall"

	"github.com/BurntSushi/toml"
)

// WriteFile replaces a file so that it is never seen half written, and is
// durable when it returns. Missing directories are made, for the owner alone.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // gone already if all went well
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = SyncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// SyncDir makes the names in a directory durable.
func SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// ErrInUse says that a running process has a directory open.
var ErrInUse = errors.New("a running process has it open")

// InUse returns the error of opening a database, as [ErrInUse] if it is of a
// lock that another process holds.
func InUse(err error) error {
	if errors.Is(err, syscall.EAGAIN) {
		return ErrInUse
	}
	return err
}

// ReadConfig reads a TOML file over what into, a pointer to a struct, holds. A
// key that the struct does not have is an error with the nearest valid name.
func ReadConfig(path string, into any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read config: %w", err)
	}
	if err := ParseConfig(string(raw), into); err != nil {
		return fmt.Errorf("read config %s: %w", path, err)
	}
	return nil
}

// ParseConfig is ReadConfig of a text.
func ParseConfig(text string, into any) error {
	meta, err := toml.Decode(text, into)
	if err != nil {
		return err
	}
	for _, key := range meta.Undecoded() {
		near, _ := Nearest(key.String(), keys(reflect.TypeOf(into).Elem(), ""))
		return fmt.Errorf("unknown key %q; did you mean %q?", key, near)
	}
	return nil
}

// WriteConfig writes a struct as a TOML file, durably.
func WriteConfig(path string, v any) error {
	var b bytes.Buffer
	if err := toml.NewEncoder(&b).Encode(v); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return WriteFile(path, b.Bytes(), 0o644)
}

// keys lists the keys of a config struct: tables too, and what is in them with a dot.
func keys(t reflect.Type, prefix string) []string {
	var out []string
	for i := range t.NumField() {
		f := t.Field(i)
		name := prefix + f.Tag.Get("toml")
		out = append(out, name)
		if f.Type.Kind() == reflect.Struct && f.Type.PkgPath() == t.PkgPath() {
			out = append(out, keys(f.Type, name+".")...)
		}
	}
	return out
}

// Nearest returns the valid name that is fewest changes away from a wrong one,
// the first of equals, and how many; "" without valid names.
func Nearest(wrong string, valid []string) (best string, changes int) {
	for _, v := range valid {
		if d := distance(wrong, v); best == "" || d < changes {
			best, changes = v, d
		}
	}
	return best, changes
}

// distance counts the bytes to insert, delete or change to make one name of
// another (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
