package files

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/perdure/perdure/chain"
)

// The keys: one byte of table, then the number big-endian.
const (
	tableMeta     = 'm'
	tableObject   = 'o'
	tableChannel  = 'c'
	tableTransfer = 't'
	tableLiar     = 'l'
	tableRoot     = 'r' // root, 0, number of an object: nothing
	tablePiece    = 'p' // piece CID, 0, number of an object: nothing
)

var (
	keyVersion = []byte{tableMeta, 'v'}
	keyNext    = []byte{tableMeta, 'n'}
	keyOpening = []byte{tableMeta, 'o'}

	keyTransfer = []byte{tableMeta, 't'} // the last number
)

// version of the records' layout. Version 1 had no tables by root and piece.
const version = 2

// ErrNoRecord is returned for an object that this home does not know.
var ErrNoRecord = errors.New("no such record in this home")

// Records is the memory of one home. It may be used from many goroutines and
// from several processes.
type Records struct {
	home string
	mu   sync.Mutex // one use of the database at a time
}

// Open opens the records of a home, which is made if it is not there.
func Open(home string) (*Records, error) {
	r := &Records{home: home}
	for _, dir := range []string{home, r.path("spool"), r.path("fetch")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("open client home: %w", err)
		}
	}
	return r, r.use(context.Background(), &pebble.Options{}, checkVersion)
}

func (r *Records) path(elem ...string) string {
	return filepath.Join(append([]string{r.home}, elem...)...)
}

// busyWait is the pause before the database is tried again while another
// process has it; busyMost is how long that goes on. A use takes milliseconds.
const (
	busyWait = 10 * time.Millisecond
	busyMost = 20 * time.Second
)

// read opens the database for fn alone, to read.
func (r *Records) read(ctx context.Context, fn func(*pebble.DB) error) error {
	return r.use(ctx, &pebble.Options{ReadOnly: true}, fn)
}

// use opens the database for fn alone.
func (r *Records) use(ctx context.Context, o *pebble.Options, fn func(*pebble.DB) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	lock, err := WaitLock(ctx, r.path("records.lock"))
	if err != nil {
		return fmt.Errorf("open client records: %w", err)
	}
	defer lock.Close()
	o.Logger, o.MemTableSize, o.FormatMajorVersion = quiet{}, 256<<10, pebble.FormatNewest
	db, err := pebble.Open(r.path("records"), o)
	if err != nil {
		return fmt.Errorf("open client records: %w", err)
	}
	if err = fn(db); err != nil {
		err = fmt.Errorf("client records: %w", err)
	}
	return errors.Join(err, db.Close())
}

// WaitLock takes a lock that others hold for moments only: it gives up after
// twenty seconds.
func WaitLock(ctx context.Context, path string) (*Lock, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, busyMost, errors.New("another process keeps them busy"))
	defer cancel()
	for {
		lock, err := TakeLock(path)
		if !errors.Is(err, ErrLocked) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(busyWait):
		}
	}
}

// ErrLocked is returned while somebody else holds a lock.
var ErrLocked = errors.New("in use by another process")

// Lock is held by one holder at a time, in whatever process. It ends with
// Close, or with the process.
type Lock struct{ close func() error }

// TakeLock takes the lock at path, or returns ErrLocked.
func TakeLock(path string) (*Lock, error) {
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return nil, err
	}
	c, err := vfs.Default.Lock(path)
	var file *os.PathError // the file cannot be made at all
	switch {
	case errors.As(err, &file):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), ErrLocked)
	}
	return &Lock{c.Close}, nil
}

// Close lets go of the lock.
func (l *Lock) Close() error { return l.close() }

// quiet keeps Pebble's notes off the terminal; its errors come as errors.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...)) // Pebble expects no return
}

func checkVersion(db *pebble.DB) error {
	v, err := number(db, keyVersion)
	switch {
	case err != nil:
		return err
	case v == 0:
		return setNumber(db, keyVersion, version)
	case v == 1:
		return addLookups(db)
	case v != version:
		return fmt.Errorf("they have version %d, this program reads %d", v, version)
	}
	return nil
}

// Stamp changes whenever a process changed the records.
func (r *Records) Stamp() int64 {
	info, err := os.Stat(r.path("changed"))
	if err != nil {
		return 0
	}
	return info.ModTime().UnixNano()
}

// changed tells other processes that there is something new.
func (r *Records) changed() error {
	now := time.Now()
	path := r.path("changed")
	if err := os.Chtimes(path, now, now); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.WriteFile(path, nil, 0o600)
}

func (r *Records) write(ctx context.Context, fn func(*pebble.DB) error) error {
	if err := r.use(ctx, &pebble.Options{}, fn); err != nil {
		return err
	}
	return r.changed()
}

// Opening is an OpenChannel that may have been sent and is not known to have landed.
type Opening struct {
	Sent
	Payer  string       `json:"payer"`
	Payee  string       `json:"payee"`
	Amount chain.Amount `json:"amount"`
}

// Opening returns the channel that is being opened, nil if there is none.
func (r *Records) Opening(ctx context.Context) (*Opening, error) {
	var out *Opening
	err := r.read(ctx, func(db *pebble.DB) error {
		raw, err := get(db, keyOpening)
		if raw == nil || err != nil {
			return err
		}
		out = new(Opening)
		return json.Unmarshal(raw, out)
	})
	return out, err
}

// SetOpening keeps the message that opens a channel, before it is sent; nil
// forgets it.
func (r *Records) SetOpening(ctx context.Context, o *Opening) error {
	return r.write(ctx, func(db *pebble.DB) error {
		if o == nil {
			return db.Delete(keyOpening, pebble.Sync)
		}
		raw, err := json.Marshal(o)
		if err != nil {
			return err
		}
		return db.Set(keyOpening, raw, pebble.Sync)
	})
}

func key(table byte, n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{table}, n) }

// get returns a copy of a value, nil if there is none.
func get(db *pebble.DB, k []byte) ([]byte, error) {
	raw, closer, err := db.Get(k)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := append([]byte{}, raw...)
	return out, closer.Close()
}

func number(db *pebble.DB, k []byte) (uint64, error) {
	raw, err := get(db, k)
	if err != nil || raw == nil {
		return 0, err
	}
	if len(raw) != 8 {
		return 0, fmt.Errorf("number of %d bytes", len(raw))
	}
	return binary.BigEndian.Uint64(raw), nil
}

func setNumber(db *pebble.DB, k []byte, v uint64) error {
	return db.Set(k, binary.BigEndian.AppendUint64(nil, v), pebble.Sync)
}

func scan(db *pebble.DB, table byte, each func(n uint64, raw []byte) error) error {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{table}, UpperBound: []byte{table + 1}})
	if err != nil {
		return err
	}
	for it.First(); it.Valid(); it.Next() {
		if k := it.Key(); len(k) == 9 {
			if err := each(binary.BigEndian.Uint64(k[1:]), it.Value()); err != nil {
				return errors.Join(err, it.Close())
			}
		}
	}
	return errors.Join(it.Error(), it.Close())
}
