// Package cores says on how many threads a process runs at once.
package cores

import (
	"os"
	"runtime"
	"sync"
)

// Spare lets one thread more run Go than there are cores. Go has a goroutine that does
// not wait for anything work for 10 ms before another takes its turn, and who was next
// on its thread waits that long: with a thread for each core a block that is executed
// takes one core for itself, and makes some wait who ask meanwhile. With one more the
// kernel shares the cores out between the block and who asks, and does so by less than
// that. Whoever sets GOMAXPROCS decides instead. Only the first call counts.
func Spare() {
	once.Do(func() {
		if os.Getenv("GOMAXPROCS") == "" {
			runtime.GOMAXPROCS(Count() + 1)
			spare = 1
		}
	})
}

var (
	once  sync.Once
	spare int // threads above the cores
)

// Count is how many cores the process may use, or what GOMAXPROCS says: what does
// nothing but compute has that many goroutines at work. It is asked after Spare, or
// without it.
func Count() int { return runtime.GOMAXPROCS(0) - spare }
