package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
)

// Store is a directory of imported archives, and the Source that serves them. An
// archive is three files, named after the SHA-256 of its bytes:
//
//	HASH.car    as it came
//	HASH.idx    where its blocks are; made anew from HASH.car when it is missing or bad
//	HASH.json   Imported; an archive is there once this file is
//
// Any number of processes may read while one at a time imports.
type Store struct {
	dir     string
	freeAll bool

	loading sync.Mutex
	// archives are those that are open, the free ones first; nil before the first
	// Load. Readers keep the slice that they found.
	archives atomic.Pointer[[]*archive]
}

// archive is an open archive.
type archive struct {
	Imported
	file  *os.File
	index index
}

// The names of an archive's files.
const (
	suffixArchive = ".car"
	suffixIndex   = ".idx"
	suffixRecord  = ".json"
)

// StoreDir is where a home keeps imported archives.
func StoreDir(home string) string { return filepath.Join(home, "gateway") }

// rescan is how often a served Store looks for what was imported meanwhile.
const rescan = 2 * time.Second

// OpenStore opens a directory of archives, which may be missing, as a Source
// that is not ready before Load has succeeded. freeAll gives out for nothing what
// was imported with a price, too.
func OpenStore(dir string, freeAll bool) *Store { return &Store{dir: dir, freeAll: freeAll} }

// Run loads the archives and looks from time to time for new ones, until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(rescan)
	defer tick.Stop()
	for {
		if err := s.Load(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Load opens the archives that were imported since the last call, takes over
// changed terms, and forgets archives that were removed.
func (s *Store) Load(ctx context.Context) error {
	s.loading.Lock()
	defer s.loading.Unlock()
	names, err := s.names()
	if err != nil {
		return err
	}
	known := map[string]*archive{}
	for _, a := range s.all() {
		known[a.Name] = a
	}
	open := make([]*archive, 0, len(names))
	for _, name := range names {
		a, err := openArchive(ctx, s.dir, name, known[name])
		if err != nil {
			return fmt.Errorf("open imported archive %s: %w", name, err)
		}
		open = append(open, a)
	}
	slices.SortFunc(open, func(a, b *archive) int {
		if a.free() != b.free() {
			if a.free() {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	s.archives.Store(&open)
	return nil
}

// names lists the archives that are there whole.
func (s *Store) names() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list imported archives: %w", err)
	}
	var out []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), suffixRecord); ok {
			out = append(out, name)
		}
	}
	return out, nil
}

// all returns the open archives.
func (s *Store) all() []*archive {
	if p := s.archives.Load(); p != nil {
		return *p
	}
	return nil
}

// Imported are the records of the open archives.
func (s *Store) Imported() []Imported {
	var out []Imported
	for _, a := range s.all() {
		out = append(out, a.Imported)
	}
	return out
}

// errLoading is what a Store says of itself before the first Load.
var errLoading = errors.New("the imported archives are being indexed")

// Ready implements Source.
func (s *Store) Ready() error {
	if s.archives.Load() == nil {
		return errLoading
	}
	return nil
}

// holder returns the archive that holds a block, a free one if there is any.
func (s *Store) holder(c cid.Cid) (*archive, place, bool) {
	for _, a := range s.all() {
		if p, ok := a.index[string(c.Hash())]; ok {
			return a, p, true
		}
	}
	return nil, place{}, false
}

// pieceOf returns the archive that is a piece.
func (s *Store) pieceOf(c cid.Cid) (*archive, bool) {
	for _, a := range s.all() {
		if a.Piece == c.String() {
			return a, true
		}
	}
	return nil, false
}

func (s *Store) gives(a *archive) bool { return s.freeAll || a.free() }

// Status implements Source.
func (s *Store) Status(_ context.Context, root cid.Cid) (Status, error) {
	if s.Ready() != nil {
		return Status{State: Waiting, Retry: rescan}, nil
	}
	a, _, ok := s.holder(root)
	if !ok {
		a, ok = s.pieceOf(root)
	}
	switch {
	case !ok:
		return Status{}, nil
	case s.gives(a):
		return Status{State: Free}, nil
	}
	return Status{State: Priced, Terms: a.Terms}, nil
}

// find returns the archive from which a block is given out for nothing.
func (s *Store) find(c cid.Cid) (*archive, place, error) {
	a, p, ok := s.holder(c)
	if !ok || !s.gives(a) {
		return nil, place{}, ErrNotFound
	}
	return a, p, nil
}

// Block implements Source.
func (s *Store) Block(_ context.Context, c cid.Cid) ([]byte, error) {
	a, p, err := s.find(c)
	if err != nil {
		return nil, err
	}
	data := make([]byte, p.length)
	if _, err := a.file.ReadAt(data, int64(p.offset)); err != nil {
		return nil, fmt.Errorf("read block %s of archive %s: %w", c, a.Name, err)
	}
	return data, nil
}

// BlockSize implements Source.
func (s *Store) BlockSize(_ context.Context, c cid.Cid) (int, error) {
	_, p, err := s.find(c)
	return int(p.length), err
}

// Piece implements Source.
func (s *Store) Piece(_ context.Context, c cid.Cid) (Piece, error) {
	a, ok := s.pieceOf(c)
	if !ok || !s.gives(a) {
		return nil, ErrNotFound
	}
	return section{io.NewSectionReader(a.file, 0, int64(a.Size))}, nil
}

// section is a piece whose file stays open.
type section struct{ *io.SectionReader }

// Close implements io.Closer.
func (section) Close() error { return nil }

// Providers implements Source: who sells the archive, if it was imported with a
// price.
func (s *Store) Providers(_ context.Context, root cid.Cid) ([]Provider, error) {
	a, _, ok := s.holder(root)
	if !ok || len(a.Terms.Peer) == 0 {
		return nil, nil
	}
	return []Provider{{Addrs: a.Terms.Peer, Protocols: []string{protocolRetrieve}}}, nil
}

// Close closes the archives. Nobody may read from them any more.
func (s *Store) Close() error {
	var errs []error
	for _, a := range s.all() {
		errs = append(errs, a.file.Close())
	}
	s.archives.Store(nil)
	return errors.Join(errs...)
}
