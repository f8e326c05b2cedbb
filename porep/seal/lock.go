package seal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Errors of opening a directory that is not free.
var (
	ErrLocked   = errors.New("directory is locked by another process")
	ErrReadOnly = errors.New("sector is open for reading only")
)

// lockDir locks a directory through its lock file until the file that it returns
// is released. Who holds it stands in the file.
func lockDir(dir, path string) (*os.File, error) {
	file, err := openLock(path)
	if errors.Is(err, errHeld) {
		return nil, fmt.Errorf("%s is held by %s: %w", dir, holder(path), ErrLocked)
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if err := signLock(file); err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, errors.Join(err, releaseLock(file)))
	}
	return file, nil
}

// errHeld says that somebody else has the lock.
var errHeld = errors.New("held by somebody else")

// signLock writes into the lock file who holds it.
func signLock(file *os.File) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err = file.WriteAt(fmt.Appendf(nil, "process %d on %s\n", os.Getpid(), host), 0)
	return err
}

// holder says who signed a lock file.
func holder(path string) string {
	const most = 300
	file, err := os.Open(path)
	if err != nil {
		return "an unknown process"
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, most))
	if name := strings.TrimSpace(string(text)); err == nil && name != "" {
		return name
	}
	return "an unknown process" // it has the lock and has not signed it yet
}
