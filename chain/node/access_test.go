package node

import (
	"math"
	"testing"
)

// TestConnectionsWithinFiles leaves the engine and the databases files to open,
// however many connections the config allows.
func TestConnectionsWithinFiles(t *testing.T) {
	for _, c := range []struct {
		connections int
		files       uint64
		want        int
	}{{10_000, 1 << 20, 10_000}, {10_000, math.MaxUint64, 10_000}, {10_000, 4096, 2048}, {100, 1024, 100}, {10_000, 1, 1}} {
		if got := within(c.connections, c.files); got != c.want {
			t.Errorf("%d connections of %d files: %d, want %d", c.connections, c.files, got, c.want)
		}
	}
	c := AccessConfig{Connections: math.MaxInt}
	if got := c.connections().Total; uint64(got) > openFiles()/2 {
		t.Errorf("%d connections, the process may open %d files", got, openFiles())
	}
}
