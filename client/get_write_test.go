package client

import (
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"

	"github.com/perdure/perdure/client/fetch"
	"github.com/perdure/perdure/retrieval/dag"
)

// full is a place where nothing can be written.
type full struct{ err error }

func (f full) Write([]byte) (int, error) { return 0, f.err }

// TestWriteCARWaits: when a CAR cannot be written, nothing is at work on it any more
// once the caller hears so. It has no tests beside it, whose archives would be seen.
func TestWriteCARWaits(t *testing.T) {
	block := []byte("a file of one block")
	root, err := cid.V1Builder{Codec: cid.Raw, MhType: mh.SHA2_256}.Sum(block)
	if err != nil {
		t.Fatal(err)
	}
	store, err := fetch.Open(filepath.Join(t.TempDir(), "store"), root, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.Put(root, block); err != nil {
		t.Fatal(err)
	}
	stacks := make([]byte, 1<<20)
	noSpace := errors.New("no space left")
	for try := range 300 {
		g := &getting{store: store, kind: dag.KindFile, r: &GetResult{Root: root, Target: root}, o: GetOptions{CAR: true, To: full{noSpace}}}
		if err := g.writeCAR(t.Context(), ""); !errors.Is(err, noSpace) || strings.Contains(err.Error(), root.String()) {
			t.Fatalf("an archive in no space: %v", err)
		}
		if all := string(stacks[:runtime.Stack(stacks, true)]); strings.Contains(all, "exportCAR") || strings.Contains(all, "writeCAR") {
			t.Fatalf("try %d: still at work after the end:\n%s", try, all)
		}
		store.Begin()
	}
}
