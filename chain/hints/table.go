package hints

import (
	"encoding/binary"
	"slices"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
)

// Hint is what a miner says: the piece holds the payload that was asked for.
type Hint struct {
	Miner chain.MinerID
	Piece cid.Cid
}

// claim is what a miner says of one piece. Of a root 8 bytes of its hash are kept:
// another root that begins alike costs whoever asks a question more.
type claim struct {
	piece cid.Cid
	roots []uint64 // ascending
}

// weight is what a claim takes in memory, in units of 8 bytes, a root each.
func (c *claim) weight() int { return len(c.roots) + claimWeight }

// claimWeight is what a claim takes beside its roots.
const claimWeight = 12

// Table holds hints in memory, of a bounded weight: a root counts one, a piece twelve. It may be used by many
// goroutines.
type Table struct {
	most int // weight

	mu    sync.RWMutex
	said  map[chain.MinerID][]claim
	sizes map[chain.MinerID]int
	size  int
}

// NewTable makes a table of at most so much weight; one is 8 bytes.
func NewTable(most int) *Table {
	return &Table{most: most, said: map[chain.MinerID][]claim{}, sizes: map[chain.MinerID]int{}}
}

// prefix is the beginning of a CID's digest: all that is kept of a root.
func prefix(c cid.Cid) uint64 {
	hash := c.Hash()
	var b [8]byte
	copy(b[:], hash[min(2, len(hash)):])
	return binary.BigEndian.Uint64(b[:])
}

// set takes what a miner says in place of what it said before. Where the table is
// full, those who say most lose what they say last.
func (t *Table) set(m chain.MinerID, said []claim) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.size -= t.sizes[m]
	delete(t.said, m)
	delete(t.sizes, m)
	if len(said) == 0 {
		return
	}
	for i := range said {
		t.sizes[m] += said[i].weight()
	}
	t.said[m] = said
	t.size += t.sizes[m]
	for t.size > t.most {
		t.shorten(t.longest())
	}
}

// longest is who says most; of several the newest miner.
func (t *Table) longest() (m chain.MinerID) {
	for id, n := range t.sizes {
		if n > t.sizes[m] || n == t.sizes[m] && id > m {
			m = id
		}
	}
	return m
}

// shorten drops the last piece that a miner speaks of.
func (t *Table) shorten(m chain.MinerID) {
	said := t.said[m]
	n := said[len(said)-1].weight()
	t.size -= n
	t.sizes[m] -= n
	if t.said[m] = said[:len(said)-1]; len(said) == 1 {
		delete(t.said, m)
		delete(t.sizes, m)
	}
}

// keep forgets the miners that which does not name.
func (t *Table) keep(which func(chain.MinerID) bool) {
	t.mu.RLock()
	var gone []chain.MinerID
	for m := range t.said {
		if !which(m) {
			gone = append(gone, m)
		}
	}
	t.mu.RUnlock()
	for _, m := range gone {
		t.set(m, nil)
	}
}

// Of returns who says that a piece of theirs holds the payload, at most limit, by
// miner.
func (t *Table) Of(root cid.Cid, limit int) []Hint {
	want := prefix(root)
	t.mu.RLock()
	defer t.mu.RUnlock()
	var out []Hint
	for m, said := range t.said {
		for _, c := range said {
			if _, ok := slices.BinarySearch(c.roots, want); ok {
				out = append(out, Hint{m, c.piece})
			}
		}
	}
	slices.SortFunc(out, func(a, b Hint) int {
		if a.Miner != b.Miner {
			return int(int64(a.Miner) - int64(b.Miner))
		}
		return slices.Compare(a.Piece.Bytes(), b.Piece.Bytes())
	})
	return out[:min(limit, len(out))]
}

// Size is the weight of what the table holds.
func (t *Table) Size() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.size
}
