package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/client/pack"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/segment"
)

// Spool is the directory of one put. While it is open nobody else places the
// put's bids.
type Spool struct {
	name string
	dir  string
	lock *Lock
}

const lockName = "lock"

// NewSpool makes a directory for a new put.
func (r *Records) NewSpool() (*Spool, error) {
	dir, err := os.MkdirTemp(r.path("spool"), "put-*")
	if err != nil {
		return nil, fmt.Errorf("make spool: %w", err)
	}
	lock, err := TakeLock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make spool: %w", err), os.RemoveAll(dir))
	}
	return &Spool{filepath.Base(dir), dir, lock}, nil
}

// OpenSpool opens the spool of an object, or returns ErrLocked.
func (r *Records) OpenSpool(o *Object) (*Spool, error) {
	dir := r.path("spool", o.Spool)
	lock, err := TakeLock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("open spool of %s: %w", o.Root, err)
	}
	return &Spool{o.Spool, dir, lock}, nil
}

// Name is what an Object calls the spool.
func (s *Spool) Name() string { return s.name }

// Dir is the spool's directory.
func (s *Spool) Dir() string { return s.dir }

// Close lets go of the spool.
func (s *Spool) Close() error { return s.lock.Close() }

// Remove deletes the spool and lets go of it.
func (s *Spool) Remove() error { return errors.Join(os.RemoveAll(s.dir), s.lock.Close()) }

// Keep moves the archives of packed content into the spool, with their indexes
// beside them, makes that durable, and returns the pieces as records.
func (s *Spool) Keep(packed *pack.Packed) ([]Piece, error) {
	out := make([]Piece, len(packed.Pieces))
	for i := range packed.Pieces {
		p := &packed.Pieces[i]
		name := filepath.Base(p.CARPath)
		index, err := p.Index.MarshalBinary()
		if err == nil {
			err = errors.Join(writeSynced(filepath.Join(s.dir, name+indexExt), index), os.Rename(p.CARPath, filepath.Join(s.dir, name)))
		}
		if err != nil {
			return nil, fmt.Errorf("spool %s: %w", packed.Root, err)
		}
		out[i] = Piece{CID: p.CID.String(), PaddedSize: p.PaddedSize, PayloadSize: p.PayloadSize, Part: uint64(p.Part), Archive: name}
	}
	if err := errors.Join(syncDir(s.dir), syncDir(filepath.Dir(s.dir)), packed.Remove()); err != nil {
		return nil, fmt.Errorf("spool %s: %w", packed.Root, err)
	}
	return out, nil
}

const indexExt = ".index"

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// ErrNotSpooled is returned for a piece whose archive is not in the spool.
var ErrNotSpooled = errors.New("piece is not in the spool")

// OpenPiece opens the archive of a piece of any object, with its block index.
func (r *Records) OpenPiece(ctx context.Context, piece cid.Cid) (*car.Index, *os.File, error) {
	name := piece.String()
	all, err := r.OfPiece(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	for _, o := range all {
		for i := range o.Pieces {
			if p := &o.Pieces[i]; p.CID == name && o.Spool != "" {
				return openArchive(r.path("spool", o.Spool, p.Archive))
			}
		}
	}
	return nil, nil, ErrNotSpooled
}

func openArchive(path string) (*car.Index, *os.File, error) {
	raw, err := os.ReadFile(path + indexExt)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, ErrNotSpooled
	}
	if err != nil {
		return nil, nil, err
	}
	index, err := car.UnmarshalIndex(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("index of %s: %w", path, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	return index, f, nil
}

// Payload is the archive of an object that waits in a batch, for the piece that it
// will share.
func (r *Records) Payload(o *Object) (segment.Payload, error) {
	if !o.Waiting || len(o.Pieces) != 1 {
		return segment.Payload{}, fmt.Errorf("object %d waits in no batch", o.Number)
	}
	path := r.path("spool", o.Spool, o.Pieces[0].Archive)
	index, f, err := openArchive(path)
	if err != nil {
		return segment.Payload{}, fmt.Errorf("archive of %s: %w", o.Root, err)
	}
	if err := f.Close(); err != nil {
		return segment.Payload{}, err
	}
	return segment.Payload{Index: index, Open: func() (io.ReadCloser, error) { return os.Open(path) }}, nil
}

// DropSpool deletes a spool that no object names any more.
func (r *Records) DropSpool(name string) error {
	if name == "" {
		return nil
	}
	if err := os.RemoveAll(r.path("spool", name)); err != nil {
		return fmt.Errorf("remove spool: %w", err)
	}
	return nil
}

// RemoveSpool deletes the archives of an object that nobody has to fetch any more.
func (r *Records) RemoveSpool(ctx context.Context, n uint64) error {
	var name string
	_, err := r.Update(ctx, n, func(o *Object) error {
		name, o.Spool = o.Spool, ""
		return nil
	})
	if err != nil || name == "" {
		return err
	}
	return r.DropSpool(name)
}

// Sweep deletes spools that no object names and that no process is filling:
// what a put leaves that was killed before it was recorded.
func (r *Records) Sweep(ctx context.Context) error {
	entries, err := os.ReadDir(r.path("spool")) // before the records: what is made later is not here
	if err != nil {
		return fmt.Errorf("sweep spool: %w", err)
	}
	for _, e := range entries {
		lock, err := TakeLock(r.path("spool", e.Name(), lockName))
		if err != nil {
			continue // in use, or gone
		}
		named, err := r.names(ctx, e.Name()) // under the lock: nobody can record it meanwhile
		if err == nil && !named {
			err = os.RemoveAll(r.path("spool", e.Name()))
		}
		if err := errors.Join(err, lock.Close()); err != nil {
			return fmt.Errorf("sweep spool: %w", err)
		}
	}
	return nil
}

func (r *Records) names(ctx context.Context, spool string) (bool, error) {
	all, err := r.Objects(ctx)
	for _, o := range all {
		if o.Spool == spool {
			return true, err
		}
	}
	return false, err
}

// FetchPath is where what is being fetched is kept under a name.
func (r *Records) FetchPath(name string) string { return r.path("fetch", name) }

// LedgerPath is the payment ledger of the home.
func (r *Records) LedgerPath() string { return r.path("ledger") }

// IdentityPath is the libp2p key of the home.
func (r *Records) IdentityPath() string { return r.path("identity") }

// NewReading makes a directory under fetch for a file that is open for reading,
// and deletes those whose process is gone.
func (r *Records) NewReading() (dir string, lock *Lock, err error) {
	old, err := filepath.Glob(r.path("fetch", "open-*"))
	if err != nil {
		return "", nil, err
	}
	for _, dir := range old {
		if lock, err := TakeLock(filepath.Join(dir, lockName)); err == nil {
			if err := EndReading(dir, lock); err != nil {
				return "", nil, err
			}
		}
	}
	if dir, err = os.MkdirTemp(r.path("fetch"), "open-*"); err != nil {
		return "", nil, fmt.Errorf("make room for reading: %w", err)
	}
	if lock, err = TakeLock(filepath.Join(dir, lockName)); err != nil {
		return "", nil, errors.Join(fmt.Errorf("make room for reading: %w", err), os.RemoveAll(dir))
	}
	return dir, lock, nil
}

// EndReading deletes what NewReading made.
func EndReading(dir string, lock *Lock) error { return errors.Join(os.RemoveAll(dir), lock.Close()) }
