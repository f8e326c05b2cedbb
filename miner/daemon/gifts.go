package daemon

import (
	"fmt"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/retrieval/seller"
)

// Words in the config's list of what is free.
const (
	wordAll    = "all"
	wordPublic = "public"
)

// gifts is what is free whatever the price: everything, some roots, or what its
// client wants to be free.
type gifts struct {
	all   bool
	roots map[cid.Cid]bool

	wishes  bool // of clients are granted
	records miner.Records
	mu      sync.Mutex
	read    bool
	changes uint64           // of the records when they were read
	wished  map[cid.Cid]bool // pieces and roots of deals whose client wants it
}

// newGifts reads the config's list.
func newGifts(texts []string, records miner.Records) (*gifts, error) {
	g := &gifts{roots: map[cid.Cid]bool{}, records: records}
	for _, text := range texts {
		switch text {
		case wordAll:
			g.all = true
		case wordPublic:
			g.wishes = true
		default:
			c, err := cid.Decode(text)
			if err != nil {
				return nil, fmt.Errorf("public.free: %q is no root, and not %q or %q: %w", text, wordPublic, wordAll, err)
			}
			g.roots[rootV1(c)] = true
		}
	}
	return g, nil
}

// has reports whether an item is free.
func (g *gifts) has(item seller.Item) (bool, error) {
	if g.all || g.roots[rootV1(item.Root)] || !g.wishes {
		return g.all || g.roots[rootV1(item.Root)], nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := g.records.Changes(); !g.read || now != g.changes { // reading them takes all deals
		if err := g.readWishes(); err != nil {
			return false, err
		}
		g.read, g.changes = true, now
	}
	return g.wished[item.Piece] || g.wished[rootV1(item.Root)], nil
}

func (g *gifts) readWishes() error {
	all, err := g.records.Deals()
	if err != nil {
		return fmt.Errorf("read what clients want to be free: %w", err)
	}
	g.wished = map[cid.Cid]bool{}
	for _, d := range all {
		if d.Deal.Public && held(d.State) {
			g.wished[d.Deal.PieceCID], g.wished[d.Deal.PayloadRoot] = true, true
		}
	}
	delete(g.wished, cid.Undef) // an item may name only one of the two
	return nil
}

// rootV1 is how roots stand in deals: as CIDs of version 1.
func rootV1(c cid.Cid) cid.Cid {
	if c.Defined() && c.Version() == 0 {
		return cid.NewCidV1(c.Type(), c.Hash())
	}
	return c
}
