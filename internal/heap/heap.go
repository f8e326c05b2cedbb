// Package heap says how seldom a process may collect its garbage.
package heap

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// usual is Go's own percentage: the heap grows to twice of what is alive.
const usual = 100

// Floor lets the heap grow to a size in bytes before it is collected, and to twice of
// what is alive if that is more. To collect takes as long as there is something alive,
// so a process that has little and makes much garbage spends its time on it: a node
// that answers ten thousand times a second collected seven times in that second. Whoever
// sets GOGC or GOMEMLIMIT decides instead. Only the first call counts.
func Floor(size uint64) {
	once.Do(func() {
		if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
			return
		}
		(&tuner{size: size, percent: usual}).tune()
	})
}

var once sync.Once

// tuner sets the percentage after each collection.
type tuner struct {
	size    uint64
	percent int // that is set
}

// sentinel is garbage from the start: what becomes of it tells of a collection. It
// has a size of its own, since the smallest objects go together.
type sentinel [32]byte

func (t *tuner) tune() {
	if p := percent(t.size, alive()); p != t.percent {
		t.percent = p
		debug.SetGCPercent(p)
	}
	runtime.AddCleanup(new(sentinel), (*tuner).tune, t)
}

// least is the heap that a percentage is of at least, as the runtime takes it.
const least = 4 << 20

// percent is by how much a heap may grow to come to a size.
func percent(size, alive uint64) int {
	alive = max(alive, least)
	if size <= 2*alive {
		return usual
	}
	p := int((size - alive) * 100 / alive)
	return p - p%10 // to set it stops the world for a moment
}

// alive is what the last collection found alive, in bytes.
func alive() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
