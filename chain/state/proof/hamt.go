package proof

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/ipfs/go-cid"
	"github.com/minio/sha256-simd"
	cbg "github.com/whyrusleeping/cbor-gen"
)

// Most of what a block reads of the state are single records in HAMTs, and most
// of that was decoding nodes of which one pointer is wanted. What follows goes
// from node to node over their bytes: [bitfield, [pointer...]], where a pointer is
// a link to a node or a bucket [[key, value]...]. Writing and listing are the
// library's.

// hamtDepth is the number of nodes on the deepest path: one for each hamtBits of
// the key's hash.
const hamtDepth = 256 / hamtBits

var errHAMT = errors.New("malformed HAMT node")

// findBytes returns a copy of the value of a key in a HAMT, or nil.
func findBytes(blocks Blocks, top cid.Cid, id string) ([]byte, error) {
	path := sha256.Sum256([]byte(id))
	for depth := range hamtDepth {
		b, err := blocks.Block(top)
		if err != nil {
			return nil, err
		}
		next, value, err := searchNode(b, pathIndex(&path, depth), id)
		if err != nil {
			return nil, fmt.Errorf("block %s: %w", top, err)
		}
		if !next.Defined() {
			return bytes.Clone(value), nil
		}
		top = next
	}
	return nil, fmt.Errorf("%w: deeper than %d nodes", errHAMT, hamtDepth)
}

// pathIndex is the hamtBits bits of a hash that choose the pointer at a depth,
// the most significant first.
func pathIndex(path *[32]byte, depth int) int {
	at := depth * hamtBits
	var two [2]byte
	copy(two[:], path[at/8:])
	return int(binary.BigEndian.Uint16(two[:])>>(16-hamtBits-at%8)) & (1<<hamtBits - 1)
}

// searchNode looks for a key behind one pointer of a node: next is defined if
// that leads to another node; otherwise value is the key's, nil if it has none.
func searchNode(node []byte, index int, key string) (next cid.Cid, value []byte, err error) {
	r := &items{rest: node}
	if r.open(cbg.MajArray) != 2 {
		return next, nil, r.failed()
	}
	field := r.take(r.open(cbg.MajByteString))
	pointers := r.open(cbg.MajArray)
	before, set := bitsBefore(field, index)
	if !set {
		return next, nil, r.err
	}
	if before >= pointers {
		return next, nil, r.failed()
	}
	for range before {
		r.skip()
	}
	if r.atLink() {
		return r.link(), nil, r.err
	}
	value = r.search(r.open(cbg.MajArray), key)
	return next, value, r.err
}

// HAMTWidth is the number of places in a HAMT node.
const HAMTWidth = 1 << hamtBits

// HAMTLinks returns the links of a HAMT node by place. A place that holds a bucket,
// or nothing, has none.
func HAMTLinks(node []byte) (links [HAMTWidth]cid.Cid, err error) {
	r := &items{rest: node}
	if r.open(cbg.MajArray) != 2 {
		return links, r.failed()
	}
	field := r.take(r.open(cbg.MajByteString))
	pointers, set := r.open(cbg.MajArray), 0
	for _, b := range field {
		set += bits.OnesCount8(b)
	}
	if len(field) > HAMTWidth/8 || pointers != uint64(set) {
		return links, r.failed()
	}
	for i := range links {
		switch _, set := bitsBefore(field, i); {
		case !set:
		case r.atLink():
			links[i] = r.link()
		default:
			r.skip()
		}
	}
	return links, r.err
}

// bitsBefore counts the set bits of a big-endian number below one, and tells
// whether that is set.
func bitsBefore(field []byte, index int) (before uint64, set bool) {
	for i := range field {
		b, low := field[len(field)-1-i], 8*i
		switch {
		case low+8 <= index:
			before += uint64(bits.OnesCount8(b))
		case low <= index:
			before += uint64(bits.OnesCount8(b & (1<<(index-low) - 1)))
			set = b>>(index-low)&1 == 1
		}
	}
	return before, set
}

// items reads CBOR items one after the other. After an error it reads nothing.
type items struct {
	rest []byte
	err  error
}

func (r *items) failed() error {
	if r.err == nil {
		r.err = errHAMT
	}
	return r.err
}

// head reads the head of an item.
func (r *items) head() (major byte, n uint64) {
	if r.err != nil || len(r.rest) == 0 {
		r.failed()
		return 0, 0
	}
	major, n = r.rest[0]>>5, uint64(r.rest[0]&31)
	r.rest = r.rest[1:]
	if n < 24 {
		return major, n
	}
	if n > 27 {
		r.failed()
		return 0, 0
	}
	var long [8]byte
	width := 1 << (n - 24)
	copy(long[8-width:], r.take(uint64(width)))
	return major, binary.BigEndian.Uint64(long[:])
}

// open reads the head of an item of a kind and returns its number.
func (r *items) open(want byte) uint64 {
	major, n := r.head()
	if major != want {
		r.failed()
		return 0
	}
	return n
}

// atLink reports whether a link is next, by its first byte.
func (r *items) atLink() bool { return len(r.rest) > 0 && r.rest[0]>>5 == cbg.MajTag }

// link reads a link.
func (r *items) link() cid.Cid {
	if r.open(cbg.MajTag) == 42 {
		if raw := r.take(r.open(cbg.MajByteString)); len(raw) > 1 && raw[0] == 0 {
			c, err := cid.Cast(raw[1:])
			if err != nil {
				r.err = fmt.Errorf("%w: %w", errHAMT, err)
			}
			return c
		}
	}
	r.failed()
	return cid.Undef
}

// take reads n bytes.
func (r *items) take(n uint64) []byte {
	if r.err != nil || n > uint64(len(r.rest)) {
		r.failed()
		return nil
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

// skip reads a whole item.
func (r *items) skip() {
	for left := uint64(1); left > 0 && r.err == nil; left-- {
		major, n := r.head()
		switch major {
		case cbg.MajByteString, cbg.MajTextString:
			r.take(n)
		case cbg.MajTag:
			left++
		case cbg.MajArray, cbg.MajMap:
			if n > uint64(len(r.rest)) { // each of them takes a byte
				r.failed()
				return
			}
			left += n << (major - cbg.MajArray)
		}
	}
}

// search reads a bucket of so many entries up to a key and returns its value.
func (r *items) search(entries uint64, key string) []byte {
	for range entries {
		if r.open(cbg.MajArray) != 2 {
			r.failed()
			return nil
		}
		found := string(r.take(r.open(cbg.MajByteString))) == key
		from := r.rest
		r.skip()
		if r.err != nil {
			return nil
		}
		if found {
			return from[:len(from)-len(r.rest)]
		}
	}
	return nil
}
