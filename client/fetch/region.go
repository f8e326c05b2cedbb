package fetch

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/ipfs/go-cid"
)

// regionAlign is what the places of regions in a part are multiples of.
const regionAlign = 4096

// Region is one file of a payload in the part of a Store.
type Region struct {
	store *Store
	root  cid.Cid

	// Store.mu:
	known bool // base and size are
	base  int64
	size  int64
}

// Region returns the region of the file with this root, a new one if there is none.
func (s *Store) Region(root cid.Cid) *Region {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.regions, func(r *Region) bool { return r.root.Equals(root) }); i >= 0 {
		return s.regions[i]
	}
	r := &Region{store: s, root: root}
	s.regions = append(s.regions, r)
	return r
}

// noteRegion takes down where a file is in the part.
func (s *Store) noteRegion(root cid.Cid, base, size int64) {
	i := slices.IndexFunc(s.regions, func(r *Region) bool { return r.root.Equals(root) })
	if i < 0 {
		i = len(s.regions)
		s.regions = append(s.regions, &Region{store: s, root: root})
	}
	r := s.regions[i]
	r.known, r.base, r.size = true, base, size
	s.place(root, base, size, 0)
}

// Start takes the size of the file, before anything is written.
func (r *Region) Start(size uint64) error {
	s := r.store
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case int64(size) < 0:
		return fmt.Errorf("file %s claims to have %d bytes", r.root, size)
	case r.known && r.size != int64(size):
		return fmt.Errorf("file %s has %d bytes, it had %d before", r.root, size, r.size)
	case r.known:
		return nil
	}
	base := int64(0)
	for _, other := range s.regions {
		if other.known {
			base = max(base, (other.base+other.size+regionAlign-1)/regionAlign*regionAlign)
		}
	}
	if base < 0 || base+int64(size) < base {
		return fmt.Errorf("file %s of %d bytes: no place is left", r.root, size)
	}
	if err := s.write(appendRecord(nil, recordRegion, r.root.Bytes(), pair(base, int64(size)))); err != nil {
		return err
	}
	s.noteRegion(r.root, base, int64(size))
	s.wake()
	return nil
}

// WriteAt takes bytes of the file, which were checked. They are in the part
// before the journal says so.
func (r *Region) WriteAt(p []byte, off int64) (int, error) {
	s := r.store
	s.mu.Lock()
	known, base, size := r.known, r.base, r.size
	s.mu.Unlock()
	if !known || off < 0 || off+int64(len(p)) > size {
		return 0, fmt.Errorf("write %d bytes at %d of file %s of %d bytes", len(p), off, r.root, size)
	}
	if n, err := s.part.WriteAt(p, base+off); err != nil {
		return n, fmt.Errorf("write part: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.write(appendRecord(nil, recordBytes, pair(base+off, int64(len(p))))); err != nil {
		return 0, err
	}
	s.written.add(base+off, base+off+int64(len(p)))
	s.wake()
	return len(p), nil
}

// Has reports whether n bytes from off on are there.
func (r *Region) Has(off, n uint64) bool {
	s := r.store
	s.mu.Lock()
	defer s.mu.Unlock()
	return r.known && off <= uint64(r.size) && n <= uint64(r.size)-off && s.written.covers(r.base+int64(off), int64(n))
}

// Size waits for the size of the file.
func (r *Region) Size(ctx context.Context) (uint64, error) {
	var size int64
	err := r.store.wait(ctx, r.root, func() bool {
		size = r.size
		return r.known
	})
	return uint64(size), err
}

// NewReader reads length bytes of the file from offset on, or to its end, and
// waits for what is still to come. It waits for the size.
func (r *Region) NewReader(ctx context.Context, offset, length uint64) (*Reader, error) {
	size, err := r.Size(ctx)
	if err != nil {
		return nil, err
	}
	offset = min(offset, size)
	return &Reader{ctx, r, int64(offset), int64(offset + min(length, size-offset))}, nil
}

// Reader gives bytes of a Region in their order. It is for one goroutine.
type Reader struct {
	ctx    context.Context
	region *Region
	at     int64 // the next byte of the file to give
	end    int64
}

// Read reads the next bytes, and waits until there is one.
func (r *Reader) Read(p []byte) (int, error) {
	if r.at == r.end {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	s, there := r.region.store, int64(0)
	err := s.wait(r.ctx, r.region.root, func() bool {
		there = s.written.from(r.region.base + r.at)
		return there > 0
	})
	if err != nil {
		return 0, err
	}
	p = p[:min(int64(len(p)), there, r.end-r.at)]
	n, err := s.part.ReadAt(p, r.region.base+r.at)
	r.at += int64(n)
	if n == len(p) {
		return n, nil
	}
	return n, fmt.Errorf("read what was fetched of %s at %d: %w", r.region.root, r.at, err)
}

// ReaderAt reads the file in any order, and waits for what is still to come.
func (r *Region) ReaderAt(ctx context.Context) io.ReaderAt { return readerAt{ctx, r} }

type readerAt struct {
	ctx    context.Context
	region *Region
}

// ReadAt implements io.ReaderAt.
func (r readerAt) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read file %s: negative offset", r.region.root)
	}
	from, err := r.region.NewReader(r.ctx, uint64(off), uint64(len(p)))
	if err != nil {
		return 0, err
	}
	n, err := io.ReadFull(from, p)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}
