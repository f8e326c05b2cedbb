package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/retrieval/dag"
)

// ErrAbsent is wrapped by Get for a block that is not there.
var ErrAbsent = errors.New("block was not fetched")

// ErrInTheWay is wrapped by Open when a file that is no part of this program
// has the part's name.
var ErrInTheWay = errors.New("a file is in the way")

// extent is where bytes are in a file.
type extent struct{ at, size int64 }

// Store keeps what came of one payload. It may be used from many goroutines. It
// takes some 150 bytes of memory a block.
type Store struct {
	root    cid.Cid
	mode    fs.FileMode
	part    *os.File
	journal *os.File

	mu      sync.Mutex
	blocks  map[string]extent // by CID: blocks in the journal
	places  map[string]extent // by CID: where the blocks of the regions belong in the part, the first place each
	regions []*Region
	written spans         // of the part
	end     int64         // of the journal
	news    chan struct{} // closed when something came
	over    bool          // nothing more will come
	reason  error         // why, if not because all is there
}

// Open opens the store of the payload with this root: the part at path, the
// journal at JournalPath of it. It takes up what an earlier process left there,
// as far as it is whole and right. A part without its journal is somebody
// else's file: ErrInTheWay. mode holds the permission bits of the file that
// Finish makes, less the process's umask.
func Open(path string, root cid.Cid, mode fs.FileMode) (*Store, error) {
	s := &Store{root: root, mode: mode.Perm(), blocks: map[string]extent{}, places: map[string]extent{}, news: make(chan struct{})}
	if err := s.open(path); err != nil {
		return nil, errors.Join(fmt.Errorf("open fetched blocks: %w", err), s.Close())
	}
	return s, nil
}

// JournalPath is where the journal of a part is.
func JournalPath(part string) string { return part + ".journal" }

// ownerBits are what a part has beside its mode while it is written.
const ownerBits = 0o600

func (s *Store) open(path string) (err error) {
	_, missing := os.Lstat(JournalPath(path))
	if _, err := os.Lstat(path); err == nil && errors.Is(missing, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", path, ErrInTheWay)
	}
	if s.journal, err = os.OpenFile(JournalPath(path), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	if s.part, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, s.mode|ownerBits); err != nil {
		return err
	}
	if s.end, err = s.load(); err != nil {
		return err
	}
	if s.end > 0 {
		return s.journal.Truncate(s.end)
	}
	if err := errors.Join(s.part.Truncate(0), s.journal.Truncate(0)); err != nil {
		return err
	}
	return s.write(appendRecord(nil, recordRoot, rootBody(s.root)))
}

// Close keeps what there is for another Open. It may be called again.
func (s *Store) Close() error {
	var err error
	for _, f := range []*os.File{s.part, s.journal} {
		if f == nil {
			continue
		}
		if e := f.Close(); !errors.Is(e, fs.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// Remove closes the store and deletes its files.
func (s *Store) Remove() error {
	err := s.Close()
	for _, path := range []string{s.part.Name(), s.journal.Name()} {
		if e := os.Remove(path); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("remove fetched blocks: %w", e))
		}
	}
	return err
}

// Finish makes the part of a store with one region, which is whole, the file at
// dest: it is cut to its size, synced and renamed, and the journal deleted. The
// store is closed.
func (s *Store) Finish(dest string) error {
	if len(s.regions) != 1 || !s.written.covers(0, s.regions[0].size) {
		return fmt.Errorf("finish %s: the file is not whole", dest)
	}
	info, err := s.part.Stat()
	if err == nil {
		err = s.part.Chmod(info.Mode().Perm() &^ (ownerBits &^ s.mode))
	}
	err = errors.Join(err, s.part.Truncate(s.regions[0].size), s.part.Sync(), s.Close())
	if err == nil {
		err = os.Rename(s.part.Name(), dest)
	}
	if err == nil {
		err = os.Remove(s.journal.Name())
	}
	if err != nil {
		return fmt.Errorf("finish %s: %w", dest, err)
	}
	return nil
}

// Put keeps a block, which the caller has checked against its CID: a node, or a
// leaf that is a file by itself.
func (s *Store) Put(c cid.Cid, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.blocks[c.KeyString()]; known {
		return nil
	}
	at := s.end + recordHead + int64(c.ByteLen())
	if err := s.write(appendRecord(nil, recordNode, c.Bytes(), data)); err != nil {
		return err
	}
	s.note(c, extent{at, int64(len(data))})
	s.wake()
	return nil
}

// note takes down where a block is, and where its children belong.
func (s *Store) note(c cid.Cid, e extent) {
	s.blocks[c.KeyString()] = e
	if p, placed := s.places[c.KeyString()]; placed {
		s.spread(c, p.at, 0)
	}
}

// place takes down where a block of a region belongs. Of many places the first
// counts, so that what a node says costs no more than its own links.
func (s *Store) place(c cid.Cid, at, size int64, depth int) {
	key := c.KeyString()
	if _, known := s.places[key]; known {
		return
	}
	s.places[key] = extent{at, size}
	if _, there := s.blocks[key]; there {
		s.spread(c, at, depth)
	}
}

// spread places the children of a node that is there.
func (s *Store) spread(c cid.Cid, at int64, depth int) {
	if c.Prefix().Codec == cid.Raw || depth > dag.MaxDepth {
		return
	}
	node, err := s.node(c, s.blocks[c.KeyString()])
	if err != nil {
		return // who reads it will say so
	}
	at += int64(len(node.Data))
	for i, link := range node.Links {
		s.place(link.CID, at, int64(node.Sizes[i]), depth+1)
		at += int64(node.Sizes[i])
	}
}

// node reads a node of a file.
func (s *Store) node(c cid.Cid, e extent) (*dag.Node, error) {
	data := make([]byte, e.size)
	if n, err := s.journal.ReadAt(data, e.at); n < len(data) {
		return nil, err
	}
	node, err := dag.Decode(c, data)
	if err == nil && node.Kind != dag.KindFile {
		err = fmt.Errorf("block %s: %w: a %s, not part of a file", c, dag.ErrMalformed, node.Kind)
	}
	return node, err
}

func (s *Store) wake() {
	close(s.news)
	s.news = make(chan struct{})
}

// End says that nothing more will come, and why, nil if that is all. Those who
// wait for what is not there get the reason.
func (s *Store) End(reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over, s.reason = true, reason
	s.wake()
}

// Begin takes an End back: more is to come.
func (s *Store) Begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over, s.reason = false, nil
}

// Has reports whether a block is there.
func (s *Store) Has(c cid.Cid) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _, ok := s.find(c)
	return ok
}

// find is where a block is, if it is there.
func (s *Store) find(c cid.Cid) (f *os.File, e extent, ok bool) {
	if e, ok := s.blocks[c.KeyString()]; ok {
		return s.journal, e, true
	}
	e, ok = s.places[c.KeyString()]
	return s.part, e, ok && c.Prefix().Codec == cid.Raw && s.written.covers(e.at, e.size)
}

// Get returns a block that is there, or ErrAbsent. It implements dag.Get.
func (s *Store) Get(_ context.Context, c cid.Cid) ([]byte, error) {
	s.mu.Lock()
	f, e, ok := s.find(c)
	s.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("%s: %w", c, ErrAbsent)
	}
	return readBlock(f, c, e)
}

// Await returns a block, and waits for one that is still to come until then, the
// End, or ctx is done. It implements dag.Get.
func (s *Store) Await(ctx context.Context, c cid.Cid) ([]byte, error) {
	var f *os.File
	var e extent
	err := s.wait(ctx, c, func() (ok bool) {
		f, e, ok = s.find(c)
		return ok
	})
	if err != nil {
		return nil, err
	}
	return readBlock(f, c, e)
}

// wait returns once there, called under the lock, says so, or the reason of the End.
func (s *Store) wait(ctx context.Context, c cid.Cid, there func() bool) error {
	for {
		s.mu.Lock()
		ok, news, over, reason := there(), s.news, s.over, s.reason
		s.mu.Unlock()
		switch {
		case ok:
			return nil
		case over && reason != nil:
			return reason
		case over:
			return fmt.Errorf("%s: %w", c, ErrAbsent)
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func readBlock(f *os.File, c cid.Cid, e extent) ([]byte, error) {
	data := make([]byte, e.size)
	if n, err := f.ReadAt(data, e.at); n < len(data) {
		return nil, fmt.Errorf("read fetched block %s: %w", c, err)
	}
	return data, nil
}
