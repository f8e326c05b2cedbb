package retrieval

import (
	"encoding/binary"

	"github.com/ipfs/go-cid"
)

// Block is one block with its name.
type Block struct {
	CID  cid.Cid
	Data []byte
}

// Chunk carries a run of whole blocks (seller to buyer); one tick pays for it.
// Its frame is not CBOR, so that block bytes are never copied:
//
//	0x06 || u64be want || u32be blocks
//	per block: u8 len(cid) || cid || u32be len(data)
//	data of all blocks, one after the other
type Chunk struct {
	Want   uint64
	Blocks []Block
}

const (
	chunkHead = 1 + 8 + 4
	blockHead = 1 + 4
)

// FrameHead is the bytes before a frame on a stream: its length, u32be.
const FrameHead = 4

// ChunkFrame lays out the frame of a chunk whose blocks are to have these sizes,
// behind FrameHead bytes of room for its length, and points each block's Data
// into it: the caller reads the bytes straight to where they are sent from. buf
// is used if it is large enough.
func ChunkFrame(want uint64, blocks []Block, sizes []uint32, buf []byte) []byte {
	total := FrameHead + chunkHead
	for i, b := range blocks {
		total += blockHead + b.CID.ByteLen() + int(sizes[i])
	}
	if cap(buf) < total {
		buf = make([]byte, 0, total)
	}
	f := append(buf[:0], make([]byte, FrameHead)...)
	f = append(f, byte(KindChunk))
	f = binary.BigEndian.AppendUint64(f, want)
	f = binary.BigEndian.AppendUint32(f, uint32(len(blocks)))
	for i, b := range blocks {
		f = append(f, byte(b.CID.ByteLen()))
		f = append(f, b.CID.KeyString()...)
		f = binary.BigEndian.AppendUint32(f, sizes[i])
	}
	at := len(f)
	f = f[:total]
	for i := range blocks {
		end := at + int(sizes[i])
		blocks[i].Data = f[at:end:end]
		at = end
	}
	return f
}

func (c *Chunk) encode() []byte {
	sizes := make([]uint32, len(c.Blocks))
	placed := make([]Block, len(c.Blocks))
	for i, b := range c.Blocks {
		sizes[i], placed[i].CID = uint32(len(b.Data)), b.CID
	}
	f := ChunkFrame(c.Want, placed, sizes, nil)
	for i, b := range c.Blocks {
		copy(placed[i].Data, b.Data)
	}
	return f[FrameHead:]
}

// Bytes is the number of block bytes.
func (c *Chunk) Bytes() uint64 {
	var n uint64
	for _, b := range c.Blocks {
		n += uint64(len(b.Data))
	}
	return n
}

// Validate checks the limits of a chunk: at least one block, and no block that
// would have begun a chunk of its own.
func (c *Chunk) Validate() error {
	if len(c.Blocks) == 0 {
		return malformed("chunk without a block")
	}
	var p Packer
	for i, b := range c.Blocks {
		if err := checkCID(b.CID); err != nil {
			return err
		}
		if len(b.Data) > MaxBlock {
			return malformed("block of %d bytes, at most %d are taken", len(b.Data), MaxBlock)
		}
		if p.Add(uint64(len(b.Data))) && i > 0 {
			return malformed("chunk over its size at block %d", i)
		}
	}
	return nil
}

func decodeChunk(frame []byte) (*Chunk, error) {
	if len(frame) < chunkHead {
		return nil, malformed("chunk ends within its head")
	}
	c := &Chunk{Want: binary.BigEndian.Uint64(frame[1:])}
	count := binary.BigEndian.Uint32(frame[9:])
	if count == 0 || count > MaxChunkBlocks {
		return nil, malformed("chunk of %d blocks, want 1 to %d", count, MaxChunkBlocks)
	}
	rest := frame[chunkHead:]
	sizes := make([]uint64, count)
	c.Blocks = make([]Block, count)
	var total uint64
	for i := range c.Blocks {
		if len(rest) == 0 || len(rest) < int(rest[0])+blockHead {
			return nil, malformed("chunk ends within the head of block %d", i)
		}
		n := int(rest[0])
		id, err := cid.Cast(rest[1 : 1+n])
		if err != nil {
			return nil, malformed("block %d: %w", i, err)
		}
		c.Blocks[i].CID = id
		sizes[i] = uint64(binary.BigEndian.Uint32(rest[1+n:]))
		total += sizes[i]
		rest = rest[blockHead+n:]
	}
	if total != uint64(len(rest)) {
		return nil, malformed("chunk announces %d bytes and has %d", total, len(rest))
	}
	for i, size := range sizes {
		c.Blocks[i].Data = rest[:size:size]
		rest = rest[size:]
	}
	return c, c.Validate()
}
