//go:build !unix

package bench

import (
	"os/exec"
	"time"
)

// usage counts nothing where the system is not asked.
func usage() resources { return resources{} }

// processorTime is the time on the clock where the system is not asked.
func processorTime() time.Duration { return time.Since(started) }

// residentOf is not known where the system is not asked.
func residentOf(*exec.Cmd) uint64 { return 0 }
