package index

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// generation is one database with the whole index in it. Readers use the live
// one; a rebuild fills another beside it.
type generation struct {
	number uint64
	fs     vfs.FS
	dir    string
	chain  string            // ID
	params *consensus.Params // of genesis
	keep   *atomic.Uint64    // heights of history that are kept
	loose  bool              // nothing is logged: what a crash leaves is nothing, until the generation is settled

	db    *pebble.DB // of who uses it
	fatal *fatalLog
	users sync.WaitGroup // of db; uses may nest

	showing sync.Mutex
	shown   *view // nil: the next reader makes it

	voters *voters   // read last, by who writes
	lately lately    // rows of records, for who writes
	series Retention // of the points of minutes and hours

	mu     sync.RWMutex
	closed bool // and not opened since
	tip    *tip // nil: nothing built
	moved  func()
	harmed func(error) // called when a file turns out to be damaged
}

// The sizes of a memtable in bytes, in use and while a generation is filled. A
// record that blocks write again and again, and a row that comes and goes, is then
// written to the disk once; what comes out of it is soon compacted, so it is not
// compressed.
const (
	memTable   = 16 << 20
	looseTable = 64 << 20
)

// baseLevel is how large the first level below the freshest tables grows, in bytes,
// before there is another between it and the last: each is one more to look into.
const baseLevel = 128 << 20

// The tables of a flush lie on each other, level upon level, until there are half of
// settleAt of them, and go on together: what they are merged into is as large, however
// little comes to it. Who writes waits only from stallAt levels on. A look passes the
// tables that do not hold a key by their filters.
const (
	settleAt = 16
	stallAt  = 64
)

// cacheSize is how much of a database is kept in memory, in bytes.
const cacheSize = 64 << 20

// indexBlock is how large the index of a table gets before it has an index of its
// own, in bytes: larger than that of any table, so a look reads one block less.
const indexBlock = 1 << 20

// options are those of the database. One that is loose has no log.
func (g *generation) options(cache *pebble.Cache) *pebble.Options {
	opts := &pebble.Options{
		FS: g.fs, Cache: cache, Logger: g.fatal, FormatMajorVersion: pebble.FormatNewest,
		DisableWAL: g.loose, MemTableSize: memTable,
		LBaseMaxBytes: baseLevel, L0CompactionThreshold: settleAt, L0StopWritesThreshold: stallAt,
		EventListener: &pebble.EventListener{DataCorruption: func(i pebble.DataCorruptionInfo) { g.harmed(i.Details) }},
	}
	if g.loose {
		opts.MemTableSize = looseTable
	}
	opts.Levels[0].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	for i := range opts.Levels {
		opts.Levels[i].IndexBlockSize = indexBlock
		if i < len(opts.Levels)-1 {
			opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		}
	}
	return opts
}

// open opens or creates the database.
func (g *generation) open() error {
	if err := g.fs.MkdirAll(g.dir, 0o755); err != nil {
		return err
	}
	cache := pebble.NewCache(cacheSize)
	defer cache.Unref()
	var db *pebble.DB
	err := g.fatal.guard(func() (err error) {
		db, err = pebble.Open(g.dir, g.options(cache))
		return err
	})
	if err != nil && !outside(err) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err != nil {
		return err
	}
	b, err := valueOf(db, tipKey)
	if err != nil {
		return errors.Join(fmt.Errorf("%w: read tip: %w", ErrDamaged, err), g.fatal.guard(db.Close))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.db, g.tip, g.closed = db, parseTip(b), false
	return nil
}

// innocent are reasons for which a database cannot be opened that its own files are
// innocent of: no right to, no room, no memory, no file descriptor.
var innocent = []error{iofs.ErrPermission, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, ErrStopped}

func outside(err error) bool {
	return slices.ContainsFunc(innocent, func(reason error) bool { return errors.Is(err, reason) })
}

// close closes the database once nobody uses it any more.
func (g *generation) close() error {
	g.mu.Lock()
	was := g.closed
	g.closed = true
	g.mu.Unlock()
	if was {
		return nil
	}
	err := g.hide()
	g.users.Wait()
	return errors.Join(err, g.fatal.guard(g.db.Close))
}

// settle ends the filling of a generation: all of it is on the disk, and what
// comes next is logged. If it fails the generation is closed.
func (g *generation) settle() error {
	if err := errors.Join(g.fatal.guard(g.db.Flush), g.close()); err != nil {
		return fmt.Errorf("flush index: %w", err)
	}
	g.loose = false
	return g.open()
}

// use keeps the database open until done is called.
func (g *generation) use() (done func(), err error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.closed {
		return nil, ErrClosed
	}
	if err := g.fatal.failed(); err != nil {
		return nil, err
	}
	g.users.Add(1)
	return g.users.Done, nil
}

// at is the tip, nil if nothing is built.
func (g *generation) at() *tip {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.tip
}

// write applies a batch and, with it, a new tip; nil leaves the tip as it is.
func (g *generation) write(t *tip, fill func(*pebble.Batch) error) error {
	done, err := g.use()
	if err != nil {
		return err
	}
	defer done()
	b := g.db.NewBatch()
	if err := fill(b); err != nil {
		return errors.Join(err, b.Close())
	}
	if t != nil {
		set(b, tipKey, t.bytes())
	}
	// Not synced: after a crash the index is whole at an earlier tip and follows again.
	if err := g.fatal.guard(func() error { return b.Commit(pebble.NoSync) }); err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	if err := g.hide(); err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	if t != nil {
		g.mu.Lock()
		g.tip = t
		g.mu.Unlock()
		g.moved()
	}
	return nil
}

// empty removes everything, so that nothing is built.
func (g *generation) empty() error {
	err := g.write(nil, func(b *pebble.Batch) error { return b.DeleteRange([]byte{0}, []byte{0xff}, nil) })
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.tip = nil
	g.mu.Unlock()
	g.moved()
	return nil
}

// set writes into a batch, which fails only on misuse.
func set(b *pebble.Batch, k, v []byte) { _ = b.Set(k, v, nil) }

func remove(b *pebble.Batch, k []byte) { _ = b.Delete(k, nil) }

// retract is remove for a row that is never written where it stands already, such as
// those of lists: row and removal then vanish where they meet, and no mark has to go
// through all levels.
func retract(b *pebble.Batch, k []byte) { _ = b.SingleDelete(k, nil) }

// get reads a copy of a key's value, or nil.
func (g *generation) get(key []byte) ([]byte, error) {
	done, err := g.use()
	if err != nil {
		return nil, err
	}
	defer done()
	return valueOf(g.db, key)
}

func (g *generation) noun(key []byte, v chain.CBOR) (bool, error) {
	done, err := g.use()
	if err != nil {
		return false, err
	}
	defer done()
	return nounOf(g.db, key, v)
}

// scanRows goes through all rows under a prefix; each may keep the key.
func (g *generation) scanRows(prefix []byte, each func(key, value []byte) error) (err error) {
	done, err := g.use()
	if err != nil {
		return err
	}
	defer done()
	return eachRow(g.db, bounds(prefix, true, nil), func(key, value []byte) error { return each(append([]byte(nil), key...), value) })
}

// eachRow goes through the rows within bounds; each may keep neither key nor value.
func eachRow(r pebble.Reader, within *pebble.IterOptions, each func(key, value []byte) error) (err error) {
	it, err := r.NewIter(within)
	if err != nil {
		return fmt.Errorf("read index: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	return walk(it, each)
}

// walk goes through the rows of an iterator; each may keep neither key nor value.
func walk(it *pebble.Iterator, each func(key, value []byte) error) error {
	for ok := it.First(); ok; ok = it.Next() {
		if err := each(it.Key(), it.Value()); err != nil {
			return err
		}
	}
	return it.Error()
}

// The directory of an index holds the generations by their numbers, and the number
// of the live one in a file.
const (
	currentName = "CURRENT-GENERATION"
	tempSuffix  = ".new"
)

func generationDir(dir string, number uint64) string {
	return path.Join(dir, fmt.Sprintf("%06d", number))
}

// readCurrent returns the number of the live generation, 0 if there is none.
func readCurrent(fs vfs.FS, dir string) (uint64, error) {
	f, err := fs.Open(path.Join(dir, currentName))
	if errors.Is(err, iofs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	b := make([]byte, 32)
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) { // it is shorter
		err = nil
	}
	if err = errors.Join(f.Close(), err); err != nil {
		return 0, fmt.Errorf("read %s: %w", currentName, err)
	}
	number, err := strconv.ParseUint(strings.TrimSpace(string(b[:n])), 10, 64)
	if err != nil || number == 0 {
		return 0, fmt.Errorf("%w: %s holds %q", ErrDamaged, currentName, b[:n])
	}
	return number, nil
}

// writeCurrent makes a generation the live one, for good.
func writeCurrent(fs vfs.FS, dir string, number uint64) error {
	name := path.Join(dir, currentName)
	f, err := fs.Create(name+tempSuffix, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(strconv.FormatUint(number, 10) + "\n"))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(name+tempSuffix, name); err != nil {
		return err
	}
	return errors.Join(syncDir(fs, dir), syncDir(fs, fs.PathDir(dir)))
}

// syncDir makes durable which files a directory has.
func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// sweep removes what is not of the live generation: rebuilds that broke off, and
// the files of an index of before there were generations.
func sweep(fs vfs.FS, dir string, live uint64) error {
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == currentName || name == "LOCK" || name == path.Base(generationDir(dir, live)) {
			continue
		}
		if err := fs.RemoveAll(path.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}
