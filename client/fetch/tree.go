package fetch

import (
	"context"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/dag"
)

// window is the most blocks that a Tree names at one time.
const window = 512

// Tree goes through a directory with all below it. It names the blocks that a
// Store lacks, as far as they are directories, links, files of one block, and the
// tops of larger files; those files it lists for themselves. It keeps to the
// order of the directory as far as what is there allows, so that what is read
// first comes first.
type Tree struct {
	ctx   context.Context
	store *Store
	stack []cid.Cid // not looked at yet, the next one last
	need  []cid.Cid // of the present window, not there yet
	files []cid.Cid // whose blocks below the top are to be fetched
	met   map[string]struct{}
}

// NewTree begins at a root.
func (s *Store) NewTree(ctx context.Context, root cid.Cid) (*Tree, error) {
	if err := dag.Check(root); err != nil {
		return nil, car.Named("fetch", root, err)
	}
	t := &Tree{ctx: ctx, store: s, stack: []cid.Cid{root}, met: map[string]struct{}{root.KeyString(): {}}}
	return t, t.Advance()
}

// Need returns the blocks of the present window. When the Store has all of them,
// Advance goes on.
func (t *Tree) Need() []cid.Cid { return t.need }

// Files returns the roots of files that were met since it was last called.
func (t *Tree) Files() []cid.Cid {
	out := t.files
	t.files = nil
	return out
}

// Advance takes the blocks of the window, which are there now, apart and fills
// the next one. Need is empty then if there are no more.
func (t *Tree) Advance() error {
	for _, c := range slices.Backward(t.need) {
		t.stack = append(t.stack, c)
	}
	t.need = nil
	for len(t.stack) > 0 && len(t.need) < window {
		c := t.stack[len(t.stack)-1]
		t.stack = t.stack[:len(t.stack)-1]
		if !t.store.Has(c) {
			t.need = append(t.need, c)
			continue
		}
		if err := t.take(c); err != nil {
			return err
		}
	}
	return nil
}

// take puts the children of a block on the stack, each once, or lists the file
// that it is the top of.
func (t *Tree) take(c cid.Cid) error {
	if c.Prefix().Codec == cid.Raw {
		return nil
	}
	node, err := dag.Load(t.ctx, t.store.Get, c)
	if err != nil {
		return err
	}
	if node.Kind == dag.KindFile {
		if len(node.Links) > 0 {
			t.files = append(t.files, c)
		}
		return nil
	}
	if len(t.stack)+len(node.Links) > dag.MaxPending {
		return car.Named("directory", c, fmt.Errorf("more than %d links open: %w", dag.MaxPending, dag.ErrTooLarge))
	}
	for _, link := range slices.Backward(node.Links) {
		if err := dag.Check(link.CID); err != nil {
			return car.Named("directory", c, fmt.Errorf("link to %s: %w", link.CID, err))
		}
		key := link.CID.KeyString()
		if _, known := t.met[key]; !known {
			t.met[key] = struct{}{}
			t.stack = append(t.stack, link.CID)
		}
	}
	return nil
}
