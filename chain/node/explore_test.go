package node

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestDamagedIndex starts a node whose index cannot be read: it makes blocks,
// keeps what is damaged, and has an index of all its states again.
func TestDamagedIndex(t *testing.T) {
	home, c := newHome(t)
	o := Options{Home: home, Config: c, Pace: Pace{Commit: time.Millisecond, Hasty: true}}
	reach(t, o, 5)
	manifests, err := filepath.Glob(filepath.Join(indexDir(home), "*", "MANIFEST-*"))
	if err != nil || len(manifests) == 0 {
		t.Fatalf("manifests of the index: %v (%v)", manifests, err)
	}
	for _, m := range manifests {
		if err := os.WriteFile(m, []byte("this is no manifest"), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	n, stop := run(t, o)
	tip := n.Store().View().Height()
	awaitHeight(n, tip+3)
	for built := false; !built; time.Sleep(time.Millisecond) { // until then there is nothing to wait for
		_, _, built = n.index.Tip()
	}
	n.index.Wait(t.Context(), tip+3)
	if first, height, ok := n.index.Tip(); !ok || first != 1 || height < tip+3 {
		t.Errorf("the index holds heights %d to %d (%v), want 1 to %d", first, height, ok, tip+3)
	}
	if _, err := os.Stat(indexDir(home) + ".damaged"); err != nil {
		t.Errorf("the damaged index was not set aside: %v", err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// TestUnreadableBlock damages a block in the engine's store: its messages are
// as those of a block that is not kept, and the node lives.
func TestUnreadableBlock(t *testing.T) {
	home, c := newHome(t)
	n, stop := run(t, Options{Home: home, Config: c, Pace: Pace{Commit: time.Millisecond, Hasty: true}})
	awaitHeight(n, 3)
	if messages, err := n.Messages(t.Context(), 2); err != nil || messages == nil {
		t.Errorf("messages of a whole block: %v (%v)", messages, err)
	}
	if err := n.databases["blockstore"].Set([]byte("P:2:0"), []byte("this is no part")); err != nil {
		t.Fatal(err)
	}
	if messages, err := n.Messages(t.Context(), 2); err != nil || messages != nil {
		t.Errorf("messages of a damaged block: %v (%v)", messages, err)
	}
	awaitHeight(n, n.Store().View().Height()+1)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
