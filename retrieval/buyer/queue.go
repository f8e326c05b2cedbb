package buyer

import (
	"container/heap"
	"errors"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/p2p"
)

// item is one block that a task needs.
type item struct {
	task   *task
	branch     // places grow while the block is open
	part   int // in whose queue it stands
	state  itemState
	asked  int       // units on their way that it is in
	lacks  []*source // said that they do not hold it
	first  uint64    // the place that it is queued by
}

// itemKey tells the blocks of a task apart. Equal blocks of which different
// sizes are claimed are different items: one of the claims is wrong.
type itemKey struct {
	cid  cid.Cid
	size uint64
}

func (it *item) key() itemKey { return itemKey{it.span.CID, it.span.Size} }

type itemState uint8

const (
	waiting itemState = iota // in a queue
	fetched                  // asked for
	written                  // its bytes are being handed on
	done
)

// The sizes by which units are made, in bytes.
const (
	unitBytes  = 4 << 20
	unitBlocks = 16       // leaves of full size
	nodeBytes  = 16 << 10 // what an interior node has, about
	perSession = 8 << 20  // what is worth one more seller to be paid
)

// weight is how many bytes the block itself has, as far as is known.
func (it *item) weight() uint64 {
	if it.span.Leaf() && it.span.Size <= retrieval.MaxBlock {
		return it.span.Size
	}
	return nodeBytes
}

// below is how many bytes of the file are not asked for because the item is not.
func (it *item) below() uint64 {
	if it.span.Size > 1<<62 {
		return 0
	}
	return it.span.Size
}

// itemHeap orders items by task and place.
type itemHeap []*item

func (h itemHeap) Len() int      { return len(h) }
func (h itemHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *itemHeap) Push(x any)   { *h = append(*h, x.(*item)) }
func (h itemHeap) Less(i, j int) bool {
	if h[i].task != h[j].task {
		return h[i].task.number < h[j].task.number
	}
	return h[i].first < h[j].first
}
func (h *itemHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return x
}

// queue holds what waits to be asked of the sellers of one part. Nodes go
// before leaves: what they name can be shared out.
type queue struct {
	part   int
	nodes  itemHeap
	leaves itemHeap
	bytes  uint64 // below all of them
	able   uint64 // stands for who could be asked when it was last looked at
}

// push queues an item. Transfer.mu is held, here and below.
func (q *queue) push(it *item) {
	it.state, it.part, it.first = waiting, q.part, it.places[0]
	q.bytes += it.below()
	if it.span.Leaf() && it.task.file != nil {
		heap.Push(&q.leaves, it)
	} else {
		heap.Push(&q.nodes, it)
	}
}

// pull takes items that w may be asked for, the first ones first, until they
// make a unit.
func (q *queue) pull(h *itemHeap, w *worker, blocks int) (out []*item) {
	var aside []*item
	size := uint64(0)
	for h.Len() > 0 && len(out) < blocks && size < unitBytes {
		it := (*h)[0]
		if it.task.ended {
			heap.Pop(h)
			q.bytes -= it.below()
			continue
		}
		if it.task.tooFar(it.first) {
			break
		}
		heap.Pop(h)
		if slices.Contains(it.lacks, w.src) {
			aside = append(aside, it)
			continue
		}
		q.bytes -= it.below()
		out = append(out, it)
		size += it.weight()
	}
	for _, it := range aside {
		heap.Push(h, it)
	}
	return out
}

// remove takes an item out of the queue.
func (q *queue) remove(it *item) {
	for _, h := range []*itemHeap{&q.nodes, &q.leaves} {
		if i := slices.Index(*h, it); i >= 0 {
			heap.Remove(h, i)
			q.bytes -= it.below()
		}
	}
}

// has reports whether something waits that a source may be asked for. It looks
// at the first few: more than that no seller lacks for long.
func (q *queue) has(s *source) bool {
	for _, h := range []itemHeap{q.nodes, q.leaves} {
		for _, it := range h[:min(len(h), 64)] {
			if !it.task.ended && !it.task.tooFar(it.first) && !slices.Contains(it.lacks, s) {
				return true
			}
		}
	}
	return false
}

// drain empties the queue.
func (q *queue) drain() []*item {
	out := append(slices.Clone(q.nodes), q.leaves...)
	q.nodes, q.leaves, q.bytes = nil, nil, 0
	return slices.DeleteFunc(out, func(it *item) bool { return it.task.ended })
}

// tooFar reports whether a place lies further ahead of the first missing byte
// than the task allows.
func (k *task) tooFar(place uint64) bool {
	if k.file == nil || k.file.Ahead == 0 {
		return false
	}
	for k.order.Len() > 0 && k.order[0].state == done {
		heap.Pop(&k.order)
	}
	return k.order.Len() > 0 && place >= k.order[0].first+k.file.Ahead
}

// plant queues branches of a task, which were found in a part. A block that is
// open already gets more places. What it returns is there and to be delivered.
func (t *Transfer) plant(k *task, branches []branch, part int) (stocked []*item) {
	for _, b := range branches {
		it := &item{task: k, branch: b}
		if same := k.open[it.key()]; same != nil {
			same.places = append(same.places, b.places...)
			continue
		}
		k.open[it.key()] = it
		k.left++
		there, coming := t.adopt(it, part)
		if there {
			stocked = append(stocked, it)
		}
		if !there && !coming {
			t.parts[part].push(it)
		}
		if k.file != nil && k.file.Ahead > 0 {
			heap.Push(&k.order, it)
		}
	}
	return stocked
}

// again queues an item anew that was asked for and did not come.
func (t *Transfer) again(it *item) {
	it.asked--
	if it.state == fetched && it.asked == 0 && !it.task.ended {
		t.place(it, it.part)
	}
}

// place queues an item with the first part, from the given one on, that has a
// source which may hold it; if there is none, one whose seller lied in an earlier
// fetch.
func (t *Transfer) place(it *item, from int) {
	for _, may := range []func(*source) bool{t.usable, t.pardon} {
		for i := range t.parts {
			part := (from + i) % len(t.parts)
			for _, s := range t.sources {
				if s.part == part && !slices.Contains(it.lacks, s) && may(s) {
					t.parts[part].push(it)
					return
				}
			}
		}
	}
	err := t.noSeller()
	if f := it.task.file; f != nil && !f.Root.Equals(it.span.CID) {
		err = fmt.Errorf("block %s: %w", it.span.CID, err)
	}
	it.task.finish(err)
}

// missing hears that a source does not hold an item. Blocks stand in the
// payload depth first, so what comes behind it is in a later part as well.
func (t *Transfer) missing(it *item, s *source) {
	it.lacks = append(it.lacks, s)
	if len(t.parts) == 1 {
		return
	}
	it.part = (s.part + 1) % len(t.parts)
	q := t.parts[s.part]
	for _, other := range q.drain() {
		if other.task == it.task && other.first >= it.first {
			t.place(other, s.part+1)
		} else {
			q.push(other)
		}
	}
}

// deliver takes a checked block of an item, unless another session was first.
func (t *Transfer) deliver(it *item, block []byte) {
	t.mu.Lock()
	k := it.task
	if k.ended || it.state > fetched {
		t.mu.Unlock()
		return
	}
	it.state = written
	t.near = it.part
	k.writing.Add(1)
	t.mu.Unlock()
	t.tally.kept(len(block))
	var stocked []*item
	err := k.keep(it, block)
	for err == nil {
		t.mu.Lock()
		now := it.due()
		if len(now) == 0 {
			t.settle(it)
			t.mu.Unlock()
			break
		}
		t.mu.Unlock()
		var below []branch
		if below, err = k.unfold(branch{it.span, now}, block); err == nil {
			t.mu.Lock()
			if !k.ended {
				stocked = append(stocked, t.plant(k, below, it.part)...)
			}
			t.mu.Unlock()
		}
	}
	k.writing.Done()
	t.mu.Lock()
	if err != nil {
		k.finish(err)
	}
	t.callOff()
	t.staff()
	t.wakeAll()
	t.mu.Unlock()
	t.hand(stocked)
}

// settle is the end of an item whose bytes are where they belong. Places that
// were too far ahead begin anew.
func (t *Transfer) settle(it *item) {
	k := it.task
	it.state = done
	if k.ended {
		return
	}
	delete(k.open, it.key())
	k.left--
	if len(it.places) > 0 {
		t.plant(k, []branch{{it.span, it.places}}, it.part)
	}
	if k.left == 0 {
		k.finish(nil)
	}
}

// keep tells of a block that is no leaf.
func (k *task) keep(it *item, block []byte) error {
	if k.file == nil || k.file.Node == nil || it.span.Leaf() {
		return nil
	}
	if err := k.file.Node(it.span.CID, block); err != nil {
		return fmt.Errorf("keep block %s: %w", it.span.CID, err)
	}
	return nil
}

// due takes the places where the block is to be written now, and leaves those
// that are too far ahead.
func (it *item) due() (now []uint64) {
	var later []uint64
	for _, at := range it.places {
		if at == it.first || !it.task.tooFar(at) {
			now = append(now, at)
		} else {
			later = append(later, at)
		}
	}
	it.places = later
	return now
}

// noSeller says why nobody serves what is to come next.
func (t *Transfer) noSeller() error {
	reasons := []error{ErrNoSeller}
	for _, s := range t.Stats().Sellers {
		if s.Err != "" {
			reasons = append(reasons, fmt.Errorf("seller %s: %s", p2p.FormatPeer(s.Peer), s.Err))
		}
	}
	if t.overBudget {
		reasons = append(reasons, ErrBudget)
	}
	return errors.Join(reasons...)
}
