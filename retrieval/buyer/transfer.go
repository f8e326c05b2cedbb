package buyer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/dag"
)

// TransferRequest says from whom a Transfer gets what, and for how much.
type TransferRequest struct {
	// Root is the root of the payload, Parts are all of its parts, in order.
	Root  cid.Cid
	Parts []Part
	// MaxPrice is the most attoPDR a chunk may cost; zero: only for nothing.
	// Of the sellers below it those are asked that cost at most twice what the
	// cheapest one does, and the others once none of them is left.
	MaxPrice chain.Amount
	// Budget bounds what is paid; nil: no bound. Transfers may share one.
	Budget *Budget
	// Expect is how many bytes will be asked for, as far as is known: it says
	// how much the first vouchers promise. 0: what the seller offers.
	Expect uint64
	// Whole says that all of the payload will be got, or as much as there is time
	// for: the first blocks behind its root come with it, unasked.
	Whole bool
	// Sessions is the most sessions at one time, default 8.
	Sessions int
	// Progress, if given, hears of every chunk, one call at a time; it must not
	// wait.
	Progress func(Stats)
}

// File is one file, or a range of it, that a Transfer gets.
type File struct {
	// Root is the root of any file in the payload.
	Root cid.Cid
	// Offset and Length are the range in bytes, cut at the end of the file;
	// Length 0: to the end.
	Offset, Length uint64
	// To takes the bytes at their offsets in the file, each once, by calls at
	// one time from several goroutines and in any order. Each was checked.
	To io.WriterAt
	// Start, if given, hears how many bytes the whole file has before the first
	// of them is written; an error ends the fetch.
	Start func(size uint64) error
	// Has, if given, says that To holds n bytes from off on already.
	Has func(off, n uint64) bool
	// Nodes, if given, has blocks that are no leaves from an earlier try; an
	// error means that the block has to be fetched.
	Nodes dag.Get
	// Node, if given, hears of every fetched block that is no leaf; calls may
	// come at one time. An error ends the fetch.
	Node func(c cid.Cid, block []byte) error
	// Ahead, if not 0, is how many bytes behind the first one that is missing
	// may be asked for: what To has to keep until its turn comes.
	Ahead uint64
}

// Transfer gets files and blocks of one payload from several sellers at once.
// Blocks are asked for in units of up to about 4 MiB from one queue, by one
// session a seller, so that each takes as many as it can deliver. When the
// queue is empty, a unit of a slow seller is asked of a faster one, too, from
// its end on; what then comes from both is paid to both, at most two credit
// windows of chunks a unit. Sellers that lie, stall or break off again and
// again are dropped and remembered by the Buyer. One that is remembered from an
// earlier fetch is asked where nobody else is left: nothing wrong is kept or paid.
//
// A Transfer may be used by many goroutines. It has goroutines of its own until
// Close returns.
type Transfer struct {
	buyer  *Buyer
	req    TransferRequest
	tally  tally
	ctx    context.Context // ends sessions at once
	cancel context.CancelFunc
	ending context.Context // calls off what is asked for
	end    context.CancelFunc
	group  sync.WaitGroup

	mu      sync.Mutex // guards all below, and what queue.go and worker.go say
	closed  bool
	parts   []*queue
	sources []*source
	workers map[*worker]struct{}
	asked   map[*source]struct{} // with a goroutine
	offered time.Time            // when the first offer came
	tasks   uint64               // begun so far
	live    map[*task]struct{}
	near    int   // the part where something was found last
	lead    *lead // of a Whole one, once it was asked for
	leading *want // the same, on its way

	overBudget bool // a seller was left because the next unit would cost too much
}

var errClosed = errors.New("transfer is closed")

// NewTransfer prepares a transfer; sellers are asked when something is to be
// got. The context ends it at once, as a crash would; Close takes leave.
func (b *Buyer) NewTransfer(ctx context.Context, r TransferRequest) *Transfer {
	if r.Sessions == 0 {
		r.Sessions = 8
	}
	t := &Transfer{buyer: b, req: r, tally: tally{budget: r.Budget, notify: r.Progress},
		workers: map[*worker]struct{}{}, asked: map[*source]struct{}{}, live: map[*task]struct{}{}}
	t.ctx, t.cancel = context.WithCancel(ctx)
	t.ending, t.end = context.WithCancel(context.WithoutCancel(ctx))
	for i, part := range r.Parts {
		t.parts = append(t.parts, &queue{part: i})
		for _, peer := range part.Sellers {
			t.sources = append(t.sources, &source{part: i, peer: peer, seat: t.tally.seat(string(peer.ID))})
		}
	}
	return t
}

// FetchFile gets one file by a Transfer of its own.
func (b *Buyer) FetchFile(ctx context.Context, r TransferRequest, f File) (Stats, error) {
	r.Whole = f.Root.Equals(r.Root) && f.Offset == 0 && f.Length == 0 && f.Has == nil && f.Nodes == nil
	t := b.NewTransfer(ctx, r)
	_, err := t.File(ctx, f)
	return t.Close(), err
}

// File gets a file and returns how many bytes all of it has.
func (t *Transfer) File(ctx context.Context, f File) (uint64, error) {
	span, err := dag.FileSpan(f.Root)
	if err != nil {
		return 0, fmt.Errorf("fetch: %w", err)
	}
	k := &task{t: t, file: &f, from: f.Offset, to: ^uint64(0)}
	if f.Length > 0 && f.Offset+f.Length > f.Offset {
		k.to = f.Offset + f.Length
	}
	if err := t.run(ctx, k, span); err != nil {
		return k.size, &FetchError{"file", f.Root, car.Unnamed(f.Root, err)}
	}
	return k.size, nil
}

// Get gets one block of the payload; it is a dag.Get, so that package dag reads
// directories through it.
func (t *Transfer) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	span, err := dag.FileSpan(c)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	k := &task{t: t}
	if err := t.run(ctx, k, span); err != nil {
		return nil, &FetchError{"block", c, car.Unnamed(c, err)}
	}
	return k.block, nil
}

// run queues the first block of a task and waits for its end.
func (t *Transfer) run(ctx context.Context, k *task, first dag.Span) error {
	k.ctx = ctx
	k.done = make(chan struct{})
	k.open = map[itemKey]*item{}
	branches, err := k.local(branch{first, []uint64{0}})
	if err != nil {
		return err
	}
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return errClosed
	}
	t.tasks++
	k.number = t.tasks
	t.live[k] = struct{}{}
	stocked := t.plant(k, branches, t.near)
	if k.left == 0 {
		k.finish(nil)
	}
	t.staff()
	t.mu.Unlock()
	t.hand(stocked)
	select {
	case <-k.done:
	case <-ctx.Done():
		t.abandon(k, ctx.Err())
	case <-t.ctx.Done():
		t.abandon(k, t.ctx.Err())
	}
	<-k.done
	k.writing.Wait()
	return k.err
}

// abandon ends a task before its end.
func (t *Transfer) abandon(k *task, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k.finish(err)
	t.callOff()
	t.wakeAll()
}

// Stats is how the transfer went so far.
func (t *Transfer) Stats() Stats { return t.tally.snapshot() }

// Close ends what is still being got, pays what is on its way, takes leave of
// the sellers and waits for all of it.
func (t *Transfer) Close() Stats {
	t.mu.Lock()
	t.closed = true
	for k := range t.live {
		k.finish(errClosed)
	}
	t.callOff()
	t.wakeAll()
	t.mu.Unlock()
	t.end()
	late := time.AfterFunc(t.buyer.cfg.LeaveTimeout, t.cancel)
	t.group.Wait()
	late.Stop()
	t.cancel()
	return t.Stats()
}

// task is one call of File or Get.
type task struct {
	t      *Transfer
	ctx    context.Context
	file   *File // nil: one block
	number uint64
	block  []byte // of a Get

	from, to uint64 // of the file
	done     chan struct{}
	writing  sync.WaitGroup // calls of the file's functions under way

	// Transfer.mu:
	begun bool   // the size is known
	size  uint64 // of all of the file
	open  map[itemKey]*item
	left  int // items that are not done
	ended bool
	err   error
	order itemHeap // items by place, done ones too, where the file has Ahead
}

// finish ends a task; the first reason counts. Transfer.mu is held.
func (k *task) finish(err error) {
	if !k.ended {
		k.ended, k.err = true, err
		clear(k.open)
		delete(k.t.live, k)
		close(k.done)
	}
}

// branch is a span and the places in the file where it stands.
type branch struct {
	span   dag.Span // its Offset is 0
	places []uint64
}

// maxPlaces bounds in how many places one block's children may stand.
const maxPlaces = 1 << 22

// local takes apart what the file has of a branch already, and returns what is
// to be fetched, in the order of the file.
func (k *task) local(b branch) ([]branch, error) {
	if k.file == nil || k.file.Nodes == nil || b.span.Leaf() {
		return []branch{b}, nil
	}
	block, err := k.file.Nodes(k.ctx, b.span.CID)
	if err != nil || b.span.Verify(block) != nil { // a damaged copy is fetched anew
		return []branch{b}, nil
	}
	return k.unfold(b, block)
}

// unfold hands the bytes of a checked block on and returns the branches below it
// that are to be fetched. A leaf has none.
func (k *task) unfold(b branch, block []byte) ([]branch, error) {
	if k.file == nil {
		k.block = bytes.Clone(block)
		return nil, nil
	}
	data, children, size, err := b.span.Expand(block)
	if err != nil {
		return nil, err
	}
	if b.span.Size == dag.UnknownSize {
		if err := k.begin(size); err != nil {
			return nil, err
		}
	}
	for _, at := range b.places {
		if err := k.write(data, at); err != nil {
			return nil, err
		}
	}
	if len(children) > 0 && uint64(len(children))*uint64(len(b.places)) > maxPlaces {
		return nil, car.Named("block", b.span.CID, fmt.Errorf("%w: its children stand in %d places", dag.ErrTooLarge, len(children)*len(b.places)))
	}
	var out []branch
	for _, child := range children {
		below, err := k.child(child, b.places)
		if err != nil {
			return nil, err
		}
		out = append(out, below...)
	}
	return out, nil
}

// begin hears of the file's size.
func (k *task) begin(size uint64) error {
	k.t.mu.Lock()
	k.size, k.to, k.begun = size, min(k.to, size), true
	k.t.mu.Unlock()
	if k.file.Start != nil {
		return k.file.Start(size)
	}
	return nil
}

// child is what has to be fetched of a child of a block that stands in places.
func (k *task) child(child dag.Span, places []uint64) ([]branch, error) {
	b := branch{span: child}
	b.span.Offset = 0
	for _, at := range places {
		at += child.Offset
		if at < k.to && at+child.Size > k.from && (k.file.Has == nil || !k.file.Has(at, child.Size)) {
			b.places = append(b.places, at)
		}
	}
	if len(b.places) == 0 {
		return nil, nil
	}
	return k.local(b)
}

// write puts bytes of the file where they belong, cut to the range.
func (k *task) write(data []byte, at uint64) error {
	from, to := max(at, k.from), min(at+uint64(len(data)), k.to)
	if from >= to {
		return nil
	}
	if n, err := k.file.To.WriteAt(data[from-at:to-at], int64(from)); err != nil {
		return fmt.Errorf("write %d bytes at %d: %w", to-from, from, err)
	} else if n < int(to-from) {
		return fmt.Errorf("write %d bytes at %d: %w", to-from, from, io.ErrShortWrite)
	}
	return nil
}
