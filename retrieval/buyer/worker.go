package buyer

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
)

// worker is the session of a Transfer with one seller.
type worker struct {
	session
	t    *Transfer
	src  *source
	wake chan struct{} // there may be something to ask for
	came uint64        // blocks

	answer time.Duration // that the offer took

	// Transfer.mu:
	started bool    // something was asked for
	wants   []*want // on their way, the oldest first
	lastID  uint64
	moved   uint64 // bytes of blocks
}

// want is a unit of items that was asked for.
type want struct {
	id     uint64
	items  []*item // of the lead: those that somebody waits for
	came   int     // blocks
	lead   *lead   // not nil: as they stand in the archive
	packer retrieval.Packer
	aside  chain.Amount // of the budget
	sent   bool
	copied bool // asked of another seller as well, or is such a copy
	off    bool // called off
}

// The times of a session that waits for work.
const (
	lookAgain  = 50 * time.Millisecond // at what others do
	offerGrace = 100 * time.Millisecond
	idleTime   = 15 * time.Second
	slowUnit   = 2 * time.Second // a unit that will take longer is asked of another, too

	slowAnswers = 10 // unless the seller took more than a tenth of that for its offer
)

// usable says whether a source may be asked. Transfer.mu is held, here and below.
func (t *Transfer) usable(s *source) bool {
	return !s.gone && (s.pardoned || !t.buyer.Dropped(string(s.peer.ID)))
}

// pardon makes a source usable whose seller lied in an earlier fetch: it is
// better than nobody, since nothing wrong is kept or paid.
func (t *Transfer) pardon(s *source) bool {
	if s.gone {
		return false
	}
	s.pardoned = true
	return true
}

// dear says whether a seller costs more than twice what another one does, or would
// have to be paid for unsealing what another has at hand or unseals for less.
func (t *Transfer) dear(s *source) bool {
	return t.undercut(s, func(*source) bool { return true })
}

// spared says whether a dear seller is left alone: another one that is not holds
// something of what waits.
func (t *Transfer) spared(s *source) bool { return t.undercut(s, t.parts[s.part].has) }

// undercut says whether a seller costs more than twice what another one does that
// counts.
func (t *Transfer) undercut(s *source, counts func(*source) bool) bool {
	if s.offer == nil {
		return false
	}
	for _, other := range t.sources {
		if other.part != s.part || other.offer == nil || !t.usable(other) || !counts(other) {
			continue
		}
		if s.offer.Unseal > 0 && s.woke == 0 && t.parts[s.part].has(other) && t.wakes(other, s) {
			return true
		}
		if twice, err := other.offer.Price.Mul(2); err == nil && twice.Less(s.offer.Price) {
			return true
		}
	}
	return false
}

// wakes says whether one seller is to be asked rather than another that would have to
// unseal.
func (t *Transfer) wakes(one, other *source) bool {
	if one.offer.Unseal == 0 || one.woke > 0 {
		return true
	}
	a, errA := unsealing(one.offer)
	b, errB := unsealing(other.offer)
	if errA != nil || errB != nil || a == b {
		return errB != nil || slices.Index(t.sources, one) < slices.Index(t.sources, other)
	}
	return a.Less(b)
}

// staff sends for sellers of parts that something waits for, and looks whether
// there is anybody left to wait for. What a part gives up may stand in a part
// that was looked at before, so that it looks until nothing moves.
func (t *Transfer) staff() {
	for moved := true; moved; {
		moved = false
		for _, q := range t.parts {
			for _, it := range t.stranded(q) {
				moved = true
				t.place(it, q.part)
			}
			t.hire(q)
		}
	}
}

// stranded takes out of a queue what no seller of its part will bring: whoever may
// be asked does not hold it. That changes only with who may be asked.
func (t *Transfer) stranded(q *queue) []*item {
	if len(q.nodes)+len(q.leaves) == 0 {
		return nil
	}
	var able []*source
	mark := uint64(1)
	for i, s := range t.sources {
		if s.part == q.part && t.usable(s) {
			able = append(able, s)
			mark = mark*31 + uint64(i) + 1
		}
	}
	if mark == q.able && len(able) > 0 {
		return nil
	}
	q.able = mark
	var out []*item
	for _, it := range q.drain() {
		if slices.ContainsFunc(able, func(s *source) bool { return !slices.Contains(it.lacks, s) }) {
			q.push(it)
		} else {
			out = append(out, it)
		}
	}
	return out
}

// hire begins sessions with the sellers of a part, as far as they are of use.
func (t *Transfer) hire(q *queue) {
	for _, s := range t.sources {
		if s.part != q.part || !t.usable(s) {
			continue
		}
		if !t.closed && t.ctx.Err() == nil && len(t.asked) < t.req.Sessions && !t.busy(s) && !t.spared(s) && q.has(s) {
			t.asked[s] = struct{}{}
			t.group.Add(1)
			go t.work(s)
		}
	}
}

// busy says whether the seller has a session, for this part or another: one at a
// time, so that its channel is promised on one lane.
func (t *Transfer) busy(s *source) bool {
	for other := range t.asked {
		if string(other.peer.ID) == string(s.peer.ID) {
			return true
		}
	}
	return false
}

// wakeAll makes all sessions that wait look again.
func (t *Transfer) wakeAll() {
	for w := range t.workers {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// callOff tells sellers not to send what nobody waits for any more.
func (t *Transfer) callOff() {
	for w := range t.workers {
		for _, x := range w.wants {
			if !x.off && x.came < w.blocks(x) && t.useless(x) {
				x.off = true
				t.group.Add(1)
				go func() {
					defer t.group.Done()
					_ = w.conn.Write(&retrieval.Cancel{Want: x.id}) // its session sees what is wrong with the stream
				}()
			}
		}
	}
}

// useless reports whether all that is still to come of a unit is there already.
func (t *Transfer) useless(x *want) bool {
	rest := x.items
	switch {
	case x.lead == nil:
		rest = x.items[x.came:]
	case x.lead.spoilt || t.closed:
		return true
	case !x.copied: // what nobody waits for yet is wanted, too
		return false
	}
	for _, it := range rest {
		if it.state < written && !it.task.ended {
			return false
		}
	}
	return true
}

// work asks one seller as long as that makes sense.
func (t *Transfer) work(s *source) {
	defer t.group.Done()
	for {
		came, err := t.visit(s)
		if !t.judge(s, came, err) {
			break
		}
		select {
		case <-time.After(s.pause(&t.buyer.cfg)):
		case <-t.ending.Done():
		case <-t.ctx.Done():
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.asked, s)
	t.staff()
	t.wakeAll()
}

// judge draws the consequences of how a session ended, and says whether the
// seller is to be asked once more.
func (t *Transfer) judge(s *source, came uint64, err error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil || t.ctx.Err() != nil {
		return false
	}
	var own ownError
	if errors.As(err, &own) {
		s.gone = true
		t.overBudget = t.overBudget || errors.Is(err, ErrBudget)
	}
	others := slices.ContainsFunc(t.sources, func(o *source) bool { return o != s && o.part == s.part && t.usable(o) })
	drop := !s.gone && s.failed(&t.buyer.cfg, came, err, others)
	if drop {
		t.buyer.drop(string(s.peer.ID))
		for _, other := range t.sources { // not even as the last one
			other.gone = other.gone || string(other.peer.ID) == string(s.peer.ID)
		}
	}
	t.tally.seller(s.seat, func(st *SellerStats) { st.left(err, drop) })
	return !s.gone && !t.closed && t.parts[s.part].has(s)
}

// visit is one session with a seller.
func (t *Transfer) visit(s *source) (came uint64, err error) {
	began := time.Now()
	conn, offer, err := t.buyer.ask(t.ctx, s.peer, t.req.Parts[s.part].ask(t.req.Root, 0))
	if err != nil {
		return 0, err
	}
	conn.ReadAhead(readAhead)
	defer conn.Release()
	defer conn.Abort()
	w := &worker{session: session{buyer: t.buyer, tally: &t.tally, seat: s.seat, conn: conn, offer: *offer, owed: s.owed}, t: t, src: s, wake: make(chan struct{}, 1), answer: time.Since(began)}
	w.need, w.paidBefore = w.chunksLeft, s.ahead()
	if err := t.buyer.acceptable(t.ctx, offer, t.req.MaxPrice); err != nil {
		w.leave()
		return 0, err
	}
	t.tally.seller(s.seat, func(st *SellerStats) { st.Price = offer.Price })
	t.mu.Lock()
	s.offer = offer
	if t.offered.IsZero() {
		t.offered = time.Now()
	}
	t.workers[w] = struct{}{}
	t.wakeAll()
	t.mu.Unlock()
	stop := context.AfterFunc(t.ctx, conn.Abort)
	defer stop()
	err = w.run(t.ctx)
	w.showTick() // for what was right before something was not
	t.mu.Lock()
	s.roused(w.awake)
	delete(t.workers, w)
	for _, x := range w.wants {
		w.give(x)
	}
	w.wants = nil
	t.tally.budget.release(w.aside)
	t.staff()
	t.wakeAll()
	t.mu.Unlock()
	if err == nil {
		w.leave()
	}
	w.purse.close()
	return w.came, err
}

// run asks for units, two at a time, and takes what comes, until there is
// nothing more to ask for. A session that brought little waits a moment before
// it makes room for another part: more of its own may be on its way.
func (w *worker) run(ctx context.Context) error {
	idle := time.Now()
	for {
		if err := w.ask(ctx); err != nil {
			return err
		}
		if w.pending() > 0 {
			idle = time.Now()
			if err := w.receive(ctx); err != nil {
				return err
			}
			continue
		}
		waited := time.Since(idle)
		if waited > idleTime || (w.came >= steady || waited >= lookAgain) && w.wanted() {
			return nil
		}
		timer := time.NewTimer(lookAgain)
		select {
		case <-w.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// wanted says whether the session should end: the transfer does, or the seller
// may serve another part.
func (w *worker) wanted() bool {
	t := w.t
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed || slices.ContainsFunc(t.sources, func(s *source) bool {
		return s.part != w.src.part && string(s.peer.ID) == string(w.src.peer.ID) && t.usable(s) && t.parts[s.part].has(s)
	})
}

func (w *worker) pending() int {
	w.t.mu.Lock()
	defer w.t.mu.Unlock()
	return len(w.wants)
}
