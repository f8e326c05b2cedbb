package dag

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/retrieval/car"
)

// Walker goes through a payload in its order: depth first, a node before its
// children, children in the order of their links, each block once. A payload
// that is cut into parts is one walk: the parts follow each other, each CAR
// holding the next run of blocks.
//
// The owner asks Next for the CID that is due, gets the bytes from wherever,
// and gives them to Accept. The number of blocks accepted is all that must be
// kept to go on after a restart: see Replay.
type Walker struct {
	next    cid.Cid
	frames  [][]cid.Cid
	pending int
	seen    map[blockKey]struct{}
	blocks  uint64
	bytes   uint64
}

// blockKey tells the CIDs that Check lets through apart in 33 bytes.
type blockKey [33]byte

func keyOf(c cid.Cid) blockKey {
	var k blockKey
	p := c.Prefix()
	k[0] = byte(p.Codec)<<1 | byte(p.Version)
	hash := c.Hash()
	copy(k[1:], hash[len(hash)-32:])
	return k
}

// NewWalker starts the walk of the payload with this root.
func NewWalker(root cid.Cid) (*Walker, error) {
	if err := Check(root); err != nil {
		return nil, car.Named("walk", root, err)
	}
	return &Walker{next: root, seen: map[blockKey]struct{}{keyOf(root): {}}}, nil
}

// Next is the CID of the block that is due; ok is false at the end.
func (w *Walker) Next() (c cid.Cid, ok bool) { return w.next, w.next.Defined() }

// Ahead lists the CIDs that are due next, in their order: at most n, and no further
// than to the first node, whose children come before what follows it.
func (w *Walker) Ahead(n int) (out []cid.Cid) {
	met := map[blockKey]struct{}{}
	take := func(c cid.Cid) (more bool) {
		met[keyOf(c)] = struct{}{}
		out = append(out, c)
		return len(out) < n && c.Prefix().Codec == cid.Raw
	}
	if w.Done() || n <= 0 || !take(w.next) {
		return out
	}
	for _, frame := range slices.Backward(w.frames) {
		for _, c := range frame {
			key := keyOf(c)
			_, seen := w.seen[key]
			_, twice := met[key]
			if !seen && !twice && !take(c) {
				return out
			}
		}
	}
	return out
}

// Done says whether every block of the payload was accepted.
func (w *Walker) Done() bool { return !w.next.Defined() }

// Blocks is the number of blocks accepted, which is the ordinal of the next.
func (w *Walker) Blocks() uint64 { return w.blocks }

// Bytes is the number of bytes in the blocks accepted.
func (w *Walker) Bytes() uint64 { return w.bytes }

// Accept takes the block that is due. A block that is refused leaves the
// Walker as it was, so that another sender can be asked for the same CID.
func (w *Walker) Accept(block []byte) error {
	if w.Done() {
		return fmt.Errorf("walk: block %d: %w: the payload has no more blocks", w.blocks, ErrMalformed)
	}
	if err := verify(w.next, block); err != nil {
		return w.wrong(err)
	}
	children, err := Children(w.next, block)
	if err != nil {
		return w.wrong(err)
	}
	for _, child := range children {
		if err := Check(child); err != nil {
			return w.wrong(fmt.Errorf("link to %s: %w", child, err))
		}
	}
	if w.pending+len(children) > MaxPending {
		return w.wrong(fmt.Errorf("more than %d links open: %w", MaxPending, ErrTooLarge))
	}
	if len(children) > 0 {
		w.frames = append(w.frames, children)
		w.pending += len(children)
	}
	w.blocks++
	w.bytes += uint64(len(block))
	w.advance()
	return nil
}

// wrong is an error about the block that is due.
func (w *Walker) wrong(err error) error {
	return car.Named(fmt.Sprintf("walk: block %d:", w.blocks), w.next, err)
}

// advance moves to the next CID that was not met before. A frame goes as soon
// as its last link is taken, so a long chain of nodes keeps no frames.
func (w *Walker) advance() {
	for len(w.frames) > 0 {
		top := len(w.frames) - 1
		c := w.frames[top][0]
		w.frames[top] = w.frames[top][1:]
		w.pending--
		if len(w.frames[top]) == 0 {
			w.frames[top] = nil
			w.frames = w.frames[:top]
		}
		key := keyOf(c)
		if _, met := w.seen[key]; met {
			continue
		}
		w.seen[key] = struct{}{}
		w.next = c
		return
	}
	w.next = cid.Undef
}

// Replay accepts the next n blocks from where they were stored, to take up a
// walk that stopped after n blocks. It stops early at the end of the payload.
// On an error the walk stands before the block that could not be had, whole
// and usable.
func (w *Walker) Replay(ctx context.Context, n uint64, get Get) error {
	for ; n > 0 && !w.Done(); n-- {
		if err := ctx.Err(); err != nil {
			return err
		}
		block, err := get(ctx, w.next)
		if err != nil {
			return w.wrong(err)
		}
		if err := w.Accept(block); err != nil {
			return err
		}
	}
	return nil
}

// AcceptCAR accepts the blocks of one part, read from its archive, and hands
// each to visit before the next is read. The archive must have the payload's
// root and hold exactly blocks that are due.
func (w *Walker) AcceptCAR(r *car.Reader, visit func(car.Block) error) error {
	for {
		block, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("walk: %w", err)
		}
		if due, ok := w.Next(); !ok || !due.Equals(block.CID) {
			return fmt.Errorf("walk: block %d: %w: archive has %s where %s is due", w.blocks, ErrMalformed, block.CID, due)
		}
		if err := w.Accept(block.Data); err != nil {
			return err
		}
		if err := visit(block); err != nil {
			return err
		}
	}
}

// Walk visits every block of a payload in its order.
func Walk(ctx context.Context, get Get, root cid.Cid, visit func(c cid.Cid, block []byte) error) error {
	w, err := NewWalker(root)
	if err != nil {
		return err
	}
	for !w.Done() {
		c := w.next
		var kept []byte
		err := w.Replay(ctx, 1, func(ctx context.Context, c cid.Cid) ([]byte, error) {
			block, err := get(ctx, c)
			kept = block
			return block, err
		})
		if err != nil {
			return err
		}
		if err := visit(c, kept); err != nil {
			return err
		}
	}
	return nil
}
