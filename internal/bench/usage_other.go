//go:build !unix

package bench

import "time"

// usage counts nothing where the system is not asked.
func usage() resources { return resources{} }

// processorTime is the time on the clock where the system is not asked.
func processorTime() time.Duration { return time.Since(started) }

// settle does nothing: what the process takes of the processors is not known here.
func settle() time.Duration { return 0 }
