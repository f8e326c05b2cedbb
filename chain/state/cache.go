package state

import "sync"

// cacheBytes bounds what one of the two generations of blocks holds.
const cacheBytes = 16 << 20

// cacheOverhead is about what a block costs beside its bytes.
const cacheOverhead = 96

// blockCache holds blocks of the tree that were read or written lately: those
// near the roots of the tables, which every block of the chain passes. What was
// asked for least lately goes a generation at a time. Blocks never change.
type blockCache struct {
	mu       sync.Mutex
	now, old map[[32]byte][]byte
	size     int // of now
}

func (c *blockCache) get(d [32]byte) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, fresh, known := c.look(d)
	if known && !fresh {
		c.keep(d, b)
	}
	return b, known
}

// peek is get for readers who are not to keep a block in memory.
func (c *blockCache) peek(d [32]byte) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, _, known := c.look(d)
	return b, known
}

// look finds a block in either generation; fresh: in the new one.
func (c *blockCache) look(d [32]byte) (b []byte, fresh, known bool) {
	if b, fresh = c.now[d]; fresh {
		return b, true, true
	}
	b, known = c.old[d]
	return b, false, known
}

func (c *blockCache) put(d [32]byte, b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(d, b)
}

func (c *blockCache) keep(d [32]byte, b []byte) {
	if c.now == nil || c.size > cacheBytes {
		c.now, c.old, c.size = map[[32]byte][]byte{}, c.now, 0
	}
	c.size += len(b) + cacheOverhead
	c.now[d] = b
}
