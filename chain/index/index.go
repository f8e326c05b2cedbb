package index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
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
	// ErrOff is returned by a nil Index, which is one that is switched off.
	ErrOff = errors.New("the index is off")
	// ErrBusy is returned while another job runs.
	ErrBusy = errors.New("the index is being checked or rebuilt")
)

// StrangerError is returned by Open for an index of another chain.
type StrangerError struct{ Have, Want string }

// Error implements error.
func (e *StrangerError) Error() string {
	return fmt.Sprintf("the index is of chain %q, this is %q", e.Have, e.Want)
}

// GapError is returned for an Update that does not follow the tip.
type GapError struct{ Tip, Got chain.Height }

// Error implements error.
func (e *GapError) Error() string {
	return fmt.Sprintf("index is at height %d, update %d does not follow", e.Tip, e.Got)
}

// Config is what Open needs.
type Config struct {
	Dir     string            // directory of the databases
	ChainID string            // an index of another chain is refused
	Params  *consensus.Params // of genesis; nil: what follows from them, such as missed windows, is not derived
	FS      vfs.FS            // nil: the disk
	Keep    uint64            // heights of history that are kept; 0: all
	Series  Retention         // of points; what is zero: DefaultRetention
	Log     *slog.Logger      // nil: none
}

// Index is the live generation and what becomes of it. All methods may be
// called from many goroutines; Run, Apply and Scan by one. A nil Index is one that
// is switched off: it has no tip, and every read of it says ErrOff.
type Index struct {
	config Config
	lock   *pebble.Lock // of the directory
	log    *slog.Logger
	keep   atomic.Uint64 // heights of history that are kept

	turn   sync.Mutex  // of who writes into the live generation, or exchanges it
	jobs   chan job    // asked for, one at most
	harmed atomic.Bool // a file of the live generation is damaged

	mu       sync.RWMutex
	live     *generation
	building *generation // by a rebuild
	closed   bool
	moved    chan struct{} // closed when the tip moves
	work     work
}

// Open opens or creates an index.
func Open(c Config) (*Index, error) {
	if c.FS == nil {
		c.FS = vfs.Default
	}
	c.Series.Minutes = cmp.Or(c.Series.Minutes, DefaultRetention().Minutes)
	c.Series.Hours = cmp.Or(c.Series.Hours, DefaultRetention().Hours)
	x := &Index{config: c, log: c.Log, moved: make(chan struct{}), jobs: make(chan job, 1)}
	if x.log == nil {
		x.log = slog.New(slog.DiscardHandler)
	}
	x.Keep(cmp.Or(c.Keep, math.MaxUint64))
	if err := x.open(); err != nil {
		if x.lock != nil {
			err = errors.Join(err, x.lock.Close())
		}
		return nil, fmt.Errorf("open index %s: %w", c.Dir, err)
	}
	return x, nil
}

func (x *Index) open() error {
	fs, dir := x.config.FS, x.config.Dir
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var err error
	if x.lock, err = pebble.LockDirectory(dir, fs); err != nil { // what fails after it is not that another has it open
		return err
	}
	number, err := readCurrent(fs, dir)
	if err != nil {
		return err
	}
	if number == 0 {
		if number, err = 1, errors.Join(sweep(fs, dir, 0), writeCurrent(fs, dir, 1)); err != nil {
			return err
		}
	}
	if err := sweep(fs, dir, number); err != nil {
		return err
	}
	g := x.generation(number)
	if err := g.open(); err != nil {
		return err
	}
	if g.tip != nil && g.tip.chainID != x.config.ChainID {
		return errors.Join(&StrangerError{g.tip.chainID, x.config.ChainID}, g.close())
	}
	x.live = g
	return nil
}

// harm notes that the live generation is damaged: what can still be read is
// read, until another one takes its place.
func (x *Index) harm(err error) {
	if !x.harmed.Swap(true) {
		x.log.Error("a file of the index is damaged, the index is made anew", "error", err)
		select {
		case x.jobs <- job{kind: Rebuilding, force: true}:
		default: // Run asks for it
		}
	}
}

// generation is one that is not open yet. What happens in it concerns the index
// while it is the live one.
func (x *Index) generation(number uint64) *generation {
	g := &generation{number: number, fs: x.config.FS, dir: generationDir(x.config.Dir, number), chain: x.config.ChainID,
		params: x.config.Params, series: x.config.Series, keep: &x.keep, fatal: new(fatalLog)}
	g.moved = func() {
		if x.current() == g {
			x.move()
		}
	}
	g.harmed = func(err error) {
		if x.current() == g {
			x.harm(err)
		}
	}
	return g
}

// renew makes an empty generation the live one. The one before is set aside:
// its directory is renamed.
func (x *Index) renew() error {
	x.turn.Lock()
	defer x.turn.Unlock()
	old := x.current()
	g := x.generation(old.number + 1)
	if err := g.open(); err != nil {
		return fmt.Errorf("renew index: %w", err)
	}
	if err := x.swap(g); err != nil {
		return errors.Join(err, g.close())
	}
	return x.setAside(old)
}

// setAside moves a generation that was the live one out of the index.
func (x *Index) setAside(old *generation) error {
	aside := fmt.Sprintf("%s.aside-%d", x.config.Dir, old.number)
	x.log.Warn("the index of before is set aside", "directory", aside)
	if err := errors.Join(old.close(), x.config.FS.RemoveAll(aside), x.config.FS.Rename(old.dir, aside)); err != nil {
		return fmt.Errorf("set the index aside: %w", err)
	}
	return nil
}

// swap makes a generation the live one. Readers of the one before go on until
// they are done; it is not closed.
func (x *Index) swap(g *generation) error {
	fs, dir := x.config.FS, x.config.Dir
	if err := writeCurrent(fs, dir, g.number); err != nil {
		// It may stand there all the same, and the next start would find nothing but that.
		err = errors.Join(err, writeCurrent(fs, dir, x.current().number))
		return fmt.Errorf("change the generation of the index: %w", err)
	}
	x.mu.Lock()
	x.live = g
	x.mu.Unlock()
	x.move()
	return nil
}

// move wakes who waits for the tip.
func (x *Index) move() {
	x.mu.Lock()
	defer x.mu.Unlock()
	close(x.moved)
	x.moved = make(chan struct{})
}

// Close closes the database.
func (x *Index) Close() error {
	if x == nil {
		return nil
	}
	x.mu.Lock()
	was := x.closed
	x.closed = true
	x.mu.Unlock()
	if was {
		return nil
	}
	x.move()
	if err := errors.Join(x.live.close(), x.lock.Close()); err != nil {
		return fmt.Errorf("close index: %w", err)
	}
	return nil
}

// use returns the live generation and keeps it open until done is called.
func (x *Index) use() (g *generation, done func(), err error) {
	if x == nil {
		return nil, nil, ErrOff
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.closed {
		return nil, nil, ErrClosed
	}
	done, err = x.live.use()
	return x.live, done, err
}

// current is the live generation.
func (x *Index) current() *generation {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.live
}

// Tip returns the height up to which the index is complete, and the first
// height of its history. It reports false while nothing is built.
func (x *Index) Tip() (first, height chain.Height, ok bool) {
	if x == nil {
		return 0, 0, false
	}
	t := x.current().at()
	if t == nil || t.pending {
		return 0, 0, false
	}
	return t.first, t.height, true
}

// Wait returns when the index is at a height or beyond, when ctx ends, or at
// once while nothing is built.
func (x *Index) Wait(ctx context.Context, h chain.Height) {
	if x == nil {
		return
	}
	for {
		moved := x.Moved()
		if _, height, ok := x.Tip(); !ok || height >= h {
			return
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}

// Moved returns a channel that is closed when the tip moves next, or the index closes.
func (x *Index) Moved() <-chan struct{} {
	if x == nil {
		return nil
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.moved
}
