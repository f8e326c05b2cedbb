//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package seal

import (
	"errors"
	"io/fs"
	"os"
)

// openLock makes the lock file, which must not be there. Where the system has no
// flock, a process that dies leaves it behind, and whoever knows that it died
// removes the file.
func openLock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil, errHeld
	}
	return file, err
}

// releaseLock removes the lock file.
func releaseLock(file *os.File) error {
	return errors.Join(file.Close(), os.Remove(file.Name()))
}
