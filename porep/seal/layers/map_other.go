//go:build !linux

package layers

import (
	"errors"
	"fmt"
	"os"
)

// canMap says that files cannot be mapped here: growing layers are held in memory, and layers
// before are too or are read as files.
const canMap = false

func mapFile(file *os.File, _ uint64, _ bool) ([]byte, error) {
	return nil, fmt.Errorf("%s: map: %w", file.Name(), errors.ErrUnsupported)
}

func adviseRandom([]byte) error { return nil }

func readRandom(*os.File) error { return nil }

func flushMapping([]byte) error { return nil }

func dropMapping([]byte) error { return nil }

func unmap([]byte) error { return nil }

func allocate(size uint64) ([]byte, error) { return make([]byte, size), nil }

// reserve gives a file its size.
func reserve(file *os.File, size uint64) error {
	if err := file.Truncate(int64(size)); err != nil {
		return fmt.Errorf("%s: reserve %d bytes: %w", file.Name(), size, err)
	}
	return nil
}

func machineMemory() uint64 { return 0 }
