package buyer

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/dag"
)

// lead is the first unit of a Transfer that gets a whole payload: the run of
// blocks from the root on, so that a seller goes on to the first leaves without
// being asked again. Their CIDs are known only as they come, but not so their
// order, which is depth first, each block once.
type lead struct {
	walker *dag.Walker
	count  uint64               // blocks asked for
	all    bool                 // these are all blocks of the payload
	coming map[cid.Cid]struct{} // on their way and known
	stock  map[cid.Cid][]byte   // came, and nobody has asked for them yet
	spoilt bool                 // a block is no node: its author is at fault, and what follows cannot be checked
}

// leads makes a unit that begins with the payload's root one that goes on with
// the blocks behind it. Transfer.mu is held, here and below.
func (w *worker) leads(x *want) {
	t, root := w.t, x.items[0]
	if !t.req.Whole || t.lead != nil || root.span.Leaf() || !root.span.CID.Equals(t.req.Root) {
		return
	}
	for _, it := range x.items[1:] {
		t.parts[w.src.part].push(it)
	}
	x.items = x.items[:1]
	walker, err := dag.NewWalker(t.req.Root)
	if err != nil || len(root.lacks) > 0 || w.offer.Blocks < 2 {
		return
	}
	count := min(w.offer.Blocks, unitBlocks+2)
	x.lead = &lead{walker: walker, count: count, all: count == w.offer.Blocks && len(t.parts) == 1, stock: map[cid.Cid][]byte{}}
}

// expect takes down which blocks are now known to be among the n that are still
// to come.
func (l *lead) expect(n uint64) {
	l.coming = map[cid.Cid]struct{}{}
	if l.spoilt {
		return
	}
	for _, c := range l.walker.Ahead(int(n)) {
		l.coming[c] = struct{}{}
	}
}

// adopt finds a new item among what the lead has brought or will bring. One that
// is there already is to be delivered.
func (t *Transfer) adopt(it *item, part int) (there, coming bool) {
	l := t.lead
	if l == nil {
		return false, false
	}
	_, there = l.stock[it.span.CID]
	_, coming = l.coming[it.span.CID]
	coming = (coming || l.all && t.leading != nil) && !there
	if there || coming {
		it.state, it.part, it.first = fetched, part, it.places[0]
	}
	if coming {
		it.asked++
		t.leading.items = append(t.leading.items, it)
	}
	return there, coming
}

// hand delivers items from the stock. Transfer.mu is not held.
func (t *Transfer) hand(items []*item) {
	for _, it := range items {
		t.mu.Lock()
		block, ok := t.lead.stock[it.span.CID]
		delete(t.lead.stock, it.span.CID)
		if !ok && !it.task.ended { // another task took it
			t.place(it, it.part)
			t.staff()
			t.wakeAll()
		}
		t.mu.Unlock()
		if ok {
			t.deliver(it, block)
		}
	}
}

// led is a block of the lead: it goes to all who wait for it, or into the stock.
func (w *worker) led(x *want, b retrieval.Block) error {
	l := x.lead
	if l.spoilt {
		w.t.mu.Lock()
		x.came++
		w.t.mu.Unlock()
		return car.Verify(b.CID, b.Data)
	}
	if next, ok := l.walker.Next(); !ok || !next.Equals(b.CID) {
		return fmt.Errorf("block %s came where another is due", b.CID)
	}
	err := l.walker.Accept(b.Data)
	if errors.Is(err, car.ErrMismatch) || errors.Is(err, car.ErrTooLarge) {
		return err
	}
	w.came++
	t := w.t
	t.mu.Lock()
	l.spoilt = err != nil
	x.came++
	w.moved += uint64(len(b.Data))
	l.expect(l.count - uint64(x.came))
	items := t.waiting(b.CID)
	if len(items) == 0 && !t.closed {
		l.stock[b.CID] = bytes.Clone(b.Data)
	}
	t.mu.Unlock()
	for _, it := range items {
		t.deliver(it, b.Data)
	}
	return nil
}

// waiting are the open items of a block.
func (t *Transfer) waiting(c cid.Cid) (out []*item) {
	for k := range t.live {
		for key, it := range k.open {
			if key.cid.Equals(c) {
				if it.state == waiting {
					t.parts[it.part].remove(it)
				}
				out = append(out, it)
			}
		}
	}
	return out
}

// endLead hears that nothing more comes of the lead. If nothing came at all, the
// next seller may lead.
func (t *Transfer) endLead(x *want) {
	if x.lead == nil || x.lead != t.lead {
		return
	}
	t.lead.coming, t.leading = nil, nil
	if x.came == 0 {
		t.lead = nil
	}
}
