package state

import (
	"fmt"
	"runtime"
	"sync"
)

// fatalLog is Pebble's logger. Pebble calls Fatalf where it cannot go on, such
// as a failed write of its log, and expects it never to return; a library must
// not end the process, so this one ends the goroutine and remembers why.
type fatalLog struct {
	mu  sync.Mutex
	err error
}

// Infof implements pebble.Logger: silence.
func (*fatalLog) Infof(string, ...any) {}

// Errorf implements pebble.Logger: what matters comes back as an error.
func (*fatalLog) Errorf(string, ...any) {}

// Fatalf implements pebble.Logger.
func (l *fatalLog) Fatalf(format string, args ...any) {
	l.mu.Lock()
	if l.err == nil {
		l.err = fmt.Errorf(format, args...)
	}
	l.mu.Unlock()
	runtime.Goexit()
}

// failed returns what Fatalf was told first.
func (l *fatalLog) failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// guard runs f in a goroutine that Fatalf may end, and waits for it. After a
// fatal error it runs nothing more: the database's locks may be held forever.
func (l *fatalLog) guard(f func() error) error {
	if err := l.failed(); err != nil {
		return fmt.Errorf("database stopped: %w", err)
	}
	var err error
	returned := false
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = f()
		returned = true
	}()
	<-done
	if !returned {
		return fmt.Errorf("database stopped: %w", l.failed())
	}
	return err
}
