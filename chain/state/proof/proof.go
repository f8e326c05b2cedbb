package proof

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/chain"
)

// Limits of a proof: the deepest path has 52 HAMT or twice 22 AMT blocks.
const (
	MaxBlocks = 64
	MaxBytes  = 16 << 20
)

// Errors of proofs. ErrMalformed is wrapped for bytes that are no proof of
// anything, ErrMissing for a proof that lacks a block of the path.
var (
	ErrMalformed = errors.New("malformed proof")
	ErrMissing   = errors.New("proof lacks a block of the path")
)

// recorder remembers the blocks that a reader meets, in order.
type recorder struct {
	blocks Blocks
	seen   map[cid.Cid]bool
	order  []cid.Cid
	data   [][]byte
}

// Block implements Blocks.
func (r *recorder) Block(c cid.Cid) ([]byte, error) {
	b, err := r.blocks.Block(c)
	if err == nil && !r.seen[c] {
		r.seen[c] = true
		r.order, r.data = append(r.order, c), append(r.data, b)
	}
	return b, err
}

// Make returns the proof of a key's record, or of its absence, in the state of
// an app hash: a CARv1 whose root is the root record's CID.
func Make(blocks Blocks, appHash []byte, k chain.Key) ([]byte, error) {
	top, err := LinkOfAppHash(appHash)
	if err != nil {
		return nil, err
	}
	r := &recorder{blocks: blocks, seen: map[cid.Cid]bool{}}
	root, err := ReadRoot(r, top)
	if err != nil {
		return nil, err
	}
	if _, err := Find(r, root, k); err != nil {
		return nil, err
	}
	out := CARHeader(top)
	for i, c := range r.order {
		out = AppendSection(out, c, r.data[i])
	}
	return out, nil
}

// AppendSection appends a block to a CAR.
func AppendSection(car []byte, c cid.Cid, block []byte) []byte {
	car = binary.AppendUvarint(car, uint64(LinkSize+len(block)))
	return append(append(car, c.Bytes()...), block...)
}

// CARHeader is how a CARv1 under one root begins: the
// length-prefixed dag-cbor {"roots": [root], "version": 1}.
func CARHeader(root cid.Cid) []byte {
	body := []byte("\xa2\x65roots\x81\xd8\x2a\x58\x25\x00")
	body = append(append(body, root.Bytes()...), "\x67version\x01"...)
	return append(binary.AppendUvarint(nil, uint64(len(body))), body...)
}

// given is the blocks of a proof; it knows which of them were read.
type given struct {
	blocks map[cid.Cid][]byte
	read   map[cid.Cid]bool
}

// Block implements Blocks.
func (g *given) Block(c cid.Cid) ([]byte, error) {
	b, ok := g.blocks[c]
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrMissing, c)
	}
	g.read[c] = true
	return b, nil
}

// Verify returns the record that a proof shows for a key in the state of an
// app hash, or nil if it shows that there is none. It accepts only what Make
// would write for this app hash and key, apart from the order of the blocks.
func Verify(car, appHash []byte, k chain.Key) ([]byte, error) {
	_, record, err := Open(car, appHash, k)
	return record, err
}

// Open is Verify, and returns the root record as well.
func Open(car, appHash []byte, k chain.Key) (*Root, []byte, error) {
	top, err := LinkOfAppHash(appHash)
	if err != nil {
		return nil, nil, err
	}
	blocks, err := parse(car, top)
	if err != nil {
		return nil, nil, err
	}
	g := &given{blocks: blocks, read: map[cid.Cid]bool{}}
	root, err := ReadRoot(g, top)
	if err != nil {
		return nil, nil, err
	}
	record, err := Find(g, root, k)
	if err != nil {
		return nil, nil, err
	}
	if len(g.read) != len(g.blocks) {
		return nil, nil, fmt.Errorf("%w: %d blocks are off the path", ErrMalformed, len(g.blocks)-len(g.read))
	}
	return root, record, nil
}

// carHeaderSize is the size in bytes of every proof's header.
var carHeaderSize = len(CARHeader(LinkOf(nil)))

// appHashOf returns the app hash under which a proof claims to stand.
func appHashOf(car []byte) ([]byte, error) {
	const after = len("\x67version\x01")
	if len(car) < carHeaderSize {
		return nil, fmt.Errorf("%w: %d bytes are no CARv1", ErrMalformed, len(car))
	}
	end := carHeaderSize - after
	return bytes.Clone(car[end-LinkSize : end]), nil
}

// parse reads the blocks of a CAR under the one root and checks each against its CID.
func parse(car []byte, top cid.Cid) (map[cid.Cid][]byte, error) {
	if len(car) > MaxBytes {
		return nil, fmt.Errorf("%w: %d bytes exceed %d", ErrMalformed, len(car), MaxBytes)
	}
	rest, ok := bytes.CutPrefix(car, CARHeader(top))
	if !ok {
		return nil, errRoot(car, top)
	}
	blocks := map[cid.Cid][]byte{}
	for len(rest) > 0 {
		n, width := binary.Uvarint(rest)
		if width <= 0 || n > uint64(len(rest)-width) || n < LinkSize || width != len(binary.AppendUvarint(nil, n)) {
			return nil, fmt.Errorf("%w: bad section length", ErrMalformed)
		}
		section := rest[width : uint64(width)+n]
		rest = rest[uint64(width)+n:]
		if len(blocks) == MaxBlocks {
			return nil, fmt.Errorf("%w: more than %d blocks", ErrMalformed, MaxBlocks)
		}
		digest := sha256.Sum256(section[LinkSize:])
		c := LinkOfDigest(digest)
		if !bytes.Equal(c.Bytes(), section[:LinkSize]) {
			return nil, fmt.Errorf("%w: a block does not match its CID", ErrMalformed)
		}
		if _, twice := blocks[c]; twice {
			return nil, fmt.Errorf("%w: block %s stands twice", ErrMalformed, c)
		}
		blocks[c] = section[LinkSize:]
	}
	return blocks, nil
}

// errRoot says what a CAR with another header than the wanted one has.
func errRoot(car []byte, want cid.Cid) error {
	raw, err := appHashOf(car)
	if err != nil {
		return err
	}
	found, err := cid.Cast(raw)
	if err != nil || !bytes.HasPrefix(car, CARHeader(found)) {
		return fmt.Errorf("%w: not a CARv1 with one root", ErrMalformed)
	}
	return fmt.Errorf("%w: it stands under app hash %x, expected %x", ErrMalformed, raw, want.Bytes())
}
