package node

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/chain/state"
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
	awaitIndex(t, n, tip+3)
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

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestIndexOfAnotherChain starts a node in whose home is an index of another
// chain: it is set aside, whole, and never in place of one that was before.
func TestIndexOfAnotherChain(t *testing.T) {
	home, c := newHome(t)
	for range 2 {
		must(t, os.RemoveAll(indexDir(home)))
		x, err := index.Open(index.Config{Dir: indexDir(home), ChainID: "another"})
		must(t, err)
		store, err := state.Open(state.Config{Dir: "state", Params: consensus.Devnet(), FS: vfs.NewMem()})
		must(t, err)
		raw, err := chain.Encode(&chain.Global{RuleVersion: 1})
		must(t, err)
		_, err = store.Genesis(&consensus.Update{Version: 1, Changes: []consensus.Change{{Table: chain.TableGlobal, Value: raw}}})
		must(t, err)
		e, err := store.Export(0)
		must(t, err)
		must(t, errors.Join(x.Scan(t.Context(), e), e.Close(), store.Close(), x.Close()))
		reach(t, Options{Home: home, Config: c, Pace: Pace{Commit: time.Millisecond, Hasty: true}}, 2)
	}
	for _, aside := range []string{".of-another-chain", ".of-another-chain-2"} {
		x, err := index.Open(index.Config{Dir: indexDir(home) + aside, ChainID: "another"})
		if err != nil {
			t.Errorf("the index that was set aside: %v", err)
			continue
		}
		if _, _, ok := x.Tip(); !ok {
			t.Error("the index that was set aside is empty")
		}
		must(t, x.Close())
	}
	report, err := CheckIndex(t.Context(), home) // of the node's own, while it is stopped
	if err != nil || !report.OK() || report.Blocks < 2 || !report.Compared {
		t.Errorf("check: %+v, %v", report, err)
	}
}

// TestIndexOff runs a node that keeps no index.
func TestIndexOff(t *testing.T) {
	home, c := newHome(t)
	c.Index.Off = true
	n, stop := run(t, Options{Home: home, Config: c, Pace: Pace{Commit: time.Millisecond, Hasty: true}})
	awaitHeight(n, 3)
	if n.index != nil {
		t.Error("it has one")
	}
	if _, err := os.Stat(indexDir(home)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory of the index: %v", err)
	}
	must(t, stop())
}

// TestSeriesConfig: days of config.toml are seconds of the index, and no number
// of days is too great.
func TestSeriesConfig(t *testing.T) {
	c := IndexConfig{Minutes: 2, Hours: math.MaxUint64}
	if r := c.series(); r.Minutes != 2*86400 || r.Hours < 1<<60 {
		t.Errorf("retention %+v", r)
	}
	if r := (&IndexConfig{}).series(); r.Minutes != 0 || r.Hours != 0 {
		t.Errorf("nothing set gives %+v, want the index's own", r)
	}
}
