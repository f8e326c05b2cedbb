package heap

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

func TestPercent(t *testing.T) {
	for _, c := range []struct {
		size, alive uint64
		want        int
	}{
		{192 << 20, 0, 4700}, {192 << 20, 64 << 20, 200}, {192 << 20, 100 << 20, 100}, {192 << 20, 1 << 30, 100}, {192 << 20, 96 << 20, 100}, {192 << 20, 95 << 20, 100},
		{192 << 20, 50 << 20, 280},
	} {
		if got := percent(c.size, c.alive); got != c.want {
			t.Errorf("to %d with %d alive: %d %%, want %d %%", c.size, c.alive, got, c.want)
		}
	}
}

var kept [][]byte

// TestFloor makes garbage: with a floor it is collected less often, and with more alive
// than half of the floor as often as ever.
func TestFloor(t *testing.T) {
	defer debug.SetGCPercent(usual)
	defer func() { kept = nil }()
	const size = 64 << 20
	tune := &tuner{size: size, percent: usual}
	tune.tune()
	runtime.GC() // from here on the tuner knows what is alive
	goal := func() uint64 {
		t.Helper()
		for range 20 { // the cleanup runs after a collection, in its own time
			runtime.GC()
			runtime.Gosched()
		}
		s := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	if got := goal(); got < size*8/10 || got > size*12/10 {
		t.Errorf("with little alive the heap grows to %d bytes, want %d", got, size)
	}
	for range size / (1 << 20) {
		kept = append(kept, make([]byte, 1<<20))
	}
	if got := goal(); got < 2*size*9/10 || got > 2*size*12/10 {
		t.Errorf("with %d alive the heap grows to %d bytes, want twice of that", size, got)
	}
}
