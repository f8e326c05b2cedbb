package car

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-varint"
)

// The parts of dag-cbor that a header is made of.
const (
	cborBytes = 2 << 5
	cborText  = 3 << 5
	cborArray = 4 << 5
	cborMap   = 5 << 5
	cborTag   = 6 << 5
	linkTag   = 42 // a CID, as bytes after one zero byte
)

// pragmaV2 is what a CARv2 has in place of the header: {"version": 2}.
const pragmaV2 = "\xa1gversion\x02"

// Header is the header of an archive with these roots, its length first.
func Header(roots []cid.Cid) []byte { return appendHeader(nil, roots) }

// appendHeader appends the header of the roots, its length first.
func appendHeader(dst []byte, roots []cid.Cid) []byte {
	body := appendCBORHead(nil, cborMap, 2)
	body = append(appendCBORHead(body, cborText, 5), "roots"...)
	body = appendCBORHead(body, cborArray, uint64(len(roots)))
	for _, root := range roots {
		raw := root.Bytes()
		body = appendCBORHead(body, cborTag, linkTag)
		body = appendCBORHead(body, cborBytes, uint64(len(raw))+1)
		body = append(append(body, 0), raw...)
	}
	body = append(appendCBORHead(body, cborText, 7), "version"...)
	body = append(body, 1)
	dst = append(dst, varint.ToUvarint(uint64(len(body)))...)
	return append(dst, body...)
}

// appendCBORHead appends the shortest head of a major type with an argument
// below 2^32.
func appendCBORHead(dst []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(dst, major|byte(n))
	case n < 1<<8:
		return append(dst, major|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, major|25), uint16(n))
	default:
		return binary.BigEndian.AppendUint32(append(dst, major|26), uint32(n))
	}
}

// parseHeader reads the roots out of a header without its length. It walks the
// bytes leniently and then demands that they are exactly what appendHeader
// writes for these roots.
func parseHeader(body []byte) ([]cid.Cid, error) {
	if string(body) == pragmaV2 {
		return nil, fmt.Errorf("header: %w: a CARv2, where a CARv1 is due", ErrMalformed)
	}
	p := headerParser{rest: body}
	p.head(cborMap)
	p.text("roots")
	count := p.head(cborArray)
	var roots []cid.Cid
	for i := uint64(0); i < count && p.err == nil; i++ {
		p.head(cborTag)
		roots = append(roots, p.link())
	}
	if p.err != nil {
		return nil, fmt.Errorf("header: %w: %w", ErrMalformed, p.err)
	}
	want := appendHeader(nil, roots)
	if _, n, err := varint.FromUvarint(want); err != nil || !bytes.Equal(want[n:], body) {
		return nil, fmt.Errorf("header: %w: not the canonical CARv1 header of its roots", ErrMalformed)
	}
	return roots, nil
}

// headerParser takes a header apart; after the first error it yields nothing.
type headerParser struct {
	rest []byte
	err  error
}

func (p *headerParser) take(n uint64) []byte {
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

// head reads one head of the wanted major type and returns its argument.
func (p *headerParser) head(major byte) uint64 {
	first := p.take(1)
	if p.err != nil {
		return 0
	}
	if first[0]&0xe0 != major {
		p.err = fmt.Errorf("byte 0x%02x where CBOR major type %d is due", first[0], major>>5)
		return 0
	}
	switch low := first[0] & 0x1f; {
	case low < 24:
		return uint64(low)
	case low > 26:
		p.err = fmt.Errorf("CBOR length byte 0x%02x", first[0])
		return 0
	default:
		var n uint64
		for _, b := range p.take(1 << (low - 24)) {
			n = n<<8 | uint64(b)
		}
		return n
	}
}

func (p *headerParser) text(want string) {
	n := p.head(cborText)
	if got := p.take(n); p.err == nil && string(got) != want {
		p.err = fmt.Errorf("key %q where %q is due", got, want)
	}
}

func (p *headerParser) link() cid.Cid {
	n := p.head(cborBytes)
	raw := p.take(n)
	if p.err != nil {
		return cid.Undef
	}
	if len(raw) < 2 || raw[0] != 0 {
		p.err = fmt.Errorf("root is no link")
		return cid.Undef
	}
	c, err := cid.Cast(raw[1:])
	if err != nil {
		p.err = fmt.Errorf("root: %w", err)
	}
	return c
}
