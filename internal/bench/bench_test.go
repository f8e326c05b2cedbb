package bench

import (
	"testing"

	"github.com/perdure/perdure/post"
	"github.com/perdure/perdure/post/prove"
)

// TestZeroSector proves the sector that the benchmark of window proofs makes up.
func TestZeroSector(t *testing.T) {
	dir := t.TempDir()
	in, err := zeroSector(dir)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := prove.Window(t.Context(), in, []string{dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := post.Verify(in, proof); err != nil {
		t.Fatal(err)
	}
	if n := pathHashes(len(proof)); n < 80 || n > 100 {
		t.Errorf("%d hashes on ten paths of ten levels", n)
	}
}
