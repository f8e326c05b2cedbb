package piece

import (
	"fmt"
	"io"

	"github.com/ipfs/go-cid"
)

// Info describes a piece.
type Info struct {
	// CID is the piece CID, which holds CommP.
	CID cid.Cid
	// PaddedSize is the size of the padded piece in bytes: a power of two.
	PaddedSize uint64
	// PayloadSize is the number of raw bytes that were committed to, before the extension with
	// zeros. It is not part of the commitment.
	PayloadSize uint64
}

// chunkBlocks is how many blocks are hashed together: a power of two whose padded bytes stay in a
// core's second cache, and so many that the few nodes at the top of their tree, too few to be hashed
// in step, do not count.
const chunkBlocks = 1 << 9

const chunkPadded = chunkBlocks * paddedBlock

// Hasher computes the commitment of a piece from its raw bytes, in memory that does not depend on
// their number. The zero value is ready for use. It is not safe for concurrent use.
type Hasher struct {
	payload uint64
	partial [rawBlock]byte
	held    int // bytes in partial
	padded  [chunkPadded]byte
	filled  int // bytes in padded, less than all
	tree    stack
}

// Write takes the next raw bytes. It fails, taking none, if a piece could not hold them all.
func (h *Hasher) Write(p []byte) (int, error) {
	if uint64(len(p)) > MaxPayload(MaxPadded)-h.payload {
		return 0, fmt.Errorf("commit piece: more than %d bytes", MaxPayload(MaxPadded))
	}
	total := len(p)
	h.payload += uint64(total)
	if h.held > 0 {
		n := copy(h.partial[h.held:], p)
		h.held += n
		p = p[n:]
		if h.held < rawBlock {
			return total, nil
		}
		h.blocks(h.partial[:])
	}
	whole := len(p) / rawBlock * rawBlock
	h.blocks(p[:whole])
	h.held = copy(h.partial[:], p[whole:])
	return total, nil
}

// blocks pads whole blocks to where they are hashed, and adds the root of each chunk that becomes
// full to the tree.
func (h *Hasher) blocks(raw []byte) {
	for len(raw) > 0 {
		n := min(len(raw)/rawBlock, (chunkPadded-h.filled)/paddedBlock)
		Pad(h.padded[h.filled:][:n*paddedBlock], raw[:n*rawBlock])
		raw = raw[n*rawBlock:]
		h.filled += n * paddedBlock
		if h.filled == chunkPadded {
			h.tree.push(reduce(h.padded[:]), level(chunkPadded))
			h.filled = 0
		}
	}
}

// Sum returns the piece of the bytes written so far. More may be written afterwards.
func (h *Hasher) Sum() Info {
	padded, err := PaddedSize(h.payload)
	if err != nil {
		panic("piece: Write took more than a piece holds") // excluded by Write
	}
	tree := h.tree
	if h.filled+h.held > 0 || tree.n == 0 {
		size := min(padded, chunkPadded)
		nodes := make([]byte, size)
		end := copy(nodes, h.padded[:h.filled])
		if h.held > 0 {
			var last [rawBlock]byte
			copy(last[:], h.partial[:h.held])
			Pad(nodes[end:][:paddedBlock], last[:])
		}
		tree.push(reduce(nodes), level(size))
	}
	tree.fill(level(padded))
	return Info{CID: UnsealedCID(tree.nodes[0]), PaddedSize: padded, PayloadSize: h.payload}
}

// readBlocks is how many blocks Commit reads at a time: few enough for a core's first cache.
const readBlocks = 1 << 7

// Commit reads raw bytes to their end and returns the piece that they make, extended with zeros.
// No bytes at all make the smallest piece.
func Commit(r io.Reader) (Info, error) {
	var h Hasher
	buf := make([]byte, readBlocks*rawBlock)
	for {
		n, err := io.ReadFull(r, buf)
		if _, werr := h.Write(buf[:n]); werr != nil {
			return Info{}, werr
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return h.Sum(), nil
		default:
			return Info{}, fmt.Errorf("commit piece: after %d bytes: %w", h.payload, err)
		}
	}
}
