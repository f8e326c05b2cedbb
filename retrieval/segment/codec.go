package segment

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/retrieval/car"
)

// The stored form of what Scan found, version 1:
//
//	"PSIX" || 0x01 || uvarint(payloads)
//	per payload: uvarint(len(root)) || root || uvarint(blocks)
//	per block: uvarint(len(cid)) || cid || uvarint(offset) || uvarint(length)
//	u32be CRC-32C of all bytes before it
const (
	contentsMagic   = "PSIX"
	contentsVersion = 1
	maxCID          = 128
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Marshal returns the stored form of what Scan found.
func Marshal(payloads []*car.Index) []byte {
	out := append([]byte(contentsMagic), contentsVersion)
	out = binary.AppendUvarint(out, uint64(len(payloads)))
	for _, x := range payloads {
		out = appendCID(out, x.Root())
		out = binary.AppendUvarint(out, uint64(x.Len()))
		for i := range x.Len() {
			e, _ := x.At(i)
			out = appendCID(out, e.CID)
			out = binary.AppendUvarint(out, e.Offset)
			out = binary.AppendUvarint(out, uint64(e.Length))
		}
	}
	return binary.BigEndian.AppendUint32(out, crc32.Checksum(out, castagnoli))
}

func appendCID(dst []byte, c cid.Cid) []byte {
	return append(binary.AppendUvarint(dst, uint64(c.ByteLen())), c.KeyString()...)
}

// Unmarshal reads the stored form.
func Unmarshal(stored []byte) ([]*car.Index, error) {
	body := len(stored) - 4
	if body < len(contentsMagic)+1 || string(stored[:len(contentsMagic)]) != contentsMagic || stored[len(contentsMagic)] != contentsVersion {
		return nil, fmt.Errorf("read contents of a piece: want %s of version %d", contentsMagic, contentsVersion)
	}
	if crc32.Checksum(stored[:body], castagnoli) != binary.BigEndian.Uint32(stored[body:]) {
		return nil, fmt.Errorf("read contents of a piece: checksum differs")
	}
	p := parser{rest: stored[len(contentsMagic)+1 : body]}
	var out []*car.Index
	for n := p.number(); n > 0 && p.err == nil; n-- {
		root := p.cid()
		var entries []car.Entry
		for blocks := p.number(); blocks > 0 && p.err == nil; blocks-- {
			e := car.Entry{CID: p.cid(), Offset: p.number()}
			length := p.number()
			if p.err == nil && length > car.MaxBlockSize {
				p.err = fmt.Errorf("block of %d bytes", length)
			}
			e.Length = uint32(length)
			entries = append(entries, e)
		}
		if p.err == nil {
			out = append(out, car.Place(root, entries))
		}
	}
	if p.err == nil && len(p.rest) > 0 {
		p.err = fmt.Errorf("%d bytes left over", len(p.rest))
	}
	if p.err != nil {
		return nil, fmt.Errorf("read contents of a piece: %w", p.err)
	}
	return out, nil
}

// parser takes stored contents apart; after the first error it yields nothing.
type parser struct {
	rest []byte
	err  error
}

func (p *parser) number() uint64 {
	if p.err != nil {
		return 0
	}
	v, n := binary.Uvarint(p.rest)
	if n <= 0 {
		p.err = fmt.Errorf("no number %d bytes before the end", len(p.rest))
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *parser) cid() cid.Cid {
	n := p.number()
	if p.err == nil && (n == 0 || n > maxCID || n > uint64(len(p.rest))) {
		p.err = fmt.Errorf("CID of %d bytes", n)
	}
	if p.err != nil {
		return cid.Undef
	}
	c, err := cid.Cast(p.rest[:n])
	p.err, p.rest = err, p.rest[n:]
	return c
}
