package dag

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/retrieval/car"
)

// maxShards is the most nodes that one sharded directory may have. MaxPending
// entries need about a hundred thousand.
const maxShards = 1 << 18

// Entry is one name in a directory.
type Entry struct {
	// Name is one path element: not empty, not "." or "..", without a slash
	// or a zero byte. Other bytes are as the author put them.
	Name string
	// CID is the root of the file, directory or symlink.
	CID cid.Cid
}

// List returns the entries of a directory, sharded or not, sorted by the bytes
// of their names. Names that no file system could hold, and the same name
// twice, are refused. It holds one directory in memory.
func List(ctx context.Context, get Get, dir cid.Cid) ([]Entry, error) {
	l := lister{ctx: ctx, get: get}
	if err := l.add(dir, 0); err != nil {
		return nil, car.Named("list directory", dir, err)
	}
	slices.SortFunc(l.entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(l.entries); i++ {
		if l.entries[i].Name == l.entries[i-1].Name {
			return nil, car.Named("list directory", dir, fmt.Errorf("%w: %q stands in it twice", ErrMalformed, l.entries[i].Name))
		}
	}
	return l.entries, nil
}

// Readlink returns the target of a symlink.
func Readlink(ctx context.Context, get Get, c cid.Cid) (string, error) {
	node, err := Load(ctx, get, c)
	if err != nil {
		return "", car.Named("read link", c, err)
	}
	if node.Kind != KindSymlink {
		return "", car.Named("read link", c, fmt.Errorf("%w: it is a %s", ErrMalformed, node.Kind))
	}
	return string(node.Data), nil
}

// KindOf gets a block and says what it is the root of; a sharded directory is
// a KindDirectory.
func KindOf(ctx context.Context, get Get, c cid.Cid) (Kind, error) {
	node, err := Load(ctx, get, c)
	if err != nil {
		return 0, err
	}
	if node.Kind == KindShard {
		return KindDirectory, nil
	}
	return node.Kind, nil
}

type lister struct {
	ctx     context.Context
	get     Get
	entries []Entry
	nodes   int
}

// add takes over the entries of a directory node, or of a shard and those
// below it.
func (l *lister) add(c cid.Cid, depth int) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	if depth > MaxDepth {
		return car.Named("shard", c, fmt.Errorf("%w: deeper than %d levels", ErrTooLarge, MaxDepth))
	}
	if l.nodes++; l.nodes > maxShards {
		return fmt.Errorf("more than %d shards: %w", maxShards, ErrTooLarge)
	}
	node, err := Load(l.ctx, l.get, c)
	if err != nil {
		return err
	}
	switch {
	case node.Kind == KindDirectory && depth == 0:
		for _, link := range node.Links {
			if err := l.entry(link.Name, link.CID); err != nil {
				return err
			}
		}
		return nil
	case node.Kind == KindShard:
		return l.shard(c, node, depth)
	default:
		return malformed(c, "a %s where a directory is due", node.Kind)
	}
}

func (l *lister) shard(c cid.Cid, node *Node, depth int) error {
	digits := len(fmt.Sprintf("%X", node.width-1))
	for _, link := range node.Links {
		if len(link.Name) < digits {
			return car.Named("shard", c, fmt.Errorf("%w: link %q names no bucket", ErrMalformed, link.Name))
		}
		var err error
		if name := link.Name[digits:]; name == "" {
			err = l.add(link.CID, depth+1)
		} else {
			err = l.entry(name, link.CID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *lister) entry(name string, c cid.Cid) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("%w: name %q", ErrMalformed, name)
	}
	if len(l.entries) == MaxPending {
		return fmt.Errorf("more than %d entries: %w", MaxPending, ErrTooLarge)
	}
	l.entries = append(l.entries, Entry{Name: name, CID: c})
	return nil
}
