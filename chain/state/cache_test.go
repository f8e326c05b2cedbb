package state

import (
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/perdure/perdure/chain"
)

// TestCacheBesideMemtables writes until the database has two full memtables, as that
// of a node has after some minutes: as many blocks as were asked for stay in memory.
func TestCacheBesideMemtables(t *testing.T) {
	const blocks = 4 << 20
	s, err := Open(Config{Dir: "db", Params: testParams(20), FS: vfs.NewMem(), Cache: blocks})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	value := make([]byte, 8<<10)
	keys := 6 * memTable / len(value) // memtables begin small and double
	for i := range keys {
		if err := s.db.Set(heightKey(prefixUpdate, chain.Height(i)), value, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	for i := range keys {
		if _, err := s.get(heightKey(prefixUpdate, chain.Height(i))); err != nil {
			t.Fatal(err)
		}
	}
	m := s.db.Metrics()
	if held := m.MemTable.Size + m.MemTable.ZombieSize; held < 2*memTable {
		t.Fatalf("%d bytes of memtables, want two of %d", held, memTable)
	}
	if m.BlockCache.Size < blocks/2 || m.BlockCache.Size > 2*blocks {
		t.Errorf("%d bytes of blocks are in memory, want about %d", m.BlockCache.Size, blocks)
	}
}
