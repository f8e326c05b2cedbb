package node

import (
	"github.com/perdure/perdure/internal/cores"
	"github.com/perdure/perdure/internal/heap"
)

// heapFloor is how large the heap of a process that is a node grows, in bytes, before
// its garbage is collected.
const heapFloor = 288 << 20

// TuneProcess makes the process one that is a node: it collects its garbage less often
// (decision 0062) and has a thread to spare (0063). It is called before New; the
// environment decides instead where it says something.
func TuneProcess() {
	heap.Floor(heapFloor)
	cores.Spare()
}
