package segment

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/retrieval/car"
)

// shared is the padded size of a segment that several payloads share. It is the
// part of a piece for which its index has one entry.
const shared = span

// small is the most bytes that a payload's archive may have to share a segment: what
// takes more than half of one has it alone.
const small = shared / 2 / 128 * 127

// Payload is one payload to be packed.
type Payload struct {
	// Index describes its archive: one root, the blocks depth first, each once.
	Index *car.Index
	// Open opens the archive.
	Open func() (io.ReadCloser, error)
}

// size is the bytes of the archive.
func (p *Payload) size() uint64 { return p.Index.Size() }

// Plan says where payloads come to lie in a piece.
type Plan struct {
	// Padded is the padded size of the piece.
	Padded uint64
	// Segments are the segments in order, each with the payloads in it by their
	// number.
	Segments []Place
}

// Place is one segment of a Plan.
type Place struct {
	Offset, Size uint64 // padded bytes
	Payloads     []int
}

// ErrTooLarge is wrapped when payloads do not fit one piece.
var ErrTooLarge = errors.New("too large for one piece")

// NewPlan lays payloads out in the smallest piece that holds them, of at most most
// padded bytes. The plan depends on the order, roots and sizes alone.
func NewPlan(payloads []Payload, most uint64) (*Plan, error) {
	if len(payloads) == 0 {
		return nil, errors.New("plan piece: no payloads")
	}
	p := &Plan{Segments: grouped(payloads)}
	// From large to small no segment leaves a gap before it.
	slices.SortStableFunc(p.Segments, func(a, b Place) int { return cmp.Compare(b.Size, a.Size) })
	end := uint64(0)
	for i := range p.Segments {
		s := &p.Segments[i]
		if s.Size > most {
			return nil, fmt.Errorf("plan piece: a payload of %d padded bytes: %w", s.Size, ErrTooLarge)
		}
		s.Offset, end = end, end+s.Size
	}
	for p.Padded = 2 * leastEntries * EntrySize; end > p.Padded-IndexSize(p.Padded) || uint64(len(p.Segments)) > Capacity(p.Padded); {
		p.Padded *= 2
	}
	if p.Padded > most {
		return nil, fmt.Errorf("plan piece: %d payloads take a piece of %d bytes, at most %d are taken: %w", len(payloads), p.Padded, most, ErrTooLarge)
	}
	return p, nil
}

// grouped puts the payloads into segments: small ones together, in their order.
func grouped(payloads []Payload) []Place {
	var out []Place
	var together []int
	close := func() {
		if len(together) > 0 {
			out = append(out, Place{Size: paddedSize(togetherSize(payloads, together)), Payloads: together})
			together = nil
		}
	}
	for i := range payloads {
		if payloads[i].size() > small {
			out = append(out, Place{Size: paddedSize(payloads[i].size()), Payloads: []int{i}})
			continue
		}
		if len(together) > 0 && togetherSize(payloads, append(slices.Clip(together), i)) > raw(shared) {
			close()
		}
		together = append(together, i)
	}
	close()
	return out
}

// paddedSize is the size of the segment for an archive.
func paddedSize(bytes uint64) uint64 {
	size, err := piece.PaddedSize(bytes)
	if err != nil {
		return math.MaxUint64 // larger than every piece
	}
	return size
}

// togetherSize is the bytes of one archive with several payloads.
func togetherSize(payloads []Payload, which []int) uint64 {
	size := uint64(len(car.Header(roots(payloads, which))))
	for _, i := range which {
		size += body(&payloads[i])
	}
	return size
}

// body is the bytes of an archive behind its header.
func body(p *Payload) uint64 { return p.size() - car.HeaderSize(p.Index.Root()) }

func roots(payloads []Payload, which []int) []cid.Cid {
	out := make([]cid.Cid, len(which))
	for i, n := range which {
		out[i] = payloads[n].Index.Root()
	}
	return out
}

// Write writes the raw bytes of the piece, raw(Padded) of them, and returns the
// entries of its index.
func (p *Plan) Write(dst io.Writer, payloads []Payload) ([]Entry, error) {
	w := &writer{dst: dst}
	var entries []Entry
	for i := range p.Segments {
		s := &p.Segments[i]
		w.zeros(raw(s.Offset))
		w.commit = new(piece.Hasher)
		if err := w.segment(payloads, s.Payloads); err != nil {
			return nil, fmt.Errorf("write segment %d: %w", i, err)
		}
		info, err := w.commit.Sum().Piece()
		if err != nil {
			return nil, fmt.Errorf("write segment %d: %w", i, err)
		}
		if info.PaddedSize != s.Size {
			return nil, fmt.Errorf("write segment %d: it has %d padded bytes, planned were %d", i, info.PaddedSize, s.Size)
		}
		entries = append(entries, Entry{CommP: info.CommP, Offset: s.Offset, Size: s.Size})
		w.commit = nil
	}
	index, err := MarshalIndex(entries, p.Padded)
	if err != nil {
		return nil, err
	}
	w.zeros(raw(p.Padded - IndexSize(p.Padded)))
	if _, err := w.Write(index); err != nil {
		return nil, fmt.Errorf("write index of segments: %w", err)
	}
	return entries, nil
}

// writer counts what is written, and commits to a segment beside it.
type writer struct {
	dst    io.Writer
	at     uint64
	commit *piece.Hasher // nil between segments
	err    error
}

// Write implements io.Writer.
func (w *writer) Write(b []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.dst.Write(b)
	w.at += uint64(n)
	if err == nil && w.commit != nil {
		_, err = w.commit.Write(b)
	}
	w.err = err
	return n, err
}

// zeros writes zeros up to an offset. Its error is the next Write's.
func (w *writer) zeros(to uint64) {
	var none [32 << 10]byte
	for w.at < to && w.err == nil {
		_, _ = w.Write(none[:min(uint64(len(none)), to-w.at)])
	}
}

// segment writes the archive of the payloads: of one as it is, of several under a
// header with all their roots.
func (w *writer) segment(payloads []Payload, which []int) error {
	if _, err := w.Write(car.Header(roots(payloads, which))); err != nil {
		return err
	}
	for _, i := range which {
		if err := w.body(&payloads[i]); err != nil {
			return fmt.Errorf("payload %s: %w", payloads[i].Index.Root(), err)
		}
	}
	return nil
}

// body copies an archive without its header.
func (w *writer) body(p *Payload) error {
	src, err := p.Open()
	if err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, src, int64(car.HeaderSize(p.Index.Root())))
	var n int64
	if err == nil {
		n, err = io.Copy(w, src)
	}
	if err == nil && uint64(n) != body(p) {
		err = fmt.Errorf("its archive has %d bytes behind the header, want %d", n, body(p))
	}
	return errors.Join(err, src.Close())
}
