package index

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
)

// ErrStopped is wrapped once the database cannot go on, such as on a full
// disk. The node lives on; the index works again after a restart.
var ErrStopped = errors.New("index database stopped")

// fatalLog is Pebble's logger. Pebble calls Fatalf where it cannot go on and
// expects it never to return; the index must not take the node with it, so
// Fatalf ends the goroutine and remembers why.
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
		l.err = fmt.Errorf("%w: "+format, append([]any{ErrStopped}, args...)...)
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
		return err
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
		return l.failed()
	}
	return err
}
