package fetch

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/spaolacci/murmur3"

	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/dag"
)

// ErrNoEntry is wrapped by Resolve when a directory on the path has no such name.
var ErrNoEntry = errors.New("no such name in the directory")

// SplitPath takes "CID/dir/file", with or without "/ipfs/" before it, apart into
// the root and the names below it. Empty names, "." and ".." are refused.
func SplitPath(text string) (root string, names []string, err error) {
	trimmed := strings.TrimPrefix(text, "/ipfs/")
	root, below, _ := strings.Cut(strings.TrimSuffix(trimmed, "/"), "/")
	if below == "" {
		return root, nil, nil
	}
	names = strings.Split(below, "/")
	for _, name := range names {
		if name == "" || name == "." || name == ".." {
			return "", nil, fmt.Errorf("path %q: no directory has an entry %q", text, name)
		}
	}
	return root, names, nil
}

// Resolve follows names through directories from a root down, plain or sharded,
// and returns the CID that the last one stands for. get fetches what is not there;
// of a sharded directory it is asked for the shards on the way alone. An error names
// how far on the path it was, and not the root.
func Resolve(ctx context.Context, get dag.Get, root cid.Cid, names []string) (cid.Cid, error) {
	at := root
	for i, name := range names {
		next, err := entry(ctx, get, at, name)
		if err != nil {
			return cid.Undef, fmt.Errorf("%s: %w", strings.Join(names[:i+1], "/"), car.Unnamed(root, err))
		}
		at = next
	}
	return at, nil
}

// entry finds a name in a directory.
func entry(ctx context.Context, get dag.Get, dir cid.Cid, name string) (cid.Cid, error) {
	bits := hashBits{hash: murmur3.Sum64([]byte(name)), left: 64}
	for {
		node, err := dag.Load(ctx, get, dir)
		if err != nil {
			return cid.Undef, err
		}
		switch node.Kind {
		case dag.KindDirectory:
			return named(node, name)
		case dag.KindShard:
		default:
			return cid.Undef, fmt.Errorf("what is above it is a %s, not a directory", node.Kind)
		}
		bucket, digits, err := bits.bucket(node)
		if err != nil {
			return cid.Undef, car.Named("shard", dir, err)
		}
		prefix := fmt.Sprintf("%0*X", digits, bucket)
		found := cid.Undef
		for _, link := range node.Links {
			switch link.Name {
			case prefix + name:
				return link.CID, nil
			case prefix:
				found = link.CID
			}
		}
		if !found.Defined() {
			return cid.Undef, ErrNoEntry
		}
		dir = found
	}
}

func named(node *dag.Node, name string) (cid.Cid, error) {
	for _, link := range node.Links {
		if link.Name == name {
			return link.CID, nil
		}
	}
	return cid.Undef, ErrNoEntry
}

// hashBits is the hash of a name, taken from its highest bits on.
type hashBits struct {
	hash uint64
	left int
}

// bucket is where a shard keeps the name, and how many hexadecimal digits its
// buckets have.
func (h *hashBits) bucket(node *dag.Node) (bucket uint64, digits int, err error) {
	width := node.Width()
	take := 0
	for 1<<take < width {
		take++
	}
	if take > h.left {
		return 0, 0, fmt.Errorf("%w: deeper than its hashes reach", dag.ErrTooLarge)
	}
	h.left -= take
	return h.hash >> h.left & (1<<take - 1), len(fmt.Sprintf("%X", width-1)), nil
}
