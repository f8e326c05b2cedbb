package files

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// Create stores a new object and gives it its number.
func (r *Records) Create(ctx context.Context, o *Object) error {
	return r.write(ctx, func(db *pebble.DB) error {
		b := db.NewBatch()
		defer b.Close()
		if err := create(db, b, o); err != nil {
			return err
		}
		return b.Commit(pebble.Sync)
	})
}

// ErrFlushed is returned by Gather if another process flushed the batch meanwhile.
var ErrFlushed = errors.New("the batch was flushed meanwhile")

// Gather stores the piece that several objects share, and the objects as being in
// it, all or nothing. Objects that have a number must be Waiting; the others are new.
func (r *Records) Gather(ctx context.Context, shared *Object, members []*Object) error {
	return r.write(ctx, func(db *pebble.DB) error {
		b := db.NewBatch()
		defer b.Close()
		if err := create(db, b, shared); err != nil {
			return err
		}
		next := shared.Number
		for _, m := range members {
			if m.Number != 0 {
				kept, err := load(db, m.Number)
				if err != nil {
					return err
				}
				if !kept.Waiting {
					return ErrFlushed
				}
			} else {
				next++
				m.Number = next
			}
			m.Waiting, m.In, m.Spool, m.Pieces = false, shared.Number, "", nil
			if err := store(b, m); err != nil {
				return err
			}
		}
		if err := b.Set(keyNext, binary.BigEndian.AppendUint64(nil, next), nil); err != nil {
			return err
		}
		return b.Commit(pebble.Sync)
	})
}

// create numbers an object and puts it into a batch.
func create(db *pebble.DB, b *pebble.Batch, o *Object) error {
	next, err := number(db, keyNext)
	if err != nil {
		return err
	}
	o.Number = next + 1
	if err := store(b, o); err != nil {
		return err
	}
	return b.Set(keyNext, binary.BigEndian.AppendUint64(nil, o.Number), nil)
}

// store puts an object and its lookups into a batch.
func store(b *pebble.Batch, o *Object) error {
	raw, err := json.Marshal(o)
	if err != nil {
		return err
	}
	for _, k := range lookups(o) {
		if err := b.Set(k, nil, nil); err != nil {
			return err
		}
	}
	return b.Set(key(tableObject, o.Number), raw, nil)
}

// lookups are the keys under which an object is found by root and by piece.
func lookups(o *Object) [][]byte {
	out := [][]byte{lookup(tableRoot, o.Root, o.Number)}
	if o.Own() {
		for i := range o.Pieces {
			out = append(out, lookup(tablePiece, o.Pieces[i].CID, o.Number))
		}
	}
	return out
}

func lookup(table byte, text string, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append(append([]byte{table}, text...), 0), n)
}

// addLookups brings records of version 1 to version 2.
func addLookups(db *pebble.DB) error {
	b := db.NewBatch()
	defer b.Close()
	err := scan(db, tableObject, func(_ uint64, raw []byte) error {
		o := new(Object)
		if err := json.Unmarshal(raw, o); err != nil {
			return err
		}
		return store(b, o)
	})
	if err != nil {
		return err
	}
	if err := b.Set(keyVersion, binary.BigEndian.AppendUint64(nil, version), nil); err != nil {
		return err
	}
	return b.Commit(pebble.Sync)
}

// load reads an object as it is stored, or returns ErrNoRecord.
func load(db *pebble.DB, n uint64) (*Object, error) {
	raw, err := get(db, key(tableObject, n))
	if err != nil {
		return nil, err
	}
	if raw == nil {
		return nil, ErrNoRecord
	}
	o := new(Object)
	if err := json.Unmarshal(raw, o); err != nil {
		return nil, fmt.Errorf("object %d: %w", n, err)
	}
	return o, nil
}

// read reads an object; one in another's piece is shown with the pieces that it
// shares.
func read(db *pebble.DB, n uint64) (*Object, error) {
	o, err := load(db, n)
	if err != nil || o.In == 0 {
		return o, err
	}
	shared, err := load(db, o.In)
	if errors.Is(err, ErrNoRecord) { // forgotten
		return o, nil
	}
	if err != nil {
		return nil, err
	}
	o.share(shared)
	return o, nil
}

// share shows the pieces of the object that this one is in.
func (o *Object) share(in *Object) {
	o.Pieces, o.Seen = in.Pieces, in.Seen
}

// Update changes an object and returns it as it is then. Between reading and
// writing nobody else changes it. An error of change leaves it as it was. Root and
// pieces stay as they were made; an object in another's piece has none of its own.
func (r *Records) Update(ctx context.Context, n uint64, change func(*Object) error) (*Object, error) {
	var o *Object
	err := r.write(ctx, func(db *pebble.DB) (err error) {
		if o, err = load(db, n); err != nil {
			return err
		}
		if err := change(o); err != nil {
			return err
		}
		raw, err := json.Marshal(o)
		if err != nil {
			return err
		}
		return db.Set(key(tableObject, n), raw, pebble.Sync)
	})
	return o, err
}

// Object returns one object, or ErrNoRecord.
func (r *Records) Object(ctx context.Context, n uint64) (*Object, error) {
	var o *Object
	err := r.read(ctx, func(db *pebble.DB) (err error) {
		o, err = read(db, n)
		return err
	})
	return o, err
}

// Objects returns all objects by number.
func (r *Records) Objects(ctx context.Context) ([]*Object, error) {
	var out []*Object
	err := r.read(ctx, func(db *pebble.DB) error {
		return scan(db, tableObject, func(_ uint64, raw []byte) error {
			o := new(Object)
			if err := json.Unmarshal(raw, o); err != nil {
				return err
			}
			out = append(out, o)
			return nil
		})
	})
	Share(out)
	return out, err
}

// Share shows each object that is in another one's piece with the pieces of that one.
func Share(all []*Object) {
	by := map[uint64]*Object{}
	for _, o := range all {
		by[o.Number] = o
	}
	for _, o := range all {
		if in := by[o.In]; in != nil {
			o.share(in)
		}
	}
}

// OfRoot returns the objects with a root, by number.
func (r *Records) OfRoot(ctx context.Context, root string) ([]*Object, error) {
	return r.find(ctx, tableRoot, root)
}

// OfPiece returns the objects that are stored by a piece of their own, by number.
func (r *Records) OfPiece(ctx context.Context, piece string) ([]*Object, error) {
	return r.find(ctx, tablePiece, piece)
}

func (r *Records) find(ctx context.Context, table byte, text string) ([]*Object, error) {
	var out []*Object
	err := r.read(ctx, func(db *pebble.DB) error {
		from, to := lookup(table, text, 0), lookup(table, text, 1<<64-1)
		it, err := db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: append(to, 0)})
		if err != nil {
			return err
		}
		for it.First(); it.Valid(); it.Next() {
			k := it.Key()
			o, err := read(db, binary.BigEndian.Uint64(k[len(k)-8:]))
			if err != nil {
				return errors.Join(err, it.Close())
			}
			out = append(out, o)
		}
		return errors.Join(it.Error(), it.Close())
	})
	return out, err
}

// Members returns the objects in the piece of another one, by number.
func (r *Records) Members(ctx context.Context, in uint64) ([]*Object, error) {
	all, err := r.Objects(ctx)
	return slices.DeleteFunc(all, func(o *Object) bool { return o.In != in }), err
}

// Delete forgets an object.
func (r *Records) Delete(ctx context.Context, n uint64) error {
	return r.write(ctx, func(db *pebble.DB) error {
		o, err := load(db, n)
		if errors.Is(err, ErrNoRecord) {
			return nil
		}
		if err != nil {
			return err
		}
		b := db.NewBatch()
		defer b.Close()
		for _, k := range append(lookups(o), key(tableObject, n)) {
			if err := b.Delete(k, nil); err != nil {
				return err
			}
		}
		return b.Commit(pebble.Sync)
	})
}
