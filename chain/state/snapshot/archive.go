package snapshot

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/state"
	"github.com/perdure/perdure/internal/lifecycle"
)

// Archive is the snapshots in one directory. Its methods may be called from
// many goroutines; Write and Keep by one.
type Archive struct {
	dir   string
	chunk uint64 // size of chunks that are written

	mu  sync.RWMutex
	all []*Manifest // by height, rising
}

// Open reads a directory of snapshots and removes what was not finished. The
// directory is made by the first Write.
func Open(dir string) (*Archive, error) {
	a := &Archive{dir: dir, chunk: ChunkSize}
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	known := map[string]bool{}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), manifestSuffix) {
			continue
		}
		m, err := a.load(f.Name())
		if err != nil { // not worth stopping for: it can be written again
			continue
		}
		a.all = append(a.all, m)
		known[a.manifestName(m.Height)], known[a.carName(m.Height)] = true, true
	}
	for _, f := range files {
		if !known[f.Name()] {
			if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
				return nil, fmt.Errorf("open snapshots: %w", err)
			}
		}
	}
	slices.SortFunc(a.all, func(x, y *Manifest) int { return cmp.Compare(x.Height, y.Height) })
	return a, nil
}

const (
	carSuffix      = ".car"
	manifestSuffix = ".manifest"
)

func (a *Archive) carName(h chain.Height) string { return fmt.Sprint(uint64(h), carSuffix) }

func (a *Archive) manifestName(h chain.Height) string { return fmt.Sprint(uint64(h), manifestSuffix) }

func (a *Archive) path(name string) string { return filepath.Join(a.dir, name) }

// load reads a manifest and looks whether its file is there.
func (a *Archive) load(name string) (*Manifest, error) {
	raw, err := os.ReadFile(a.path(name))
	if err != nil {
		return nil, err
	}
	m, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(a.path(a.carName(m.Height)))
	if err != nil {
		return nil, err
	}
	if uint64(info.Size()) != m.Size || name != a.manifestName(m.Height) {
		return nil, fmt.Errorf("%s does not describe what is there", name)
	}
	return m, nil
}

// List returns the manifests, by rising height.
func (a *Archive) List() []*Manifest {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return slices.Clone(a.all)
}

// Find returns the manifest of a height, or nil.
func (a *Archive) Find(h chain.Height) *Manifest {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, m := range a.all {
		if m.Height == h {
			return m
		}
	}
	return nil
}

// Size is the space that the snapshots take, in bytes.
func (a *Archive) Size() uint64 {
	var sum uint64
	for _, m := range a.List() {
		sum += m.Size + uint64(len(m.Hashes))
	}
	return sum
}

// Chunk reads a chunk; nil if there is no such one. A chunk that is not what
// it was is an error: it is not for peers.
func (a *Archive) Chunk(h chain.Height, i int) ([]byte, error) {
	m := a.Find(h)
	if m == nil || i < 0 || i >= m.Chunks() {
		return nil, nil
	}
	f, err := os.Open(a.path(a.carName(h)))
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	defer f.Close()
	b := make([]byte, m.length(i))
	if _, err := f.ReadAt(b, int64(i)*int64(m.ChunkSize)); err != nil {
		return nil, fmt.Errorf("read snapshot %s: %w", f.Name(), err)
	}
	if sha256.Sum256(b) != m.hash(i) {
		return nil, fmt.Errorf("read snapshot %s: chunk %d is damaged", f.Name(), i)
	}
	return b, nil
}

// Write writes the snapshot of a kept height and returns its manifest. It
// takes long: blocks go on meanwhile.
func (a *Archive) Write(ctx context.Context, s *state.Store, h chain.Height) (m *Manifest, err error) {
	if m = a.Find(h); m != nil {
		return m, nil
	}
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return nil, fmt.Errorf("write snapshot: %w", err)
	}
	e, err := s.Export(h)
	if err != nil {
		return nil, fmt.Errorf("write snapshot: %w", err)
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	if m, err = a.write(ctx, e); err != nil {
		return nil, fmt.Errorf("write snapshot of height %d: %w", h, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, m)
	slices.SortFunc(a.all, func(x, y *Manifest) int { return cmp.Compare(x.Height, y.Height) })
	return m, nil
}

func (a *Archive) write(ctx context.Context, e *state.Export) (*Manifest, error) {
	f, err := os.CreateTemp(a.dir, ".new-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name()) // gone already if all went well
	c := &cutter{to: bufio.NewWriterSize(f, 1<<20), chunk: a.chunk, sum: sha256.New()}
	err = e.Write(ctx, c)
	if err == nil {
		c.cut()
		err = c.to.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	m := &Manifest{Format: Format, Height: e.Height, AppHash: e.AppHash, Size: c.size, ChunkSize: a.chunk, Hashes: c.hashes}
	raw, _, err := m.Encode()
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	if err := os.Rename(f.Name(), a.path(a.carName(m.Height))); err != nil {
		return nil, err
	}
	return m, lifecycle.WriteFile(a.path(a.manifestName(m.Height)), raw, 0o600)
}

// cutter hashes what is written, chunk by chunk.
type cutter struct {
	to     *bufio.Writer
	chunk  uint64
	sum    hash.Hash
	inside uint64 // bytes in sum
	size   uint64
	hashes []byte
}

// Write implements io.Writer.
func (c *cutter) Write(b []byte) (int, error) {
	for left := b; len(left) > 0; {
		part := left[:min(uint64(len(left)), c.chunk-c.inside)]
		c.sum.Write(part)
		if c.inside += uint64(len(part)); c.inside == c.chunk {
			c.cut()
		}
		left = left[len(part):]
	}
	c.size += uint64(len(b))
	return c.to.Write(b)
}

// cut ends a chunk, if one is begun.
func (c *cutter) cut() {
	if c.inside > 0 {
		c.hashes = c.sum.Sum(c.hashes)
		c.sum.Reset()
		c.inside = 0
	}
}

var _ io.Writer = (*cutter)(nil)

// Keep removes all but the newest n snapshots.
func (a *Archive) Keep(n int) error {
	a.mu.Lock()
	old := a.all[:max(0, len(a.all)-n)]
	a.all = slices.Clone(a.all[len(old):])
	a.mu.Unlock()
	var errs []error
	for _, m := range old { // the manifest first: without it the rest is nothing
		errs = append(errs, os.Remove(a.path(a.manifestName(m.Height))), os.Remove(a.path(a.carName(m.Height))))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove snapshot: %w", err)
	}
	return nil
}
