package piece

import "fmt"

// ChunkPayload is how many raw bytes a chunk of a piece has. Chunks stand one after the other from
// the start of the piece, and their nodes can be computed in any order, and at once: [ChunkRoot]
// gives one, [JoinChunks] makes the piece of all.
const ChunkPayload = chunkBlocks * rawBlock

// chunkLevels is how many levels of the tree a chunk has above its blocks.
const chunkLevels = 9

// ChunkRoot returns the node over a chunk, given its raw bytes. Those that are missing are zeros.
func ChunkRoot(raw []byte) [32]byte {
	var padded [chunkPadded]byte
	padChunk(&padded, raw)
	return reduce(padded[:])
}

// padChunk pads at most ChunkPayload raw bytes to a chunk of zeros.
func padChunk(padded *[chunkPadded]byte, raw []byte) {
	whole := len(raw) / rawBlock
	Pad(padded[:whole*paddedBlock], raw[:whole*rawBlock])
	if rest := raw[whole*rawBlock:]; len(rest) > 0 {
		var last [rawBlock]byte
		copy(last[:], rest)
		Pad(padded[whole*paddedBlock:][:paddedBlock], last[:])
	}
}

// ChunkRest is what of a chunk is needed to know its node once the first HeadPayload bytes are
// known: the nodes beside the path from there to the root, the lowest first.
type ChunkRest [chunkLevels][32]byte

// HeadPayload is how many raw bytes stand before those that a ChunkRest is of.
const HeadPayload = rawBlock

// RestOf returns the rest of a chunk, given its raw bytes. The first HeadPayload do not count.
func RestOf(raw []byte) *ChunkRest {
	var padded [chunkPadded]byte
	padChunk(&padded, raw)
	rest := new(ChunkRest)
	for i := range rest {
		rest[i] = reduce(padded[paddedBlock<<i : paddedBlock<<(i+1)])
	}
	return rest
}

// Root returns the node over the chunk with these first bytes.
func (r *ChunkRest) Root(head *[HeadPayload]byte) [32]byte {
	var padded [paddedBlock]byte
	Pad(padded[:], head[:])
	node := reduce(padded[:])
	for i := range r {
		node = join(&node, &r[i])
	}
	return node
}

// LeastChunked is the least raw bytes of which a piece has whole chunks. One of fewer is smaller
// than a chunk: [Commit] makes it.
const LeastChunked = ChunkPayload/2 + 1

// JoinChunks returns the piece of payload raw bytes, at least LeastChunked, given the node over
// each of its chunks.
func JoinChunks(payload uint64, roots [][32]byte) (Info, error) {
	padded, err := PaddedSize(payload)
	if err != nil {
		return Info{}, err
	}
	want := (payload + ChunkPayload - 1) / ChunkPayload
	switch {
	case payload < LeastChunked:
		return Info{}, fmt.Errorf("join piece: %d bytes have no whole chunk", payload)
	case want != uint64(len(roots)):
		return Info{}, fmt.Errorf("join piece: %d chunks for %d bytes, want %d", len(roots), payload, want)
	}
	var tree stack
	for i := range roots {
		tree.push(roots[i], level(chunkPadded))
	}
	tree.fill(level(padded))
	return Info{CID: UnsealedCID(tree.nodes[0]), PaddedSize: padded, PayloadSize: payload}, nil
}
