package buyer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
)

// take makes the next unit that this session asks for, nil if there is none now.
func (w *worker) take() (*want, error) {
	t := w.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(w.wants) >= unitsAhead {
		return nil, nil
	}
	x := &want{}
	q := t.parts[w.src.part]
	if t.admits(w) {
		if x.items = q.pull(&q.nodes, w, retrieval.MaxRuns); len(x.items) > 0 {
			w.leads(x)
		} else {
			x.items = q.pull(&q.leaves, w, t.share(q))
		}
	}
	if len(x.items) == 0 && len(w.wants) == 0 && w.due() == 0 { // unsealing is not paid for to save time
		t.overtake(w, x)
	}
	if len(x.items) == 0 {
		return nil, nil
	}
	if err := w.afford(x); err != nil || len(x.items) == 0 {
		return nil, err
	}
	for _, it := range x.items {
		it.asked++
		it.state = max(it.state, fetched)
	}
	if x.lead != nil {
		t.lead, t.leading = x.lead, x
	}
	w.started = true
	w.lastID++
	x.id = w.lastID
	w.wants = append(w.wants, x)
	return x, nil
}

// unitsAhead is how many units a session asks for before the first has come.
const unitsAhead = 2

// admits says whether a session may ask for what waits. A seller more is paid
// only where there is enough for it to do, the cheapest first.
func (t *Transfer) admits(w *worker) bool {
	if w.started {
		return true
	}
	if (time.Since(t.offered) < offerGrace || w.offer.Unseal > 0) && t.awaited(w.src.part) || t.spared(w.src) {
		return false
	}
	started := uint64(0)
	q := t.parts[w.src.part]
	for other := range t.workers {
		switch {
		case other.src.part != w.src.part:
		case other.started:
			if len(other.wants) == 0 && q.has(other.src) || len(other.wants) > 0 && !other.late(other.wants[0]) {
				started++
			}
		case other.offer.Price.Less(w.offer.Price) && q.has(other.src) && !t.dear(other.src):
			return false
		}
	}
	return started == 0 || w.offer.Price.IsZero() || started*perSession < q.bytes
}

// awaited says whether a seller of the part has yet to make its offer.
func (t *Transfer) awaited(part int) bool {
	for s := range t.asked {
		if s.part == part && s.offer == nil && s.fails == 0 {
			return true
		}
	}
	return false
}

// share is how many leaves a unit may have: ever less towards the end, so that
// all sellers come to it together.
func (t *Transfer) share(q *queue) int {
	n := 0
	for w := range t.workers {
		if w.src.part == q.part && w.started {
			n++
		}
	}
	if n < 2 {
		return retrieval.MaxRuns
	}
	return max(1, len(q.leaves)/(unitsAhead*n))
}

// afford sets aside what a unit will cost, and makes it smaller where the budget
// does not suffice. A copy is made only of what is left after all that waits.
func (w *worker) afford(x *want) error {
	budget := w.tally.budget
	q := w.t.parts[w.src.part]
	spare := uint64(0)
	if x.copied {
		spare = q.bytes/retrieval.ChunkSize + uint64(len(q.nodes)+len(q.leaves))
	}
	rest, err := retrieval.Cost(w.offer.Price, spare)
	for n := w.blocks(x); n > 0 && err == nil; n /= 2 {
		var cost, all chain.Amount
		if cost, err = retrieval.Cost(w.offer.Price, w.priced(x, n)); err == nil {
			all, err = cost.Add(rest)
		}
		if err != nil || !budget.reserve(all) {
			continue
		}
		budget.release(rest)
		w.cut(x, n)
		x.aside = cost
		w.aside, err = w.aside.Add(cost)
		return err
	}
	w.cut(x, 0)
	if err == nil && budget.idle() {
		err = overBudget(budget, w.offer.Price)
	}
	return err
}

// blocks is how many blocks a unit asks for.
func (w *worker) blocks(x *want) int {
	if x.lead != nil {
		return int(x.lead.count)
	}
	return len(x.items)
}

// priced is how many chunks the first n blocks of a unit make that are not free.
func (w *worker) priced(x *want, n int) uint64 {
	chunks := uint64(n)
	if x.lead == nil {
		sizes := make([]uint32, n)
		for i, it := range x.items[:n] {
			sizes[i] = uint32(it.weight())
		}
		chunks = retrieval.Chunks(sizes)
	}
	free := w.offer.Free - min(w.offer.Free, w.got)
	return chunks - min(chunks, free)
}

// cut takes all but the first n blocks out of a unit.
func (w *worker) cut(x *want, n int) {
	if x.lead != nil && n > 1 {
		x.lead.all = x.lead.all && uint64(n) == x.lead.count
		x.lead.count = uint64(n)
		return
	}
	x.lead = nil
	if !x.copied {
		for _, it := range x.items[n:] {
			w.t.parts[w.src.part].push(it)
		}
	}
	x.items = x.items[:n]
}

// chunksLeft is how many chunks this seller will be paid for, as far as can be
// said: what it was asked for, and its share of what waits.
func (w *worker) chunksLeft() uint64 {
	t := w.t
	t.mu.Lock()
	defer t.mu.Unlock()
	own := uint64(0)
	for _, x := range w.wants {
		own += uint64(w.blocks(x) - x.came)
	}
	q := t.parts[w.src.part]
	rest := q.bytes / retrieval.ChunkSize * 5 / 4
	for k := range t.live {
		if k.file != nil && !k.begun {
			rest += t.guess(w)
			break
		}
	}
	if own+rest == 0 && len(q.nodes)+len(q.leaves) == 0 {
		return 0
	}
	sellers := uint64(0)
	for _, s := range t.sources {
		if s.part == q.part && t.usable(s) && !t.dear(s) {
			sellers++
		}
	}
	return max(1, own+rest/max(1, sellers))
}

// guess is how many chunks there will be, before a file's size is known.
func (t *Transfer) guess(w *worker) uint64 {
	if t.req.Expect > 0 {
		return min(w.offer.Chunks, t.req.Expect/retrieval.ChunkSize+1)
	}
	return w.offer.Chunks
}

// end hears that nothing more comes of the oldest unit.
func (w *worker) end(m *retrieval.End) error {
	t := w.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(w.wants) == 0 || m.Want != w.wants[0].id || m.Blocks != uint64(w.wants[0].came) {
		return fmt.Errorf("%w: end of want %d after %d blocks, which is another", ErrFault, m.Want, m.Blocks)
	}
	x := w.wants[0]
	if m.Reason == retrieval.Complete && x.came < w.blocks(x) || m.Reason == retrieval.Cancelled && !x.off {
		return fmt.Errorf("%w: want %d ended after %d blocks (%s)", ErrFault, m.Want, m.Blocks, m.Reason)
	}
	if m.Reason == retrieval.Missing && x.came < len(x.items) && (x.lead == nil || x.came == 0) {
		t.missing(x.items[x.came], w.src)
	}
	w.wants = w.wants[1:]
	w.give(x)
	w.tally.budget.release(x.aside)
	w.aside, _ = w.aside.Sub(x.aside.Min(w.aside))
	t.staff()
	t.wakeAll()
	return nil
}

// give queues anew what did not come of a unit. Transfer.mu is held.
func (w *worker) give(x *want) {
	w.t.endLead(x)
	for _, it := range x.items {
		w.t.again(it)
	}
}

// ask sends Wants while there are less than two on their way.
func (w *worker) ask(ctx context.Context) error {
	for {
		x, err := w.take()
		if x == nil || err != nil {
			return err
		}
		if err := w.rouse(ctx); err != nil {
			return err
		}
		if w.purse == nil && w.mustPay(w.got+1) {
			if err := w.present(ctx); err != nil {
				return err
			}
		}
		m := &retrieval.Want{ID: x.id}
		for _, it := range x.items {
			m.Runs = append(m.Runs, retrieval.Run{CID: &it.span.CID, Count: 1})
		}
		if x.lead != nil {
			m.Runs[0].Count = x.lead.count
		}
		if err := w.conn.Write(m); err != nil {
			return err
		}
		w.t.mu.Lock()
		x.sent = true
		w.t.mu.Unlock()
	}
}

// receive takes one message.
func (w *worker) receive(ctx context.Context) error {
	m, err := w.read(ctx)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *retrieval.Chunk:
		return w.chunk(ctx, m)
	case *retrieval.End:
		return w.end(m)
	}
	return nil
}

func (w *worker) front() *want {
	w.t.mu.Lock()
	defer w.t.mu.Unlock()
	if len(w.wants) == 0 {
		return nil
	}
	return w.wants[0]
}

// chunk checks the blocks, hands them on and pays. Of a chunk with a wrong block
// the good ones before it are kept and nothing is paid.
func (w *worker) chunk(ctx context.Context, c *retrieval.Chunk) error {
	x := w.front()
	if x == nil || c.Want != x.id {
		return fmt.Errorf("%w: chunk of want %d, which is not under way", ErrFault, c.Want)
	}
	for i, b := range c.Blocks {
		if began := x.packer.Add(uint64(len(b.Data))); began != (i == 0) {
			return errCutShort
		}
		if err := w.block(x, b); err != nil {
			return fmt.Errorf("%w: %w", ErrFault, err)
		}
	}
	aside := w.aside
	if err := w.taken(ctx, c); err != nil {
		return err
	}
	if spent, err := aside.Sub(w.aside); err == nil {
		x.aside, _ = x.aside.Sub(spent.Min(x.aside))
	}
	if w.hasOther() {
		return w.slow()
	}
	return nil
}

// block takes the block that is due.
func (w *worker) block(x *want, b retrieval.Block) error {
	if x.lead != nil {
		return w.led(x, b)
	}
	if x.came == len(x.items) || !x.items[x.came].span.CID.Equals(b.CID) {
		return fmt.Errorf("block %s came where another is due", b.CID)
	}
	it := x.items[x.came]
	if err := it.span.Verify(b.Data); err != nil {
		return err
	}
	w.came++
	w.t.mu.Lock()
	x.came++
	w.moved += uint64(len(b.Data))
	w.t.mu.Unlock()
	w.t.deliver(it, b.Data)
	return nil
}

// hasOther reports whether another seller could go on.
func (w *worker) hasOther() bool {
	t := w.t
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.sources, func(o *source) bool { return o != w.src && o.part == w.src.part && t.usable(o) })
}
