package gateway

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	ipfs "github.com/ipfs/boxo/gateway"
	"github.com/ipfs/go-cid"
	"google.golang.org/protobuf/encoding/protowire"
)

// What the author of a payload, who may be anybody, can make a reader of it do:
// recurse along a chain of blocks, keeping at each the whole way to it, until its
// memory or its stack is full, which ends a Go program for good (5 MB of content do
// it); decode a block of numbers into objects of fifty times its size; list a
// directory of a million entries. A walk is what one request reads, within bounds.

const (
	// maxSegments is the most components of a path. Each is resolved from the root.
	maxSegments = 128
	// maxDepth is the most levels of dag-pb nodes below each other. A balanced file
	// of 2^64 bytes has nine.
	maxDepth = 256
	// maxFrames is the most calls below each other from which a block is read, about
	// 750 levels of documents, whatever recurses.
	maxFrames = 3_000
)

// What an answer takes up in memory while it is under way, about.
const (
	blockMemory   = 256 // bytes for a block of an archive: its CID is remembered
	listMemory    = 8   // bytes for a byte of a directory that is listed
	decodeMemory  = 32  // bytes for a byte of a node of JSON or CBOR
	showMemory    = 160 // the same if it is shown as a page
	windowedReads = 12  // blocks of a file that are read ahead
)

// Why a walk may not go on.
var (
	errDeep  = ipfs.NewErrorStatusCode(fmt.Errorf("content of more than %d levels is not read here", maxDepth), http.StatusNotImplemented)
	errBusy  = ipfs.NewErrorStatusCode(errors.New("the answers under way, or those to this client, take up all memory that they may"), http.StatusServiceUnavailable)
	errEnded = errors.New("the request has ended")
)

// busyWait is when clients are told to ask again for what would take too much.
const busyWait = 5 * time.Second

// reading is what a walk is for: it says what is kept of each block.
type reading int

const (
	resolving reading = iota
	serving           // a file, or the list of a directory
	archiving
)

// walk is what one request reads. It may be used by many goroutines.
type walk struct {
	memory *memory
	client string

	mu     sync.Mutex
	what   reading
	page   bool // is asked for, for people
	taken  int64
	window int // length of the longest block of a file so far
	ended  bool
	why    *ipfs.ErrorStatusCode // a block was refused, the first time
	levels levels
}

type walkKey struct{}

// begin starts the walk of a request.
func (m *memory) begin(r *http.Request) (*http.Request, *walk) {
	w := &walk{memory: m, client: client(r.RemoteAddr), page: strings.Contains(r.Header.Get("Accept"), "text/html")}
	return r.WithContext(context.WithValue(r.Context(), walkKey{}, w)), w
}

// end gives back what the walk took up. Whoever still reads for it reads no more.
func (w *walk) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	w.memory.give(w.client, w.taken)
	w.taken = 0
}

// walkOf returns the walk of a request, or nil if none was begun.
func walkOf(ctx context.Context) *walk {
	w, _ := ctx.Value(walkKey{}).(*walk)
	return w
}

// turn says what the walk is for from now on.
func (w *walk) turn(what reading) {
	if w != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.what = what
	}
}

// visit lets a block pass, or says why the walk may not go on.
func (w *walk) visit(c cid.Cid, data []byte) error {
	var frame [1]uintptr
	deep := runtime.Callers(maxFrames, frame[:]) > 0
	w.mu.Lock()
	defer w.mu.Unlock()
	node := parseNode(c, data)
	n := w.cost(c, node, len(data))
	switch {
	case w.ended:
		return errEnded
	case deep || !w.levels.enter(c, node):
		return w.refuse(errDeep)
	case !w.memory.take(w.client, n):
		return w.refuse(errBusy)
	}
	w.taken += n
	return nil
}

func (w *walk) refuse(why *ipfs.ErrorStatusCode) error {
	if w.why == nil {
		w.why = why
	}
	return why
}

// refusal is why a block of the walk was refused, or nil.
func (w *walk) refusal() *ipfs.ErrorStatusCode {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.why
}

// cost is how many bytes of memory a block adds to what the request takes up.
func (w *walk) cost(c cid.Cid, node pbNode, size int) int64 {
	n := int64(size)
	switch c.Type() {
	case cid.DagCBOR, cid.DagJSON, codecJSON, codecCBOR:
		if w.page {
			return n * showMemory
		}
		return n * decodeMemory
	}
	switch {
	case w.what == archiving:
		return blockMemory
	case w.what != serving:
		return 0
	case node.directory:
		return n * listMemory
	case size <= w.window:
		return 0
	}
	grown := size - w.window
	w.window = size
	return int64(grown) * windowedReads
}

// The codecs of the multicodec table that package cid has no names for.
const (
	codecCBOR = 0x51
	codecJSON = 0x0200
)

// pbNode is what a walk has to know of a dag-pb node.
type pbNode struct {
	links     []cid.Cid // to nodes that may have links themselves
	directory bool
}

// The fields of dag-pb and of UnixFS, and the kinds of UnixFS nodes that list entries.
const (
	fieldData, fieldLinks, fieldHash = 1, 2, 1
	fieldKind                        = 1
	kindDirectory, kindShard         = 1, 5
)

// parseNode takes a node apart as far as it goes: whoever uses it refuses one that
// is malformed. Blocks of other codecs have no links that count.
func parseNode(c cid.Cid, data []byte) (node pbNode) {
	if c.Type() != cid.DagProtobuf {
		return node
	}
	fields(data, func(field protowire.Number, value []byte, _ uint64) {
		switch field {
		case fieldData:
			fields(value, func(field protowire.Number, _ []byte, kind uint64) {
				node.directory = node.directory || field == fieldKind && (kind == kindDirectory || kind == kindShard)
			})
		case fieldLinks:
			fields(value, func(field protowire.Number, hash []byte, _ uint64) {
				if child, err := cid.Cast(hash); field == fieldHash && err == nil && child.Type() == cid.DagProtobuf {
					node.links = append(node.links, child)
				}
			})
		}
	})
	return node
}

// fields calls with each field of a protobuf message: its bytes, or its number.
func fields(message []byte, call func(field protowire.Number, value []byte, number uint64)) {
	for len(message) > 0 {
		field, wire, n := protowire.ConsumeTag(message)
		if n < 0 {
			return
		}
		message = message[n:]
		switch wire {
		case protowire.BytesType:
			value, n := protowire.ConsumeBytes(message)
			if n < 0 {
				return
			}
			call(field, value, 0)
			message = message[n:]
		case protowire.VarintType:
			number, n := protowire.ConsumeVarint(message)
			if n < 0 {
				return
			}
			call(field, nil, number)
			message = message[n:]
		default:
			return
		}
	}
}

// maxLevels is how many nodes' levels are remembered in each of two generations.
const maxLevels = 4096

// levels knows how deep in a payload nodes stand that are about to be read. It
// forgets what was linked long ago: walks go down before they go on.
type levels struct{ young, old map[uint64]int }

// levelSeed keeps strangers from finding CIDs that levels takes for each other.
var levelSeed = maphash.MakeSeed()

// enter takes note of the links of a node. It reports false if the node stands too deep.
func (l *levels) enter(c cid.Cid, node pbNode) bool {
	if len(node.links) == 0 {
		return true
	}
	key := maphash.Bytes(levelSeed, c.Hash())
	level, ok := l.young[key]
	if !ok {
		level = l.old[key]
	}
	if level >= maxDepth {
		return false
	}
	for _, child := range node.links {
		if l.young == nil || len(l.young) >= maxLevels {
			l.young, l.old = map[uint64]int{}, l.young
		}
		l.young[maphash.Bytes(levelSeed, child.Hash())] = level + 1
	}
	return true
}
