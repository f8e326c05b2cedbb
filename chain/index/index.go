package index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"math"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/perdure/perdure/chain"
)

// Errors of the index.
var (
	// ErrBuilding is returned while there is nothing to read yet.
	ErrBuilding = errors.New("the index is being built")
	// ErrPlace is returned for a Page that names no place of its list.
	ErrPlace = errors.New("not a place of this list")
	// ErrDamaged is returned by Open for a database that cannot be read.
	ErrDamaged = errors.New("the index is damaged")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("index is closed")
)

// GapError is returned for an Update that does not follow the tip.
type GapError struct{ Tip, Got chain.Height }

// Error implements error.
func (e *GapError) Error() string {
	return fmt.Sprintf("index is at height %d, update %d does not follow", e.Tip, e.Got)
}

// Config is what Open needs.
type Config struct {
	Dir     string // directory of the database
	ChainID string // an index of another chain is made anew
	FS      vfs.FS // nil: the disk
	Keep    uint64 // heights of history that are kept; 0: all
}

// Index is the database. All methods may be called from many goroutines; Run
// and Apply by one.
type Index struct {
	chainID string

	db    *pebble.DB
	fatal *fatalLog
	users sync.WaitGroup // of db; uses may nest

	keep atomic.Uint64 // heights of history that are kept

	mu     sync.RWMutex
	closed bool
	tip    *tip          // nil: nothing built
	moved  chan struct{} // closed when the tip moves
}

// Open opens or creates an index.
func Open(c Config) (*Index, error) {
	fs := c.FS
	if fs == nil {
		fs = vfs.Default
	}
	if err := fs.MkdirAll(c.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	lock, err := pebble.LockDirectory(c.Dir, fs) // what fails after it is not that another has it open
	if err != nil {
		return nil, fmt.Errorf("open index %s: %w", c.Dir, err)
	}
	cache := pebble.NewCache(16 << 20)
	defer cache.Unref()
	x := &Index{chainID: c.ChainID, fatal: &fatalLog{}, moved: make(chan struct{})}
	x.Keep(cmp.Or(c.Keep, math.MaxUint64))
	opts := &pebble.Options{FS: fs, Cache: cache, Lock: lock, Logger: x.fatal, FormatMajorVersion: pebble.FormatNewest}
	err = x.fatal.guard(func() (err error) {
		x.db, err = pebble.Open(c.Dir, opts)
		return err
	})
	err = errors.Join(err, lock.Close())
	if err != nil && !outside(err) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open index %s: %w", c.Dir, err)
	}
	b, err := x.get(tipKey)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open index %s: read tip: %w", c.Dir, err), x.Close())
	}
	if t := parseTip(b); t != nil && t.chainID == c.ChainID {
		x.tip = t
	}
	return x, nil
}

// outside reports that a database could not be opened for a reason that its own
// files are innocent of.
func outside(err error) bool {
	return errors.Is(err, iofs.ErrPermission) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrStopped)
}

// Close closes the database.
func (x *Index) Close() error {
	x.mu.Lock()
	was := x.closed
	x.closed = true
	x.mu.Unlock()
	if was {
		return nil
	}
	x.users.Wait()
	if err := x.fatal.guard(x.db.Close); err != nil {
		return fmt.Errorf("close index: %w", err)
	}
	return nil
}

// use keeps the database open until done is called.
func (x *Index) use() (done func(), err error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.closed {
		return nil, ErrClosed
	}
	if err := x.fatal.failed(); err != nil {
		return nil, err
	}
	x.users.Add(1)
	return x.users.Done, nil
}

// Tip returns the height up to which the index is complete, and the first
// height of its history. It reports false while nothing is built.
func (x *Index) Tip() (first, height chain.Height, ok bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.tip == nil {
		return 0, 0, false
	}
	return x.tip.first, x.tip.height, true
}

// write applies a batch and, with it, a new tip; nil is no tip.
func (x *Index) write(t *tip, fill func(*pebble.Batch) error) error {
	done, err := x.use()
	if err != nil {
		return err
	}
	defer done()
	b := x.db.NewBatch()
	if err := fill(b); err != nil {
		return errors.Join(err, b.Close())
	}
	if t != nil {
		set(b, tipKey, t.bytes())
	}
	// Not synced: after a crash the index is whole at an earlier tip and follows again.
	if err := x.fatal.guard(func() error { return b.Commit(pebble.NoSync) }); err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.tip = t
	close(x.moved)
	x.moved = make(chan struct{})
	return nil
}

// Wait returns when the index is at a height or beyond, when ctx ends, or at
// once while nothing is built.
func (x *Index) Wait(ctx context.Context, h chain.Height) {
	for {
		x.mu.RLock()
		there, moved := x.tip == nil || x.tip.height >= h, x.moved
		x.mu.RUnlock()
		if there {
			return
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}

// set writes into a batch, which fails only on misuse.
func set(b *pebble.Batch, k, v []byte) { _ = b.Set(k, v, nil) }

func remove(b *pebble.Batch, k []byte) { _ = b.Delete(k, nil) }

// get reads a copy of a key's value, or nil.
func (x *Index) get(key []byte) ([]byte, error) {
	done, err := x.use()
	if err != nil {
		return nil, err
	}
	defer done()
	v, closer, err := x.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return append(make([]byte, 0, len(v)), v...), closer.Close()
}
