package ledger

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/internal/lifecycle"
)

// Ledger is an open ledger. It may be used by many goroutines.
type Ledger struct {
	db *pebble.DB
	mu sync.Mutex // around every read that a write depends on

	leases map[lease]struct{}

	waiting, maxWaiting int // receipts that are in no batch

	noting sync.Mutex // guards notes, not its file
	notes  notes
}

// lease names a lane that a session pays on.
type lease struct{ channel, lane uint64 }

// Options of Open. The zero value is the disk of the machine.
type Options struct {
	FS vfs.FS // where the files are
	// MaxWaiting is the most receipts that wait for a batch; 0: chain.MaxReceipts.
	MaxWaiting int
}

// quiet keeps Pebble's own log out of the process's; errors come back from calls.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}

// Fatalf is called when the log cannot be written any more: going on would
// mean promising what is not kept.
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf("payment ledger: "+format, args...))
}

// Open opens the ledger in dir, or makes one.
func Open(dir string, o Options) (*Ledger, error) {
	opts := &pebble.Options{FS: o.FS, Logger: quiet{}, FormatMajorVersion: pebble.FormatNewest, MemTableSize: 1 << 20}
	db, err := pebble.Open(dir, opts)
	if err != nil {
		return nil, fmt.Errorf("open payment ledger %s: %w", dir, lifecycle.InUse(err))
	}
	l := &Ledger{db: db, leases: map[lease]struct{}{}, maxWaiting: cmp.Or(o.MaxWaiting, chain.MaxReceipts)}
	fsys := o.FS
	if fsys == nil {
		fsys = vfs.Default
	}
	for _, step := range []func() error{l.sweep, l.countWaiting, func() error { return l.openNotes(fsys, dir) }} {
		if err := step(); err != nil {
			return nil, errors.Join(fmt.Errorf("open payment ledger %s: %w", dir, err), db.Close())
		}
	}
	return l, nil
}

// Close writes what is pending and closes the ledger.
func (l *Ledger) Close() error {
	if err := errors.Join(l.SyncNotes(), l.notes.file.Close(), l.db.LogData(nil, pebble.Sync), l.db.Close()); err != nil {
		return fmt.Errorf("close payment ledger: %w", err)
	}
	return nil
}

// get returns a copy of a value, nil if there is none.
func (l *Ledger) get(k []byte) ([]byte, error) {
	value, closer, err := l.db.Get(k)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read payment ledger: %w", err)
	}
	out := append([]byte{}, value...)
	return out, closer.Close()
}

// scan calls visit for every record whose key begins with prefix.
func (l *Ledger) scan(prefix []byte, visit func(k, value []byte) error) (err error) {
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return fmt.Errorf("read payment ledger: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for it.First(); it.Valid(); it.Next() {
		if err := visit(it.Key(), it.Value()); err != nil {
			return err
		}
	}
	return nil
}

// Lease reserves a lane of a channel for one paying session at a time; ok is
// false while another session has it. release gives it back.
func (l *Ledger) Lease(channel, lane uint64) (release func(), ok bool) {
	k := lease{channel, lane}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, taken := l.leases[k]; taken {
		return nil, false
	}
	l.leases[k] = struct{}{}
	var once sync.Once
	return func() {
		once.Do(func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			delete(l.leases, k)
		})
	}, true
}

// Leased reports whether a paying session has the lane.
func (l *Ledger) Leased(channel, lane uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, taken := l.leases[lease{channel, lane}]
	return taken
}

// Forget deletes all records of a channel, once it is collected.
func (l *Ledger) Forget(channel uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.db.NewBatch()
	defer b.Close()
	for _, table := range []byte{tablePromise, tableRevealed, tableVoucher, tableTick, tableDebt} {
		prefix := key(table, channel)
		if err := b.DeleteRange(prefix, after(prefix), nil); err != nil {
			return fmt.Errorf("forget channel %d: %w", channel, err)
		}
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("forget channel %d: %w", channel, err)
	}
	l.forgetNotes(channel)
	return nil
}

// sweep deletes what sessions wrote of a channel after it was forgotten.
func (l *Ledger) sweep() error {
	b := l.db.NewBatch()
	defer b.Close()
	for table, of := range map[byte]byte{tableRevealed: tablePromise, tableTick: tableVoucher, tableDebt: tableVoucher} {
		err := l.scan([]byte{table}, func(k, _ []byte) error {
			held, err := l.any(key(of, number(k, 0)))
			if err != nil || held {
				return err
			}
			return b.Delete(k, nil)
		})
		if err != nil {
			return err
		}
	}
	if b.Empty() {
		return nil
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("sweep payment ledger: %w", err)
	}
	return nil
}

// any reports whether there is a record whose key begins with prefix.
func (l *Ledger) any(prefix []byte) (found bool, err error) {
	err = l.first(prefix, func([]byte) { found = true })
	return found, err
}

// first calls visit with the first key that begins with prefix, if there is one.
func (l *Ledger) first(prefix []byte, visit func(k []byte)) error {
	err := l.scan(prefix, func(k, _ []byte) error {
		visit(k)
		return errEnough
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// errEnough ends a scan.
var errEnough = errors.New("enough")

func number(k []byte, i int) uint64 { return binary.BigEndian.Uint64(k[1+8*i:]) }
