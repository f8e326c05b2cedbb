package layers

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// canMap says that files can be mapped here.
const canMap = true

// mapFile maps the first size bytes of a file, shared with it: what is written to the one is in the
// other.
func mapFile(file *os.File, size uint64, writable bool) ([]byte, error) {
	protection := unix.PROT_READ
	if writable {
		protection |= unix.PROT_WRITE
	}
	data, err := unix.Mmap(int(file.Fd()), 0, int(size), protection, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("%s: map %d bytes: %w", file.Name(), size, err)
	}
	return data, nil
}

// adviseRandom says that a mapping is read here and there, so that a fault reads one page only.
func adviseRandom(data []byte) error { return unix.Madvise(data, unix.MADV_RANDOM) }

// readRandom says the same of a file that is read without a mapping.
func readRandom(file *os.File) error {
	return unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_RANDOM)
}

// flushMapping writes what was changed in a mapping to its file and waits for it.
func flushMapping(data []byte) error { return unix.Msync(data, unix.MS_SYNC) }

// dropMapping takes a range of a mapping out of the resident memory of the process; both ends are
// at pages. What was changed there stays with the kernel, which writes it to the file, and comes
// back when it is read.
func dropMapping(data []byte) error { return unix.Madvise(data, unix.MADV_DONTNEED) }

// unmap undoes mapFile and allocate.
func unmap(data []byte) error { return unix.Munmap(data) }

// allocate returns zeroed memory outside of the heap, in huge pages and locked as far as the system
// allows: neither changes what is computed.
func allocate(size uint64) ([]byte, error) {
	data, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("allocate %d bytes: %w", size, err)
	}
	_ = unix.Madvise(data, unix.MADV_HUGEPAGE)
	_ = unix.Mlock(data)
	return data, nil
}

// reserve gives a file its size with all its blocks, so that a full disk is found before a byte of
// it is computed and not by a fault in a mapping.
func reserve(file *os.File, size uint64) error {
	err := unix.Fallocate(int(file.Fd()), 0, 0, int64(size))
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = writeZeros(file, size)
	}
	if err != nil {
		return fmt.Errorf("%s: reserve %d bytes: %w", file.Name(), size, err)
	}
	return nil
}

// writeZeros extends a file with zeros, for file systems that cannot reserve blocks.
func writeZeros(file *os.File, size uint64) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	zeros := make([]byte, 1<<20)
	for at := uint64(info.Size()); at < size; at += uint64(len(zeros)) {
		if _, err := file.WriteAt(zeros[:min(uint64(len(zeros)), size-at)], int64(at)); err != nil {
			return err
		}
	}
	return nil
}

// machineMemory returns how much memory the machine has, 0 if it does not say.
func machineMemory() uint64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	return info.Totalram * uint64(info.Unit)
}
