package gateway

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"

	"github.com/multiformats/go-varint"

	"github.com/perdure/perdure/retrieval/car"
)

// place is where the data of a block stands in an archive, in bytes.
type place struct {
	offset uint64
	length uint32
}

// index finds blocks by their multihash, whatever codec a CID gives them. It
// takes about 150 bytes a block in memory.
type index map[string]place

// The stored form of an index, version 1, blocks by multihash:
//
//	"GIDX" || 0x01 || uvarint(blocks)
//	per block: uvarint(len(multihash)) || multihash || uvarint(offset) || uvarint(length)
//	u32be CRC-32C of all bytes before it
const indexHead = "GIDX\x01"

// maxMultihash bounds one multihash; a sha2-256 has 34 bytes.
const maxMultihash = 256

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errIndex   = errors.New("no index of this version")
)

// marshal returns the stored form.
func (x index) marshal() []byte {
	out := append([]byte(indexHead), varint.ToUvarint(uint64(len(x)))...)
	for _, hash := range slices.Sorted(maps.Keys(x)) {
		p := x[hash]
		out = append(out, varint.ToUvarint(uint64(len(hash)))...)
		out = append(out, hash...)
		out = append(out, varint.ToUvarint(p.offset)...)
		out = append(out, varint.ToUvarint(uint64(p.length))...)
	}
	return binary.BigEndian.AppendUint32(out, crc32.Checksum(out, castagnoli))
}

// parseIndex reads the stored form of the index of an archive of size bytes.
func parseIndex(raw []byte, size uint64) (index, error) {
	body := len(raw) - 4
	if body < len(indexHead) || string(raw[:len(indexHead)]) != indexHead {
		return nil, errIndex
	}
	if crc32.Checksum(raw[:body], castagnoli) != binary.BigEndian.Uint32(raw[body:]) {
		return nil, fmt.Errorf("%w: checksum differs", errIndex)
	}
	p := indexParser{rest: raw[len(indexHead):body]}
	count := p.number()
	if count > uint64(len(raw)) {
		return nil, fmt.Errorf("%w: %d blocks in %d bytes", errIndex, count, len(raw))
	}
	x := make(index, count)
	for range count {
		hash := p.take(min(p.number(), maxMultihash+1))
		at := place{offset: p.number()}
		length := p.number()
		if p.failed || length > car.MaxBlockSize || at.offset > size || length > size-at.offset || len(hash) > maxMultihash {
			return nil, fmt.Errorf("%w: block %d", errIndex, len(x))
		}
		at.length = uint32(length)
		x[string(hash)] = at
	}
	if p.failed || len(p.rest) > 0 || uint64(len(x)) != count {
		return nil, fmt.Errorf("%w: %d bytes left over", errIndex, len(p.rest))
	}
	return x, nil
}

// indexParser takes a stored index apart; once it failed it yields nothing.
type indexParser struct {
	rest   []byte
	failed bool
}

func (p *indexParser) number() uint64 {
	v, n, err := varint.FromUvarint(p.rest)
	if p.failed = p.failed || err != nil; p.failed {
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *indexParser) take(n uint64) []byte {
	if p.failed = p.failed || n > uint64(len(p.rest)); p.failed {
		return nil
	}
	out := p.rest[:n]
	p.rest = p.rest[n:]
	return out
}
