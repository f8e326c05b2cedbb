package pack

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/retrieval/car"
)

// archive is a keeper that puts the blocks of a file of known size straight to
// where they stand in its CARs, and commits to the pieces meanwhile: one pass over
// the content.
//
// In a CAR a node stands before its children, but is known after them. Its length
// is known beforehand, so a gap is left for it and filled once it is there. So it is
// with the header of each CAR, which names the root.
type archive struct {
	out     *Packed
	most    uint64 // padded bytes of a piece
	files   bool   // write the CARs; else only compute
	work    *workers
	shape   *shape // nil once the first block is there
	path    []*step
	parts   []*part
	known   map[spoolKey]bool
	scratch []byte
}

// step is a node on the way to where the next leaf stands.
type step struct {
	shape *shape
	done  int // nodes below it that have been entered
	gap   *gap
}

// gap is the place of a block whose bytes are not known yet.
type gap struct {
	part   *part
	entry  int    // number of the block in the part
	offset uint64 // in the CAR
	length uint64 // of the section
}

// newArchive prepares for the payload of a file of size bytes. work may be nil: then
// nothing is kept of the blocks but their names and lengths.
func (p *packer) newArchive(size uint64, work *workers) (*archive, error) {
	s, err := shapeOf(size)
	if err != nil {
		return nil, err
	}
	return &archive{out: p.out, most: p.opts.MaxPieceSize, files: !p.opts.Plan, work: work, shape: s, known: map[spoolKey]bool{}}, nil
}

// leaf implements keeper.
func (a *archive) leaf(data []byte) (cid.Cid, error) {
	c := car.LeafCID(sha256.Sum256(data))
	return c, a.add(c, data, len(data))
}

// add puts a leaf where it is next, unless it was there before.
func (a *archive) add(c cid.Cid, data []byte, length int) error {
	if err := a.descend(); err != nil || !a.isNew(c) {
		return err
	}
	at, err := a.reserve(c, length)
	if err != nil {
		return err
	}
	if n := len(a.parts); at.part.holdsNone {
		at.part.holdsNone = false
		if n > 1 {
			if err := a.parts[n-2].rests(); err != nil {
				return err
			}
		}
	}
	return a.fill(at, c, data)
}

// isNew reports whether a block is met for the first time.
func (a *archive) isNew(c cid.Cid) bool {
	key := spoolKeyOf(c)
	if a.known[key] {
		return false
	}
	a.known[key] = true
	return true
}

// errSize is returned when content proves to have another size than it had.
var errSize = fmt.Errorf("%w: it has another size than before", ErrChanged)

// descend leaves gaps for the nodes that stand before the next leaf.
func (a *archive) descend() error {
	if s := a.shape; s != nil {
		a.shape = nil
		if s.length == 0 {
			return nil
		}
		if err := a.enter(s); err != nil {
			return err
		}
	}
	for {
		if len(a.path) == 0 {
			return errSize
		}
		top := a.path[len(a.path)-1]
		switch {
		case top.shape.nodes == nil:
			return nil
		case top.done == len(top.shape.nodes):
			return errSize
		}
		top.done++
		if err := a.enter(top.shape.nodes[top.done-1]); err != nil {
			return err
		}
	}
}

func (a *archive) enter(s *shape) error {
	at, err := a.reserve(someNode, s.length)
	a.path = append(a.path, &step{shape: s, gap: at})
	return err
}

// node implements keeper: n is the innermost node that was entered.
func (a *archive) node(n ipld.Node, file uint64) (ref, error) {
	total, err := n.Size()
	if err != nil {
		return ref{}, fmt.Errorf("size of node %s: %w", n.Cid(), err)
	}
	out, data, last := ref{cid: n.Cid(), file: file, total: total}, n.RawData(), len(a.path)-1
	if last < 0 || len(data) != a.path[last].shape.length {
		return out, errSize
	}
	at := a.path[last].gap
	a.path = a.path[:last]
	if !a.isNew(out.cid) { // nor was anything below it
		return out, a.retract(at)
	}
	return out, a.fill(at, out.cid, data)
}

// reserve leaves a gap for a block, in a new CAR if it would overflow the last one.
func (a *archive) reserve(c cid.Cid, length int) (*gap, error) {
	size, room := car.SectionSize(c, length), piece.MaxPayload(a.most)
	last := len(a.parts) - 1
	if last < 0 || a.parts[last].size+size > room {
		if car.HeaderSize(c)+size > room {
			return nil, fmt.Errorf("a block of %d bytes does not fit a piece of %d bytes", length, a.most)
		}
		a.begin()
		last++
	}
	p := a.parts[last]
	at := &gap{part: p, entry: len(p.blocks), offset: p.size, length: size}
	p.blocks = append(p.blocks, car.Entry{CID: c, Length: uint32(length)})
	p.grow(size)
	return at, nil
}

// begin opens the next CAR. Its header is a gap until the end.
func (a *archive) begin() {
	p := &part{work: a.work, open: map[uint64]*chunk{}, holdsNone: true}
	if a.files {
		p.path = filepath.Join(a.out.Dir, fmt.Sprintf("part-%04d.car", len(a.parts)))
	}
	p.grow(headerSize)
	a.parts = append(a.parts, p)
}

// headerSize is the length of the header of every CAR: no root has a longer CID than another.
var headerSize = car.HeaderSize(someNode)

// fill puts a block into its gap.
func (a *archive) fill(at *gap, c cid.Cid, data []byte) error {
	at.part.blocks[at.entry].CID = c
	a.scratch = car.AppendSectionHead(a.scratch[:0], c, len(data))
	if err := at.part.write(a.scratch, at.offset); err != nil {
		return err
	}
	return at.part.write(data, at.offset+uint64(len(a.scratch)))
}

// retract closes a gap, which is the last thing in the last CAR.
func (a *archive) retract(at *gap) error {
	last := len(a.parts) - 1
	p := a.parts[last]
	if p != at.part || p.size != at.offset+at.length {
		return fmt.Errorf("close a gap of %d bytes at %d: something stands behind it", at.length, at.offset)
	}
	p.blocks = p.blocks[:at.entry]
	p.shrink(at.offset)
	if at.entry == 0 && last > 0 { // nothing needs a new CAR yet
		p.shrink(0)
		a.parts = a.parts[:last]
	}
	return nil
}

// finish fills in the headers now that the root is known, and takes down the pieces.
func (a *archive) finish(root cid.Cid) error {
	if len(a.path) > 0 || a.shape != nil {
		return errSize
	}
	header := car.Header([]cid.Cid{root})
	for i, p := range a.parts {
		if err := p.end(header); err != nil {
			return fmt.Errorf("write CAR %d: %w", i, err)
		}
	}
	a.work.wait()
	for i, p := range a.parts {
		info, err := p.commitment()
		if err != nil {
			return fmt.Errorf("CAR %d: %w", i, err)
		}
		done := Piece{Info: info, Part: i, Parts: len(a.parts), CARPath: p.path, Index: car.Sequence(root, p.blocks)}
		a.out.Pieces = append(a.out.Pieces, done)
		a.out.PayloadSize += done.PayloadSize
		a.out.Blocks += uint64(done.Index.Len())
	}
	return nil
}

// abandon ends the work, if it has not ended; the files are the caller's to delete.
func (a *archive) abandon() error {
	a.work.wait()
	var errs []error
	for _, p := range a.parts {
		errs = append(errs, p.close())
	}
	return errors.Join(errs...)
}
