package fetch

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/dag"
)

// The records of a journal. Each is
//
//	u8 kind || u32be len(body) || body || u32be CRC-32C of all before
//
// What follows the last whole record is cut off. Offsets are those of the part.
const (
	recordRoot   = 'r' // the first: u8 version || CID
	recordNode   = 'n' // a block that is no leaf of a region: CID || bytes
	recordRegion = 'f' // a file: CID || u64be offset || u64be size
	recordBytes  = 'b' // bytes of a region were written: u64be offset || u64be length
)

const (
	journalVersion = 1
	recordHead     = 5
	recordTail     = 4
	maxRecord      = car.MaxBlockSize + 1024
)

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// errTorn says that a journal ends here.
var errTorn = errors.New("the journal ends here")

// appendRecord appends a record whose body is made of parts.
func appendRecord(dst []byte, kind byte, parts ...[]byte) []byte {
	start, n := len(dst), 0
	for _, p := range parts {
		n += len(p)
	}
	dst = binary.BigEndian.AppendUint32(append(dst, kind), uint32(n))
	for _, p := range parts {
		dst = append(dst, p...)
	}
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], crcTable))
}

// pair is two numbers in the form of a record.
func pair(a, b int64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(a)), uint64(b))
}

// readPair reads them; ok is false if they are none, or make no run of bytes.
func readPair(p []byte) (a, b int64, ok bool) {
	if len(p) != 16 {
		return 0, 0, false
	}
	a, b = int64(binary.BigEndian.Uint64(p)), int64(binary.BigEndian.Uint64(p[8:]))
	return a, b, a >= 0 && b >= 0 && a+b >= a
}

// journalReader reads records one after the other.
type journalReader struct {
	src *bufio.Reader
	at  int64 // behind the last whole record
	buf []byte
}

// next returns the next record and where its body begins in the file, or
// errTorn. The body is valid until the next call.
func (r *journalReader) next() (kind byte, body []byte, at int64, err error) {
	var head [recordHead]byte
	if _, err := io.ReadFull(r.src, head[:]); err != nil {
		return 0, nil, 0, torn(err)
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > maxRecord {
		return 0, nil, 0, errTorn
	}
	r.buf = append(r.buf[:0], head[:]...)
	r.buf = append(r.buf, make([]byte, int(n)+recordTail)...)
	if _, err := io.ReadFull(r.src, r.buf[recordHead:]); err != nil {
		return 0, nil, 0, torn(err)
	}
	whole, sum := r.buf[:recordHead+n], r.buf[recordHead+n:]
	if crc32.Checksum(whole, crcTable) != binary.BigEndian.Uint32(sum) {
		return 0, nil, 0, errTorn
	}
	at = r.at + recordHead
	r.at += int64(len(r.buf))
	return head[0], whole[recordHead:], at, nil
}

// torn turns the end of a file into the end of a journal; other errors are the disk's.
func torn(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errTorn
	}
	return err
}

// load reads the journal and checks all that it speaks of. What does not hold is
// left out, and fetched anew. It returns where the next record goes; 0 if the
// journal has to be begun, which a journal of another payload has, too.
func (s *Store) load() (int64, error) {
	r := journalReader{src: bufio.NewReaderSize(io.NewSectionReader(s.journal, 0, 1<<62), 1<<20)}
	kind, body, _, err := r.next()
	if err == nil && (kind != recordRoot || string(body) != string(rootBody(s.root))) {
		err = errTorn
	}
	if errors.Is(err, errTorn) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var claimed spans
	for {
		kind, body, at, err := r.next()
		if errors.Is(err, errTorn) {
			return r.at, s.check(claimed)
		}
		if err != nil {
			return 0, err
		}
		s.recall(kind, body, at, &claimed)
	}
}

func rootBody(root cid.Cid) []byte { return append([]byte{journalVersion}, root.Bytes()...) }

// recall takes a record of an earlier process over.
func (s *Store) recall(kind byte, body []byte, at int64, claimed *spans) {
	if kind == recordBytes {
		if from, n, ok := readPair(body); ok {
			claimed.add(from, from+n)
		}
		return
	}
	n, c, err := cid.CidFromBytes(body)
	if err != nil {
		return
	}
	rest := body[n:]
	switch kind {
	case recordNode:
		if car.Verify(c, rest) == nil {
			s.note(c, extent{at + int64(n), int64(len(rest))})
		}
	case recordRegion:
		if base, size, ok := readPair(rest); ok {
			s.noteRegion(c, base, size)
		}
	}
}

// check reads what the journal claims to be written of the regions, and believes
// what is right. It costs no more than was written.
func (s *Store) check(claimed spans) error {
	buf := make([]byte, car.MaxBlockSize)
	for _, r := range s.regions {
		if err := s.checkBlock(r.root, r.base, r.size, claimed, buf, 0); err != nil {
			return fmt.Errorf("check what was fetched: %w", err)
		}
	}
	return nil
}

func (s *Store) checkBlock(c cid.Cid, at, size int64, claimed spans, buf []byte, depth int) error {
	if !claimed.touches(at, size) || depth > dag.MaxDepth {
		return nil
	}
	if c.Prefix().Codec == cid.Raw {
		if size > int64(len(buf)) || !claimed.covers(at, size) {
			return nil
		}
		n, err := s.part.ReadAt(buf[:size], at)
		if int64(n) < size && !errors.Is(err, io.EOF) {
			return err
		}
		if int64(n) == size && car.Verify(c, buf[:size]) == nil {
			s.written.add(at, at+size)
		}
		return nil
	}
	e, known := s.blocks[c.KeyString()]
	if !known {
		return nil
	}
	node, err := s.node(c, e)
	if err != nil || int64(node.FileSize) != size {
		return nil // it is fetched anew, and refused by who takes it
	}
	if len(node.Data) > 0 {
		if _, err := s.part.WriteAt(node.Data, at); err != nil {
			return err
		}
		s.written.add(at, at+int64(len(node.Data)))
	}
	at += int64(len(node.Data))
	for i, link := range node.Links {
		if err := s.checkBlock(link.CID, at, int64(node.Sizes[i]), claimed, buf, depth+1); err != nil {
			return err
		}
		at += int64(node.Sizes[i])
	}
	return nil
}

// write appends a record to the journal.
func (s *Store) write(record []byte) error {
	if _, err := s.journal.WriteAt(record, s.end); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	s.end += int64(len(record))
	return nil
}
