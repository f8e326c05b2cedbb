package state

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/state/proof"
	"github.com/perdure/perdure/internal/lifecycle"
)

// formatVersion is the version of the database's layout.
const formatVersion = 1

// Errors of the store.
var (
	// ErrPruned is wrapped for a height below the oldest that is kept.
	ErrPruned = errors.New("height is pruned")
	// ErrFuture is wrapped for a height above the tip.
	ErrFuture = errors.New("height is not committed yet")
	// ErrNoGenesis is returned for reading a store before Genesis.
	ErrNoGenesis = errors.New("state has no genesis yet")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("state is closed")
)

// Config is what Open needs.
type Config struct {
	Dir    string            // directory of the database
	Params *consensus.Params // of genesis
	FS     vfs.FS            // nil: the disk
	Cache  int64             // bytes of the database's blocks that stay in memory; 0: 32 MiB
	Keep   uint64            // heights that are kept until Store.Keep says otherwise; 0: Params.StateRetention
}

// Store is the state's database. All methods may be called from many
// goroutines; Stage and Commit by one at a time, as consensus does.
type Store struct {
	params    *consensus.Params // of genesis
	paramsRaw []byte
	fatal     *fatalLog

	life   sync.RWMutex // held for reading during every use of db
	db     *pebble.DB   // nil once closed
	writer sync.Mutex   // Stage, Commit, Genesis

	keep atomic.Uint64 // heights that are kept behind the tip

	mu      sync.RWMutex
	tip     *View // nil before genesis
	oldest  chain.Height
	changed chan struct{} // closed at the next commit

	staged  *staged
	recent  recent
	blocks  blockCache
	visited blockCache // what visitors read beside it
}

// memTable is how large what was written lately grows in memory before it becomes
// a table on the disk, in bytes.
const memTable = 16 << 20

// cacheSize is how large Pebble's cache must be for it to hold so many bytes of
// blocks: the room of two memtables, the one in use and the one before, which
// waits to be used again, comes out of it.
func cacheSize(blocks int64) int64 { return blocks + 2*memTable }

// Open opens or creates the database. A store without state is ready for Genesis.
func Open(c Config) (*Store, error) {
	raw, err := chain.Encode(c.Params)
	if err != nil {
		return nil, fmt.Errorf("open state: encode params: %w", err)
	}
	s := &Store{params: c.Params, paramsRaw: raw, fatal: &fatalLog{}, changed: make(chan struct{})}
	s.Keep(cmp.Or(c.Keep, c.Params.StateRetention))
	cache := pebble.NewCache(cacheSize(cmp.Or(c.Cache, 32<<20)))
	defer cache.Unref()
	fs := c.FS
	if fs == nil {
		fs = vfs.Default
	}
	opts := &pebble.Options{FS: fs, Cache: cache, Logger: s.fatal, MemTableSize: memTable,
		FormatMajorVersion: pebble.FormatNewest}
	for i := range opts.Levels { // most questions are whether a block is new; hashes do not compress
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		opts.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	}
	err = s.fatal.guard(func() error {
		db, err := pebble.Open(c.Dir, opts)
		s.db = db
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open state %s: %w", c.Dir, lifecycle.InUse(err))
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open state %s: %w", c.Dir, err), s.Close())
	}
	return s, nil
}

// Close closes the database; Views of it then return ErrClosed for what is not
// in memory.
func (s *Store) Close() error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.db == nil {
		return nil
	}
	db := s.db
	s.db = nil
	if err := s.fatal.guard(db.Close); err != nil {
		return fmt.Errorf("close state: %w", err)
	}
	return nil
}

// load reads the tip, the oldest kept height and the order book.
func (s *Store) load() error {
	broken, err := s.get(restoringKey)
	if err != nil {
		return err
	}
	if broken != nil {
		return s.clear(false)
	}
	b, err := s.get(tipKey)
	if err != nil || b == nil {
		return err
	}
	if len(b) != tipSize || b[0] != formatVersion {
		return fmt.Errorf("tip of format %x, want version %d", b[:min(len(b), 1)], formatVersion)
	}
	root, err := cid.Cast(b[9:])
	if err != nil {
		return fmt.Errorf("tip: %w", err)
	}
	tree, err := s.tree(chain.Height(binary.BigEndian.Uint64(b[1:9])), root)
	if err != nil {
		return err
	}
	params, err := s.Block(tree.root.Params)
	if err != nil {
		return fmt.Errorf("parameters: %w", err)
	}
	if err := s.checkParams(params); err != nil {
		return err
	}
	book, err := rebuild(tree)
	if err != nil {
		return err
	}
	if s.oldest, err = s.firstHeight(); err != nil {
		return err
	}
	tree.blocks = s
	s.tip, s.recent.height = &View{Tree: *tree, store: s, book: book}, tree.height
	return nil
}

// checkParams refuses the parameters of a state if those of genesis cannot have
// become them by votes: it is another network's.
func (s *Store) checkParams(raw []byte) error {
	p := new(consensus.Params)
	if err := chain.Decode(raw, p); err != nil {
		return fmt.Errorf("decode parameters: %w", err)
	}
	if err := p.CheckNetwork(s.params); err != nil {
		return fmt.Errorf("state belongs to a network of other parameters: %w", err)
	}
	return nil
}

// firstHeight is the lowest height whose root is kept.
func (s *Store) firstHeight() (chain.Height, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{prefixRoot}, UpperBound: []byte{prefixRoot + 1}})
	if err != nil {
		return 0, fmt.Errorf("read roots: %w", err)
	}
	var h chain.Height
	if it.First() {
		h = chain.Height(binary.BigEndian.Uint64(it.Key()[1:]))
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return 0, fmt.Errorf("read roots: %w", err)
	}
	return h, nil
}

// View returns the newest committed state, or nil before Genesis. It is for
// those who execute blocks and messages; all others read a Visit.
func (s *Store) View() *View {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.tip
}

// Visit returns the newest committed state, or nil before Genesis, for readers
// whose questions must not displace from memory what the next block needs.
func (s *Store) Visit() *View {
	v := s.View()
	if v == nil {
		return nil
	}
	out := *v
	out.blocks, out.visit = visitor{s}, true
	return &out
}

// Oldest returns the lowest height whose state and Update are kept.
func (s *Store) Oldest() chain.Height {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.oldest
}

// Changed returns a channel that is closed at the next Commit.
func (s *Store) Changed() <-chan struct{} {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.changed
}

// At returns the state of a kept height.
func (s *Store) At(h chain.Height) (*Tree, error) {
	if err := s.kept(h); err != nil {
		return nil, err
	}
	b, err := s.get(heightKey(prefixRoot, h))
	if err != nil {
		return nil, fmt.Errorf("read root of height %d: %w", h, err)
	}
	if b == nil { // pruned between the check and the read
		return nil, fmt.Errorf("height %d: %w", h, ErrPruned)
	}
	root, err := cid.Cast(b)
	if err != nil {
		return nil, fmt.Errorf("read root of height %d: %w", h, err)
	}
	return s.tree(h, root)
}

// kept refuses heights outside of what is kept.
func (s *Store) kept(h chain.Height) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case s.tip == nil:
		return ErrNoGenesis
	case h > s.tip.height:
		return fmt.Errorf("height %d, the newest is %d: %w", h, s.tip.height, ErrFuture)
	case h < s.oldest:
		return fmt.Errorf("height %d, the oldest kept is %d: %w", h, s.oldest, ErrPruned)
	}
	return nil
}

func (s *Store) tree(h chain.Height, root cid.Cid) (*Tree, error) {
	r, err := proof.ReadRoot(s, root)
	if err != nil {
		return nil, fmt.Errorf("state of height %d: %w", h, err)
	}
	return &Tree{blocks: visitor{s}, height: h, cid: root, root: r}, nil
}

// Block implements proof.Blocks over what is committed.
func (s *Store) Block(c cid.Cid) ([]byte, error) {
	d, err := proof.Digest(c)
	if err != nil {
		return nil, fmt.Errorf("block %s: %w", c, err)
	}
	if b, known := s.blocks.get(d); known {
		return b, nil
	}
	b, err := s.node(c, d)
	if err == nil {
		s.blocks.put(d, b)
	}
	return b, err
}

// Blocks are the committed blocks of the tree for those who ask from outside.
func (s *Store) Blocks() proof.Blocks { return visitor{s} }

// visitor reads blocks of the tree and leaves the store's cache as it is.
type visitor struct{ *Store }

// Block implements proof.Blocks.
func (v visitor) Block(c cid.Cid) ([]byte, error) {
	d, err := proof.Digest(c)
	if err != nil {
		return nil, fmt.Errorf("block %s: %w", c, err)
	}
	if b, known := v.blocks.peek(d); known {
		return b, nil
	}
	if b, known := v.visited.get(d); known {
		return b, nil
	}
	b, err := v.node(c, d)
	if err == nil {
		v.visited.put(d, b)
	}
	return b, err
}

// node reads a block of the tree from the database.
func (s *Store) node(c cid.Cid, digest [32]byte) ([]byte, error) {
	b, err := s.get(digestKey(prefixNode, digest))
	if err != nil {
		return nil, fmt.Errorf("read block %s: %w", c, err)
	}
	if b == nil {
		return nil, fmt.Errorf("block %s: %w", c, proof.ErrNoBlock)
	}
	return b, nil
}

// get reads a copy of a key's value, or nil.
func (s *Store) get(key []byte) ([]byte, error) {
	s.life.RLock()
	defer s.life.RUnlock()
	return s.read(key)
}

// read is get for callers that hold life already: a second RLock could wait
// for a Close that waits for the first.
func (s *Store) read(key []byte) ([]byte, error) {
	if s.db == nil {
		return nil, ErrClosed
	}
	return valueOf(s.db, key)
}

// valueOf returns a copy of a key's value in a database or a snapshot of it, nil
// if there is none.
func valueOf(r pebble.Reader, key []byte) ([]byte, error) {
	v, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, len(v)), v...)
	return out, closer.Close()
}
