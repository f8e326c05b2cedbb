package car

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
	"github.com/multiformats/go-varint"
)

// The stored form of an index, version 1:
//
//	"PCIX" || 0x01 || uvarint(len(root)) || root || uvarint(blocks)
//	per block: kind || name || uvarint(length of data)
//	u32be CRC-32C of all bytes before it
//
// kind 0x55 and 0x70 stand for a sha2-256 CIDv1 of codec raw and dag-pb, whose
// name is the 32-byte digest; kind 0 is any other CID, whose name is
// uvarint(len(cid)) || cid. Offsets follow from the lengths and are not stored.
const (
	indexMagic   = "PCIX"
	indexVersion = 1
	kindOther    = 0
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// MarshalBinary returns the stored form of the index, about 36 bytes a block.
func (x *Index) MarshalBinary() ([]byte, error) {
	switch x.form {
	case formFlat:
		return x.marshalFlat(), nil
	case formPlaced:
		return nil, fmt.Errorf("write index of %s: one of a payload in a larger file has no stored form", x.root)
	}
	out := make([]byte, 0, 64+37*len(x.entries))
	out = append(append(out, indexMagic...), indexVersion)
	out = appendCID(out, x.root)
	out = append(out, varint.ToUvarint(uint64(len(x.entries)))...)
	for _, e := range x.entries {
		if kind := shortKind(e.CID); kind != kindOther {
			out = append(append(out, kind), e.CID.Hash()[2:]...)
		} else {
			out = appendCID(append(out, kindOther), e.CID)
		}
		out = append(out, varint.ToUvarint(uint64(e.Length))...)
	}
	return binary.BigEndian.AppendUint32(out, crc32.Checksum(out, castagnoli)), nil
}

// UnmarshalIndex reads the stored form. Every index has one: other bytes that
// would mean the same are refused.
func UnmarshalIndex(raw []byte) (*Index, error) {
	if len(raw) > len(flatMagic) && string(raw[:len(flatMagic)]) == flatMagic {
		return unmarshalFlat(raw)
	}
	body := len(raw) - 4
	if body < len(indexMagic)+1 || string(raw[:len(indexMagic)]) != indexMagic {
		return nil, fmt.Errorf("read index: %w: no index", ErrMalformed)
	}
	if v := raw[len(indexMagic)]; v != indexVersion {
		return nil, fmt.Errorf("read index: %w: version %d, known is %d", ErrMalformed, v, indexVersion)
	}
	if crc32.Checksum(raw[:body], castagnoli) != binary.BigEndian.Uint32(raw[body:]) {
		return nil, fmt.Errorf("read index: %w: checksum differs", ErrMalformed)
	}
	p := indexParser{rest: raw[len(indexMagic)+1 : body]}
	x := newIndex(p.fullCID())
	count := p.uvarint()
	for i := uint64(0); i < count && p.err == nil; i++ {
		c := p.entryCID()
		length := p.uvarint()
		if p.err == nil && length > MaxBlockSize {
			p.err = fmt.Errorf("block of %d bytes: %w", length, ErrTooLarge)
		}
		if p.err == nil {
			x.add(c, uint32(length))
		}
	}
	if p.err == nil && len(p.rest) > 0 {
		p.err = fmt.Errorf("%d bytes left over", len(p.rest))
	}
	if p.err != nil {
		return nil, fmt.Errorf("read index: block %d: %w: %w", x.Len(), ErrMalformed, p.err)
	}
	return x, nil
}

// shortKind is the kind byte of a CID that is stored by its digest alone.
func shortKind(c cid.Cid) byte {
	p := c.Prefix()
	if p.Version == 1 && p.MhType == mh.SHA2_256 && p.MhLength == 32 && (p.Codec == cid.Raw || p.Codec == cid.DagProtobuf) {
		return byte(p.Codec)
	}
	return kindOther
}

func appendCID(dst []byte, c cid.Cid) []byte {
	dst = append(dst, varint.ToUvarint(uint64(c.ByteLen()))...)
	return append(dst, c.KeyString()...)
}

// indexParser takes a stored index apart; after the first error it yields
// nothing.
type indexParser struct {
	rest []byte
	err  error
}

func (p *indexParser) uvarint() uint64 {
	if p.err != nil {
		return 0
	}
	v, n, err := varint.FromUvarint(p.rest)
	if err != nil {
		p.err = err
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *indexParser) take(n uint64) []byte {
	if p.err == nil && uint64(len(p.rest)) < n {
		p.err = fmt.Errorf("ends %d bytes early", n-uint64(len(p.rest)))
	}
	if p.err != nil {
		return nil
	}
	out := p.rest[:n]
	p.rest = p.rest[n:]
	return out
}

func (p *indexParser) fullCID() cid.Cid {
	n := p.uvarint()
	if p.err == nil && (n == 0 || n > maxCIDSize) {
		p.err = fmt.Errorf("CID of %d bytes", n)
	}
	raw := p.take(n)
	if p.err != nil {
		return cid.Undef
	}
	c, err := cid.Cast(raw)
	if err != nil {
		p.err = err
	}
	return c
}

func (p *indexParser) entryCID() cid.Cid {
	kind := p.take(1)
	if p.err != nil {
		return cid.Undef
	}
	switch uint64(kind[0]) {
	case cid.Raw, cid.DagProtobuf:
		digest := p.take(32)
		if p.err != nil {
			return cid.Undef
		}
		return cid.NewCidV1(uint64(kind[0]), append(mh.Multihash{mh.SHA2_256, 32}, digest...))
	case kindOther:
		c := p.fullCID()
		if p.err == nil && shortKind(c) != kindOther {
			p.err = fmt.Errorf("%s stored in the long form", c)
		}
		return c
	default:
		p.err = fmt.Errorf("kind 0x%02x", kind[0])
		return cid.Undef
	}
}
