package export_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/perdure/perdure/chain/explorer/export"
)

func writeFile(t *testing.T, path, text string) *export.File {
	t.Helper()
	f, err := export.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestSums writes two files, one of them twice: SHA256SUMS names each once, as it is.
func TestSums(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []struct{ name, text string }{{"deals.csv", "old"}, {"blocks.csv", "b"}, {"deals.csv", "new"}} {
		sum, err := writeFile(t, filepath.Join(dir, f.name), f.text).Commit()
		if want := fmt.Sprintf("%x", sha256.Sum256([]byte(f.text))); err != nil || sum != want {
			t.Errorf("%s: %s, %v; want %s", f.name, sum, err, want)
		}
	}
	got, err := os.ReadFile(filepath.Join(dir, export.SumsName))
	if want := fmt.Sprintf("%x  blocks.csv\n%x  deals.csv\n", sha256.Sum256([]byte("b")), sha256.Sum256([]byte("new"))); err != nil || string(got) != want {
		t.Errorf("%s is\n%s, %v; want\n%s", export.SumsName, got, err, want)
	}
}

// TestDiscard breaks an export off: the file before it stays, and nothing else.
func TestDiscard(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "deals.csv")
	if _, err := writeFile(t, path, "whole").Commit(); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(t, path, "half").Discard(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "whole" {
		t.Errorf("the file is %q, %v; want the one before", got, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("%v, %v; want the file and %s", left, err, export.SumsName)
	}
}
