//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package seal

import (
	"errors"
	"os"
	"syscall"
)

// openLock opens and locks the lock file; the kernel releases it when the
// process ends, however it ends.
func openLock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err == nil {
		return file, nil
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errHeld
	}
	file.Close()
	return nil, err
}

// releaseLock lets go of the lock. The file stays: to remove it would take it
// from a process that has opened it and is about to lock it.
func releaseLock(file *os.File) error { return file.Close() }
