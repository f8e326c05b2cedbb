// Package db keeps a miner's records in Pebble. Every write is synced before
// it returns.
package db

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/internal/lifecycle"
	"github.com/perdure/perdure/miner"
)

// The keys: one byte of table, then the number big-endian.
const (
	tableMeta   = 'm'
	tableSector = 's'
	tableDeal   = 'd'

	// Lookups of deals, with empty values: what a deal is found by, then its ID.
	tableState = 'a' // state, 0; of deals not swept
	tablePiece = 'p' // piece CID
	tableRoot  = 'r' // payload root, part

	tableContent  = 'c' // root of a payload in a piece that holds several, piece CID: nothing
	tableContents = 'l' // piece CID: the roots in it, each after its length
)

var (
	keyVersion = []byte{tableMeta, 'v'}
	keyTip     = []byte{tableMeta, 't'}
	keyNext    = []byte{tableMeta, 'n'}
	keyAsk     = []byte{tableMeta, 'a'}
)

// version of the records' layout. Version 1 had no lookups.
const version = 2

// DB implements miner.Records. It may be used from many goroutines.
type DB struct {
	pebble *pebble.DB
	mu     sync.Mutex // over every read that a write depends on

	changes atomic.Uint64 // of deals and contents, each counted once it is there
}

// Open opens or makes the records in dir.
func Open(dir string) (*DB, error) { return OpenFS(dir, vfs.Default) }

// OpenFS opens the records on another file system, for tests of crashes.
func OpenFS(dir string, fs vfs.FS) (*DB, error) {
	p, err := pebble.Open(dir, &pebble.Options{FS: fs, Logger: quiet{}})
	if err != nil {
		return nil, fmt.Errorf("open miner records in %s: %w", dir, lifecycle.InUse(err))
	}
	d := &DB{pebble: p}
	if err := d.checkVersion(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return d, nil
}

// quiet keeps Pebble's notes off the terminal; its errors come as errors.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...)) // Pebble expects no return
}

func (d *DB) checkVersion() error {
	v, ok, err := d.number(keyVersion)
	if err != nil {
		return err
	}
	if !ok {
		return d.setNumber(keyVersion, version)
	}
	if v == 1 {
		return d.addLookups()
	}
	if v != version {
		return fmt.Errorf("miner records have version %d, this program reads %d", v, version)
	}
	return nil
}

// Close closes the records.
func (d *DB) Close() error { return d.pebble.Close() }

// Tip returns the height of the last Update that was taken in; 0 at first.
func (d *DB) Tip() (chain.Height, error) {
	v, _, err := d.number(keyTip)
	return chain.Height(v), err
}

// SetTip notes that the Updates up to a height are taken in.
func (d *DB) SetTip(h chain.Height) error { return d.setNumber(keyTip, uint64(h)) }

// Ask returns the order that holds the miner's standing offer; 0: none was placed.
func (d *DB) Ask() (uint64, error) {
	v, _, err := d.number(keyAsk)
	return v, err
}

// SetAsk notes the order that holds the miner's standing offer.
func (d *DB) SetAsk(order uint64) error { return d.setNumber(keyAsk, order) }

// NewSector implements miner.Records.
func (d *DB) NewSector(s *miner.Sector, deals []*miner.Deal) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	next, _, err := d.number(keyNext)
	if err != nil {
		return err
	}
	s.Number = next + 1
	b := d.pebble.NewBatch()
	defer b.Close()
	if err := put(b, key(tableSector, s.Number), s); err != nil {
		return err
	}
	for _, deal := range deals {
		deal.State, deal.Sector = miner.DealPacked, s.Number
		if err := d.putDeal(b, deal); err != nil {
			return err
		}
	}
	if err := b.Set(keyNext, binary.BigEndian.AppendUint64(nil, s.Number), nil); err != nil {
		return fmt.Errorf("number sector: %w", err)
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("store sector %d: %w", s.Number, err)
	}
	d.changes.Add(1)
	return nil
}

// Changes implements miner.Records.
func (d *DB) Changes() uint64 { return d.changes.Load() }

// Sector returns a sector, or miner.ErrNoRecord.
func (d *DB) Sector(number uint64) (*miner.Sector, error) {
	s := new(miner.Sector)
	raw, ok, err := d.get(key(tableSector, number))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("sector %d: %w", number, miner.ErrNoRecord)
	}
	return s, json.Unmarshal(raw, s)
}

// UpdateSector implements miner.Records.
func (d *DB) UpdateSector(number uint64, change func(*miner.Sector) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.Sector(number)
	if err != nil {
		return err
	}
	if err := change(s); err != nil {
		return err
	}
	if err := put(d.pebble, key(tableSector, number), s); err != nil {
		return fmt.Errorf("store sector %d: %w", number, err)
	}
	return nil
}

// Sectors returns all sectors by number.
func (d *DB) Sectors() ([]*miner.Sector, error) {
	var out []*miner.Sector
	err := d.scan(tableSector, func(raw []byte) error {
		s := new(miner.Sector)
		out = append(out, s)
		return json.Unmarshal(raw, s)
	})
	return out, err
}

// DropSector removes a sector.
func (d *DB) DropSector(number uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.pebble.Delete(key(tableSector, number), pebble.Sync); err != nil {
		return fmt.Errorf("drop sector %d: %w", number, err)
	}
	return nil
}

func key(table byte, n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{table}, n) }

func put(w pebble.Writer, k []byte, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.Set(k, raw, pebble.Sync)
}

func (d *DB) get(k []byte) ([]byte, bool, error) {
	raw, closer, err := d.pebble.Get(k)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read miner records: %w", err)
	}
	out := append([]byte{}, raw...)
	return out, true, closer.Close()
}

func (d *DB) number(k []byte) (uint64, bool, error) {
	raw, ok, err := d.get(k)
	if err != nil || !ok {
		return 0, false, err
	}
	if len(raw) != 8 {
		return 0, false, fmt.Errorf("read miner records: number of %d bytes", len(raw))
	}
	return binary.BigEndian.Uint64(raw), true, nil
}

func (d *DB) setNumber(k []byte, v uint64) error {
	if err := d.pebble.Set(k, binary.BigEndian.AppendUint64(nil, v), pebble.Sync); err != nil {
		return fmt.Errorf("write miner records: %w", err)
	}
	return nil
}

func (d *DB) scan(table byte, each func(raw []byte) error) error {
	return d.walk([]byte{table}, func(_, raw []byte) error { return each(raw) })
}

// walk calls each with what follows a prefix in every key that has it, and the value.
func (d *DB) walk(prefix []byte, each func(rest, raw []byte) error) error {
	it, err := d.pebble.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return fmt.Errorf("read miner records: %w", err)
	}
	for it.First(); it.Valid(); it.Next() {
		if err := each(it.Key()[len(prefix):], it.Value()); err != nil {
			return errors.Join(fmt.Errorf("read miner records: %w", err), it.Close())
		}
	}
	return errors.Join(it.Error(), it.Close())
}

// after is the least key above all keys with a prefix that does not end in 0xff.
func after(prefix []byte) []byte {
	out := append([]byte{}, prefix...)
	out[len(out)-1]++
	return out
}
