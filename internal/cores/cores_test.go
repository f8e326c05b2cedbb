package cores

import (
	"runtime"
	"sync"
	"testing"
)

// TestSpare has one thread more than there are cores, however often it is asked for,
// and none if the environment says how many.
func TestSpare(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for _, c := range []struct {
		environment string
		more        int
	}{{"", 1}, {"7", 0}} {
		runtime.GOMAXPROCS(before)
		once, spare = sync.Once{}, 0
		t.Setenv("GOMAXPROCS", c.environment)
		for range 2 {
			Spare()
			if now := runtime.GOMAXPROCS(0); now != before+c.more {
				t.Errorf("GOMAXPROCS=%q: %d threads, want %d", c.environment, now, before+c.more)
			}
			if now := Count(); now != before {
				t.Errorf("GOMAXPROCS=%q: %d cores, want %d", c.environment, now, before)
			}
		}
	}
	once, spare = sync.Once{}, 0
}
