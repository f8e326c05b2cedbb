package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// notes are the newest ticks of the lanes that are being paid on, in a file of
// their own beside the database: a note is one write to a place in it, a few
// microseconds, and outlives the process, though not the machine until it is
// synced. Each lane has two places, written by turns, so that a torn write leaves
// the note before. Open takes the notes over into the database and begins anew.
type notes struct {
	file   vfs.File
	lanes  map[lease]*note
	places int64   // of the file, given away once or more
	empty  []int64 // those of channels that are forgotten
	dirty  bool
}

// note is what the file has of a lane.
type note struct {
	place int64
	turn  int64 // 0 or 1: which half comes next
	nonce uint64
	ticks uint64
	tick  [32]byte
}

// A note's form: version || u64be channel, lane, nonce, ticks || tick || the first
// 8 bytes of the SHA-256 of all that.
const (
	noteBody  = 1 + 4*8 + 32
	noteSize  = noteBody + 8
	notePlace = 128 // bytes of the file for each half
	notesName = "ticks"
)

func encodeNote(k lease, n *note) []byte {
	b := append(encodeNumbers(k.channel, k.lane, n.nonce, n.ticks), n.tick[:]...)
	sum := sha256.Sum256(b)
	return append(b, sum[:8]...)
}

// decodeNote reports false for what is no whole note.
func decodeNote(b []byte) (k lease, n note, ok bool) {
	sum := sha256.Sum256(b[:noteBody])
	if b[0] != recordVersion || string(sum[:8]) != string(b[noteBody:noteSize]) {
		return k, n, false
	}
	number := func(i int) uint64 { return binary.BigEndian.Uint64(b[1+8*i:]) }
	return lease{number(0), number(1)}, note{nonce: number(2), ticks: number(3), tick: [32]byte(b[33:])}, true
}

// openNotes takes over what an earlier process noted, and begins a new file.
func (l *Ledger) openNotes(fsys vfs.FS, dir string) error {
	path := fsys.PathJoin(dir, notesName)
	old, err := fsys.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		b, err := io.ReadAll(old)
		if err = errors.Join(err, old.Close()); err == nil {
			err = l.takeOver(b)
		}
		if err != nil {
			return err
		}
	}
	l.notes.lanes = map[lease]*note{}
	if err = fsys.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if l.notes.file, err = fsys.OpenReadWrite(path, vfs.WriteCategoryUnspecified); err != nil {
		return err
	}
	return syncDir(fsys, dir)
}

// syncDir makes the names in a directory durable.
func syncDir(fsys vfs.FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// takeOver puts the newest notes into the database.
func (l *Ledger) takeOver(file []byte) error {
	for ; len(file) >= noteSize; file = file[min(notePlace, len(file)):] {
		k, n, ok := decodeNote(file)
		if !ok {
			continue
		}
		h, err := l.Holding(k.channel, k.lane)
		if err != nil {
			return err
		}
		if h == nil || h.Voucher.Voucher.Nonce != n.nonce || n.ticks <= h.Ticks {
			continue
		}
		if err := l.SaveTick(k.channel, k.lane, n.nonce, n.ticks, n.tick); err != nil {
			return err
		}
	}
	return nil
}

// NoteTick notes the newest tick of a lane's voucher, which the caller has
// verified, so that it outlives this process. SyncNotes makes it outlive the
// machine, as SaveTick does at once. One session at a time notes ticks of a lane,
// in order.
func (l *Ledger) NoteTick(channel, lane, nonce, ticks uint64, tick [32]byte) error {
	k := lease{channel, lane}
	l.noting.Lock()
	defer l.noting.Unlock()
	n := l.notes.lanes[k]
	if n == nil {
		n = &note{place: l.notes.claim()}
		l.notes.lanes[k] = n
	}
	n.nonce, n.ticks, n.tick = nonce, ticks, tick
	l.notes.dirty = true
	at := (2*n.place + n.turn) * notePlace
	n.turn = 1 - n.turn
	if _, err := l.notes.file.WriteAt(encodeNote(k, n), at); err != nil {
		return fmt.Errorf("note tick %d on lane %d of channel %d: %w", ticks, lane, channel, err)
	}
	return nil
}

// claim returns a place in the file that no lane has.
func (n *notes) claim() int64 {
	if last := len(n.empty) - 1; last >= 0 {
		place := n.empty[last]
		n.empty = n.empty[:last]
		return place
	}
	n.places++
	return n.places - 1
}

// SyncNotes returns when all that was noted is on disk.
func (l *Ledger) SyncNotes() error {
	l.noting.Lock()
	dirty := l.notes.dirty
	l.notes.dirty = false
	l.noting.Unlock()
	if !dirty {
		return nil
	}
	if err := l.notes.file.SyncData(); err != nil {
		return fmt.Errorf("sync noted ticks: %w", err)
	}
	return nil
}

// noted returns the newest note of a lane's voucher.
func (l *Ledger) noted(channel, lane, nonce uint64) (ticks uint64, tick [32]byte) {
	l.noting.Lock()
	defer l.noting.Unlock()
	if n := l.notes.lanes[lease{channel, lane}]; n != nil && n.nonce == nonce {
		return n.ticks, n.tick
	}
	return 0, tick
}

// forgetNotes drops the notes of a channel and gives their places to others. What
// stands there until then is of a voucher that is no more, which Open passes over.
func (l *Ledger) forgetNotes(channel uint64) {
	l.noting.Lock()
	defer l.noting.Unlock()
	for k, n := range l.notes.lanes {
		if k.channel == channel {
			delete(l.notes.lanes, k)
			l.notes.empty = append(l.notes.empty, n.place)
		}
	}
}
