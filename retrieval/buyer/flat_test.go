package buyer_test

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"

	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/car"
)

// TestFlat takes a flat piece up again behind the last leaf that is whole and right,
// whatever a crash left of the two files, and takes no other block than a leaf.
func TestFlat(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 3*car.FlatLeaf/16)[:2*car.FlatLeaf+1000]
	leaves := [][]byte{content[:car.FlatLeaf], content[car.FlatLeaf : 2*car.FlatLeaf], content[2*car.FlatLeaf:]}
	root := car.LeafCID(sha256.Sum256(content))
	for name, tc := range map[string]struct {
		damage func(t *testing.T, data, sums *os.File)
		left   uint64 // leaves
	}{
		"whole leaves":     {func(*testing.T, *os.File, *os.File) {}, 2},
		"data torn":        {func(t *testing.T, data, _ *os.File) { truncate(t, data, car.FlatLeaf+7) }, 1},
		"digests torn":     {func(t *testing.T, _, sums *os.File) { truncate(t, sums, 40) }, 1},
		"data lost":        {func(t *testing.T, data, _ *os.File) { truncate(t, data, 0) }, 0},
		"a bit is flipped": {func(t *testing.T, data, _ *os.File) { write(t, data, []byte{'x'}, 5) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			data, sums := open(t, filepath.Join(dir, "data")), open(t, filepath.Join(dir, "sums"))
			f, err := buyer.OpenFlat(data, sums)
			for _, leaf := range leaves {
				if err == nil {
					err = f.Put(t.Context(), car.LeafCID(sha256.Sum256(leaf)), leaf)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Put(t.Context(), car.LeafCID(sha256.Sum256(leaves[0])), leaves[0]); err == nil {
				t.Error("a leaf behind a short one was taken")
			}
			tc.damage(t, data, sums)
			if f, err = buyer.OpenFlat(data, sums); err != nil {
				t.Fatal(err)
			}
			if f.Blocks() != tc.left || f.Size() != tc.left*car.FlatLeaf {
				t.Fatalf("%d leaves, %d bytes are left, want %d leaves", f.Blocks(), f.Size(), tc.left)
			}
			if err := f.Put(t.Context(), root, leaves[0]); err == nil {
				t.Error("a block of another CID was taken")
			}
			for _, leaf := range leaves[tc.left:] {
				if err := f.Put(t.Context(), car.LeafCID(sha256.Sum256(leaf)), leaf); err != nil {
					t.Fatal(err)
				}
			}
			x, err := f.Index(root)
			if err != nil {
				t.Fatal(err)
			}
			back, err := os.ReadFile(data.Name())
			if err != nil || !bytes.Equal(back, content) || x.Len() != 3 || x.Size() != uint64(len(content)) || !x.IsFlat() {
				t.Errorf("%d bytes in %d leaves (%v)", len(back), x.Len(), err)
			}
		})
	}
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func truncate(t *testing.T, f *os.File, size int64) {
	t.Helper()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, f *os.File, b []byte, at int64) {
	t.Helper()
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}
