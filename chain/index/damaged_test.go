package index

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// TestDamaged: an index that misses a file or has a broken one is said to be
// damaged, and one that cannot be opened for another reason is not.
func TestDamaged(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"broken": func(path string) error { return os.WriteFile(path, []byte("this is no manifest"), 0o600) },
		"lost":   os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			c := Config{Dir: t.TempDir(), ChainID: "index-test"}
			x, err := Open(c)
			if err != nil {
				t.Fatal(err)
			}
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			found, err := filepath.Glob(filepath.Join(c.Dir, "*", "MANIFEST-*"))
			if err != nil || len(found) == 0 {
				t.Fatalf("manifests: %v (%v)", found, err)
			}
			for _, path := range found {
				if err := harm(path); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := Open(c); !errors.Is(err, ErrDamaged) {
				t.Errorf("Open gave %v, want ErrDamaged", err)
			}
		})
	}
	for _, reason := range []error{syscall.ENOSPC, syscall.EMFILE, syscall.EROFS} {
		t.Run(reason.Error(), func(t *testing.T) {
			fs := vfs.NewMem()
			c := Config{Dir: "index", ChainID: "index-test", FS: fs}
			x, err := Open(c)
			if err != nil {
				t.Fatal(err)
			}
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			c.FS = errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind == errorfs.OpOpen && strings.HasPrefix(path.Base(op.Path), "MANIFEST") {
					return &os.PathError{Op: "open", Path: op.Path, Err: reason}
				}
				return nil
			}))
			if _, err := Open(c); !errors.Is(err, reason) || errors.Is(err, ErrDamaged) {
				t.Errorf("Open gave %v", err)
			}
		})
	}
	t.Run("in use", func(t *testing.T) {
		c := Config{Dir: t.TempDir(), ChainID: "index-test"}
		x, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(c); err == nil || errors.Is(err, ErrDamaged) {
			t.Errorf("Open of an index that is in use gave %v", err)
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
