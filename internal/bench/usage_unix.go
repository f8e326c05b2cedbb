//go:build unix

package bench

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// usage reads the counters of this process; what a system does not count stays zero.
func usage() (r resources) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err == nil {
		r.minor, r.major, r.resident = uint64(u.Minflt), uint64(u.Majflt), uint64(u.Maxrss)<<10
	}
	if file, err := os.Open("/proc/self/io"); err == nil {
		defer file.Close()
		r.read = readIO(file, "read_bytes")
	}
	return r
}

// processorTime is what this process has used of all processors.
func processorTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return time.Since(started)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// settle waits until the process does next to nothing, and returns what it took of the
// processors until then: databases go on compacting what was written.
func settle() time.Duration {
	const look, least, most = 50 * time.Millisecond, time.Millisecond, 200
	began := processorTime()
	for range most {
		before := processorTime()
		time.Sleep(look)
		if processorTime()-before < least {
			break
		}
	}
	return processorTime() - began
}
