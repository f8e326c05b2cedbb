// Package layers computes the layers of labels of one or more sectors of one graph, in step.
//
// A layer is strictly sequential: the label of a node needs that of the node before. So the
// goroutines that label only hash, several sectors at once (internal/sha256lanes), and everything
// else is done ahead of them or behind them by others:
//
//	fillers    a ring of batches of nodes: parents computed or read from a table (see [Config]),
//	           the labels of expander parents gathered from the layer before
//	labellers  each takes the batches in order and hashes them for its share of the sectors
//	tails      one a sector: the digest of the growing layer, its file, its checkpoints
//
// A growing layer is a file beside its place, PATH.part, which is reserved on the disk at the start
// and mapped into memory. From time to time it is synced, and PATH.part.json notes how many nodes
// it holds and their digest; after a kill, a power loss or a cancellation the engine verifies them
// and goes on from there, and what does not verify is discarded. A finished layer is synced, moved
// to its place and handed to [Lane.Finish] with its digest.
//
// Sectors fail alone: an error of one, a fault in the mapping of its file included, names the file
// and leaves the others going on.
package layers

import "github.com/perdure/perdure/internal/sha256lanes"

const nodeSize = sha256lanes.NodeSize

type node = [nodeSize]byte
